"""An image to a feature map: a network of timm without its head, ConvNeXt's with SimAM inside; or OSNet.

B batch   C channels   H W map height and width
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.models.convnext import ConvNeXt
from timm.models.resnet import ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import RecipeError, WeightsError
from passerby.model.baselines.osnet import WIDTHS, OSNet
from passerby.model.baselines.transformers import any_size_options, is_transformer, require_patches, token_map
from passerby.model.checks import require
from passerby.model.depthwise import replace_depthwise_convolutions
from passerby.model.simam import AttendedBlock, AttentionPosition
from passerby.model.weights import fill, read_tensors


class HalfInstanceNorm(nn.Module):
    """The first half of the channels of each image to mean 0 and variance 1 over its places; the others as they are.

    What a camera does to a whole image (its white balance, its contrast) is mostly in those two moments, in the early
    stages; so are the colors of clothes, for which the other half stands (IBN-Net: Pan et al. 2018). No parameters:
    weights fit with and without it.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        half = features.shape[1] // 2
        return torch.cat((F.instance_norm(features[:, :half]), features[:, half:]), dim=1)


class Backbone(nn.Module):
    """A network up to its last map, with the final norm that ConvNeXt keeps in its head.

    Attributes:
        net: The network, timm's with its tensors under timm's own names.
        channels: C of the map.
        stride: Image pixels per map position.
        tokens: Whether it is a transformer, whose tokens become the map.
    """

    def __init__(
        self, net: Any, *, channels: int, stride: int, norm_in_head: bool = False, tokens: bool = False
    ) -> None:
        super().__init__()
        self.net = net
        self.channels = channels
        self.stride = stride
        self.norm_in_head = norm_in_head
        self.tokens = tokens

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, H / stride, W / stride)."""
        if self.tokens:
            return token_map(self.net, images, norm=True)
        features = self.before_norm(images)
        return self.net.head["norm"](features) if self.norm_in_head else features

    def before_norm(self, images: Tensor) -> Tensor:
        """The map before the final norm, which makes every place alike: (B, 3, H, W) -> (B, C, h, w)."""
        if self.tokens:
            return token_map(self.net, images, norm=False)
        features: Tensor = self.net.forward_features(images)
        return features

    def require_size(self, size: tuple[int, int]) -> None:
        """Raise RecipeError for images of a (height, width) that this network cannot see."""
        if self.tokens:
            require_patches(self.net, size)


def build_backbone(
    name: str,
    *,
    pretrained: bool = False,
    weights: str | Path | None = None,
    attention: bool = True,
    attention_position: AttentionPosition = "depthwise",
    last_stride: int = 2,
    drop_path: float = 0.0,
    layer_scale: float | None = 1e-6,
    instance_norm: int = 0,
) -> Backbone:
    """Build a backbone by timm's name, such as `convnext_base` or `convnext_base.fb_in22k_ft_in1k`, or OSNet's.

    Args:
        name: Any ConvNeXt v1 or v2; as a plain baseline, another network of timm that makes a map, its Swins and
            ViTs among them; or one of `osnet.WIDTHS`, of which timm knows nothing.
        pretrained: Download the weights that timm has under this name.
        weights: A safetensors file instead: timm's own weights of this network, or `model.safetensors` of a run,
            of which the backbone is taken.
        attention: SimAM in every block; ConvNeXt only.
        attention_position: Where in the block, see `AttendedBlock`.
        last_stride: 1 keeps the map of the last stage at stride 16, with the same weights; ConvNeXt and ResNet only.
        drop_path: Largest stochastic depth rate, 0 to below 1.
        layer_scale: Its initial value, or None for none. V1 only: ConvNeXt V2 and other networks have none.
        instance_norm: How many stages, from the first, end in `HalfInstanceNorm`; 0 to 3, ConvNeXt only.

    Raises:
        RecipeError: For a name that timm does not know (close ones are listed), an impossible value, or an option that
            this network does not have.
        WeightsError: When the download fails, or the file is not one of this network.
    """
    positions = ("depthwise", "block")
    require(attention_position in positions, "attention_position", attention_position, "depthwise or block")
    require(last_stride in (1, 2), "last_stride", last_stride, "1 or 2")
    require(0 <= drop_path < 1, "drop_path", drop_path, "0 to below 1")
    require(not (pretrained and weights), "weights", weights, "none beside pretrained: true; keep one of them")
    require(0 <= instance_norm <= 3, "instance_norm", instance_norm, "0 to 3 stages")
    is_osnet = name in WIDTHS
    net: Any = (
        _osnet(name, pretrained=pretrained, drop_path=drop_path)
        if is_osnet
        else _create(name, pretrained=pretrained, drop_path=drop_path, layer_scale=layer_scale)
    )
    is_convnext = _is_convnext(net)
    norm_in_head = is_convnext and hasattr(net.head, "norm")
    if is_convnext:
        channels, stride = net.num_features, 32
        net.head = nn.ModuleDict({"norm": net.head.norm} if norm_in_head else {})
    else:
        channels, stride = (net.channels, 16) if is_osnet else _map_of(name)
    if weights is not None:
        heads = () if is_osnet else ("head.",) if is_convnext else _classifiers(net)
        fill(net, _backbone_tensors(Path(weights)), source=str(weights), ignore=heads)
    if last_stride == 1:
        _keep_last_map(net, name)
        stride //= 2
    replace_depthwise_convolutions(net)
    if attention:
        _attend(net, name, attention_position)
    if instance_norm:
        _normalize_style(net, name, instance_norm)
    tokens = not is_osnet and is_transformer(name)
    return Backbone(net, channels=channels, stride=stride, norm_in_head=norm_in_head, tokens=tokens)


def takes_attention(name: str) -> bool:
    """Whether timm's network of this name is a ConvNeXt, v1 or v2."""
    return name.startswith("convnext")


def _create(name: str, *, pretrained: bool, drop_path: float, layer_scale: float | None) -> Any:
    """Make the network, without its classifier and pooling."""
    _require_known(name, pretrained=pretrained)
    options = any_size_options(name)
    if drop_path > 0 or options:  # not every network knows it; Swin without a word drops 0.1
        options = {**options, "drop_path_rate": drop_path}
    scaled = name.startswith("convnext_")  # V1
    if scaled and layer_scale is not None:
        options["ls_init_value"] = layer_scale
    if scaled and pretrained and layer_scale is None:
        raise RecipeError(
            f"layer_scale: null does not fit the pretrained weights of {name}, which have it; give a number"
        )
    try:
        net: Any = timm.create_model(name, pretrained=pretrained, num_classes=0, global_pool="", **options)
    except TypeError as error:
        if drop_path == 0:
            raise
        raise RecipeError(
            f"backbone {name!r}: does not know drop_path {drop_path} ({error}); set drop_path: 0"
        ) from None
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        reason = str(error).splitlines()[0]
        tagged = name if "." in name else f"{name}.{timm.get_pretrained_cfg_value(name, 'tag')}"
        raise WeightsError(
            f"pretrained weights of {name}: not loaded ({reason}). Without a network, download model.safetensors from "
            f"https://huggingface.co/timm/{tagged} elsewhere, copy it here, "
            "and set model.pretrained=false and model.weights=FILE; or train from nothing with model.pretrained=false"
        ) from None
    if scaled and layer_scale is None:  # timm takes a None for a setting that was not given
        for block in (block for stage in net.stages for block in stage.blocks):
            block.gamma = None
    return net


def _osnet(name: str, *, pretrained: bool, drop_path: float) -> OSNet:
    """OSNet of this width, or an error for what it does not have."""
    if pretrained:
        raise RecipeError(f"backbone {name!r}: has no weights to download; set pretrained: false, or weights to a file")
    if drop_path > 0:
        raise RecipeError(f"backbone {name!r}: does not know drop_path {drop_path}; set drop_path: 0")
    return OSNet(WIDTHS[name])


def _classifiers(net: Any) -> tuple[str, ...]:
    """What timm calls the network's classifiers."""
    names = net.pretrained_cfg["classifier"]
    return (names,) if isinstance(names, str) else tuple(names)


def _is_convnext(net: Any) -> bool:
    return isinstance(net, ConvNeXt)


def _is_resnet(net: Any) -> bool:
    return isinstance(net, ResNet)


def _require_known(name: str, *, pretrained: bool) -> None:
    """Raise RecipeError, with close names, unless timm knows `name` and, if asked, has weights of it."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, [*timm.list_models(), *WIDTHS], n=5, cutoff=0.5)
        raise RecipeError(f"backbone {name!r}: timm has no such network; close names: {', '.join(close) or 'none'}")
    known = timm.list_pretrained(f"{architecture}.*")
    if (tag and name not in known) or (pretrained and not known):
        found = ", ".join(known) or "none"
        raise RecipeError(f"backbone {name!r}: timm has no such weights; of {architecture} it has: {found}")


def _map_of(name: str) -> tuple[int, int]:
    """Channels and stride of the map of a network that is not a ConvNeXt, found without computing it."""
    with torch.device("meta"):
        net: Any = timm.create_model(name, num_classes=0, global_pool="").eval()
        side = net.pretrained_cfg["input_size"][-1]
        images = torch.empty(1, 3, side, side)
        features = token_map(net, images, norm=True) if is_transformer(name) else net.forward_features(images)
    if features.ndim != 4 or features.shape[2] != features.shape[3]:
        raise RecipeError(
            f"backbone {name!r}: makes {tuple(features.shape)}, not a map (B, C, H, W) that stripes can be cut from; "
            "use a convolutional network, such as convnext_tiny or resnet50, or one of timm's Swins (swin_*, swinv2_*) "
            "and ViTs (vit_*)"
        )
    return features.shape[1], side // features.shape[2]


def _backbone_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a backbone under timm's names, be they alone in the file or part of a run's model."""
    tensors = read_tensors(path)
    prefix = "backbone.net."
    inside = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    return inside or tensors


def _keep_last_map(net: Any, name: str) -> None:
    """Let the last stage start with stride 1 instead of 2; no weight changes shape."""
    if _is_convnext(net):
        norm, conv = net.stages[-1].downsample
        same = Conv2dSame(
            conv.in_channels, conv.out_channels, conv.kernel_size, bias=conv.bias is not None, device="meta"
        )
        same.weight, same.bias = conv.weight, conv.bias  # 2 x 2; a row and a column of zeros on the far sides
        net.stages[-1].downsample = nn.Sequential(norm, same)
        return
    first: Any = net.layer4[0] if _is_resnet(net) else None
    if first is None or not isinstance(first.aa, nn.Identity | None):
        raise RecipeError(f"backbone {name!r}: last_stride 1 works on ConvNeXt and plain ResNet; set last_stride: 2")
    for conv in (module for module in first.modules() if isinstance(module, nn.Conv2d)):
        conv.stride = (1, 1)
    if isinstance(first.downsample[0], nn.AvgPool2d):
        first.downsample[0] = nn.Identity()


def _attend(net: Any, name: str, position: AttentionPosition) -> None:
    """Put SimAM into every block of a ConvNeXt."""
    if not _is_convnext(net):
        raise RecipeError(
            f"backbone {name!r}: attention goes into ConvNeXt blocks, which it has none of; set attention: false"
        )
    for stage in net.stages:
        stage.blocks = nn.Sequential(*(AttendedBlock(block, position=position) for block in stage.blocks))


def _normalize_style(net: Any, name: str, stages: int) -> None:
    """End the first `stages` stages of a ConvNeXt in `HalfInstanceNorm`."""
    if not _is_convnext(net):
        raise RecipeError(
            f"backbone {name!r}: instance_norm goes behind ConvNeXt stages, which it has none of; set instance_norm: 0"
        )
    for stage in net.stages[:stages]:
        stage.blocks.append(HalfInstanceNorm())
