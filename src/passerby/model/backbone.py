"""From an image to a feature map: a network of timm without its head (a ConvNeXt with SimAM inside), or OSNet.

B batch   C channels   H W map height and width
"""

from __future__ import annotations

import difflib
from copy import deepcopy
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers.conv2d_same import Conv2dSame
from timm.models.convnext import ConvNeXt
from timm.models.resnet import ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import RecipeError, WeightsError, explain
from passerby.model.baselines.osnet import VARIANTS, OSNet
from passerby.model.baselines.transformers import any_size_options, is_transformer, require_patches, token_map
from passerby.model.checks import require
from passerby.model.depthwise import replace_depthwise_convolutions
from passerby.model.simam import AttendedBlock, AttentionPosition
from passerby.model.tones import Tones
from passerby.model.weights import fill, read_tensors


class HalfInstanceNorm(nn.Module):
    """Normalize half of the channels of each image to mean 0 and variance 1 over its positions.

    In the early stages these two moments hold most of a camera's effect on an image, such as white balance and
    contrast. They hold colors of clothes too, which the other half of the channels keeps (IBN-Net: Pan et al. 2018).
    Without parameters: weights fit with and without it.
    """

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        half = features.shape[1] // 2
        return torch.cat((F.instance_norm(features[:, :half]), features[:, half:]), dim=1)


class Backbone(nn.Module):
    """A network up to its last map, with ConvNeXt's final norm, which timm keeps in the head.

    Attributes:
        net: The network; the names of its tensors are timm's.
        channels: C of the map.
        stride: Image pixels per map position.
        tokens: Whether it is a transformer, whose tokens form the map.
        tones: Layer in front of it, or None.
    """

    def __init__(
        self,
        net: Any,
        *,
        channels: int,
        stride: int,
        norm_in_head: bool = False,
        tokens: bool = False,
        tones: Tones | None = None,
    ) -> None:
        super().__init__()
        self.net = net
        self.channels = channels
        self.stride = stride
        self.norm_in_head = norm_in_head
        self.tokens = tokens
        self.tones = tones

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, H / stride, W / stride)."""
        if self.tokens:
            return token_map(self.net, self._even_tones(images), norm=True)
        features = self.before_norm(images)
        return self.net.head["norm"](features) if self.norm_in_head else features

    def before_norm(self, images: Tensor) -> Tensor:
        """Compute the map before the final norm, which evens out its positions: (B, 3, H, W) -> (B, C, h, w)."""
        images = self._even_tones(images)
        if self.tokens:
            return token_map(self.net, images, norm=False)
        features: Tensor = self.net.forward_features(images)
        return features

    def _even_tones(self, images: Tensor) -> Tensor:
        return images if self.tones is None else self.tones(images)

    def require_size(self, size: tuple[int, int]) -> None:
        """Raise RecipeError for an image size (height, width) that this network does not accept."""
        if self.tokens:
            require_patches(self.net, size)
        elif min(size) < self.stride:  # a network that pads its maps accepts it
            try:
                features = deepcopy(self).to("meta").eval()(torch.empty(1, 3, *size, device="meta"))
            except RuntimeError:
                features = None
            if features is None or 0 in features.shape:  # torch 2.6 computes an empty map on the meta device
                raise RecipeError(
                    f"images.size: {list(size)} is too small for this backbone; the smallest size is "
                    f"{[max(side, self.stride) for side in size]}"
                )


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
    tone_black: float = 0.0,
    tone_gamma: float = 1.0,
) -> Backbone:
    """Build a backbone by name.

    Args:
        name: timm's name of a ConvNeXt v1 or v2, such as `convnext_base` or `convnext_base.fb_in22k_ft_in1k`; as a
            plain baseline, of another network with a map, Swin and ViT among them; or one of `osnet.VARIANTS`.
        pretrained: Download the weights that timm has under this name.
        weights: A safetensors file: timm's weights of this network, or the `model.safetensors` of a run, from which
            the backbone is loaded.
        attention: Add SimAM to every block; ConvNeXt only.
        attention_position: Position in the block, see `AttendedBlock`.
        last_stride: 1 keeps the map of the last stage at stride 16, with the same weights; ConvNeXt and ResNet only.
        drop_path: Largest stochastic depth rate, 0 to below 1.
        layer_scale: Initial value of layer scale, or None for none. ConvNeXt V1 only; V2 and other networks have none.
        instance_norm: Number of stages, from the first, that end in `HalfInstanceNorm`; 0 to 3, ConvNeXt only.
        tone_black: As for `Tones`, which is left out if both have their defaults.
        tone_gamma: As for `Tones`.

    Raises:
        RecipeError: For an unknown name (close ones are listed), an impossible value, or an option that this network
            does not support.
        WeightsError: When the download fails, or the file holds another network.

    Example:
        >>> backbone = build_backbone("test_convnext", last_stride=1)
        >>> backbone.channels, backbone.stride
        (64, 16)
    """
    positions = ("depthwise", "block")
    require(attention_position in positions, "attention_position", attention_position, "depthwise or block")
    require(last_stride in (1, 2), "last_stride", last_stride, "1 or 2")
    require(0 <= drop_path < 1, "drop_path", drop_path, "0 to below 1")
    require(not (pretrained and weights), "weights", weights, "none together with pretrained: true; keep one of them")
    require(0 <= instance_norm <= 3, "instance_norm", instance_norm, "0 to 3 stages")
    is_osnet = name in VARIANTS
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
        channels, stride = (net.channels, 16) if is_osnet else _map_shape(name)
    if weights is not None:
        heads = () if is_osnet else ("head.",) if is_convnext else _classifiers(net)
        fill(net, _backbone_tensors(Path(weights)), source=str(weights), ignore=heads)
    if last_stride == 1:
        keep_last_map(net, name)
        stride //= 2
    replace_depthwise_convolutions(net)
    if attention:
        _attend(net, name, attention_position)
    if instance_norm:
        _normalize_style(net, name, instance_norm)
    tokens = not is_osnet and is_transformer(name)
    tones = None if (tone_black, tone_gamma) == (0, 1) else Tones(black=tone_black, gamma=tone_gamma)
    return Backbone(net, channels=channels, stride=stride, norm_in_head=norm_in_head, tokens=tokens, tones=tones)


def takes_attention(name: str) -> bool:
    """Return whether timm's network of this name is a ConvNeXt, v1 or v2, which SimAM fits."""
    return name.startswith("convnext")


def _create(name: str, *, pretrained: bool, drop_path: float, layer_scale: float | None) -> Any:
    """Create timm's network without its classifier and pooling."""
    _require_known(name, pretrained=pretrained)
    options = any_size_options(name)
    if drop_path > 0 or options:  # not every network accepts it; the default of Swin is 0.1
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
            f"backbone {name!r}: does not support drop_path {drop_path} ({explain(error)}); set drop_path: 0"
        ) from None
    except (OSError, RuntimeError) as error:
        if not pretrained:
            raise
        reason = str(error).splitlines()[0]
        tagged = name if "." in name else f"{name}.{timm.get_pretrained_cfg_value(name, 'tag')}"
        raise WeightsError(
            f"pretrained weights of {name}: not loaded ({reason}). Without a network, download model.safetensors from "
            f"https://huggingface.co/timm/{tagged} elsewhere, copy it here, "
            "and set model.pretrained=false and model.weights=FILE; or set model.pretrained=false alone"
        ) from None
    if scaled and layer_scale is None:  # timm treats None as the default value
        for block in (block for stage in net.stages for block in stage.blocks):
            block.gamma = None
    return net


def _osnet(name: str, *, pretrained: bool, drop_path: float) -> OSNet:
    """Create OSNet, or raise RecipeError for options that it does not support."""
    if pretrained:
        raise RecipeError(f"backbone {name!r}: has no weights to download; set pretrained: false, or weights to a file")
    if drop_path > 0:
        raise RecipeError(f"backbone {name!r}: does not support drop_path {drop_path}; set drop_path: 0")
    width, styles = VARIANTS[name]
    return OSNet(width, styles=styles)


def _classifiers(net: Any) -> tuple[str, ...]:
    """List timm's names of the network's classifiers."""
    names = net.pretrained_cfg["classifier"]
    return (names,) if isinstance(names, str) else tuple(names)


def _is_convnext(net: Any) -> bool:
    return isinstance(net, ConvNeXt)


def _is_resnet(net: Any) -> bool:
    return isinstance(net, ResNet)


def _require_known(name: str, *, pretrained: bool) -> None:
    """Raise RecipeError, with close names, unless timm has `name` and, if `pretrained`, weights for it."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        close = difflib.get_close_matches(architecture, [*timm.list_models(), *VARIANTS], n=5, cutoff=0.5)
        raise RecipeError(f"backbone {name!r}: timm has no such network; close names: {', '.join(close) or 'none'}")
    known = timm.list_pretrained(f"{architecture}.*")
    if (tag and name not in known) or (pretrained and not known):
        names = ", ".join(known) or "none"
        raise RecipeError(f"backbone {name!r}: timm has no such weights; of {architecture} it has: {names}")


def _map_shape(name: str) -> tuple[int, int]:
    """Return channels and stride of the map of a network that is not a ConvNeXt, from a pass on the meta device."""
    with torch.device("meta"):
        net: Any = timm.create_model(name, num_classes=0, global_pool="").eval()
        side = net.pretrained_cfg["input_size"][-1]
        images = torch.empty(1, 3, side, side)
        features = token_map(net, images, norm=True) if is_transformer(name) else net.forward_features(images)
    if features.ndim != 4 or features.shape[2] != features.shape[3]:
        raise RecipeError(
            f"backbone {name!r}: its output is {tuple(features.shape)}, not a map (B, C, H, W); "
            "use a convolutional network, such as convnext_tiny or resnet50, or one of timm's Swins (swin_*, swinv2_*) "
            "and ViTs (vit_*)"
        )
    return features.shape[1], side // features.shape[2]


def _backbone_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a backbone under timm's names, from a file of the backbone or of a run's model."""
    tensors = read_tensors(path)
    prefix = "backbone.net."
    inside = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    return inside or tensors


def keep_last_map(net: Any, name: str) -> None:
    """Start the last stage with stride 1 instead of 2; no weight changes shape."""
    if _is_convnext(net):
        norm, conv = net.stages[-1].downsample
        same = Conv2dSame(
            conv.in_channels, conv.out_channels, conv.kernel_size, bias=conv.bias is not None, device="meta"
        )
        same.weight, same.bias = conv.weight, conv.bias  # 2 x 2: pads a row of zeros below and a column to the right
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
    """Add SimAM to every block of a ConvNeXt."""
    if not _is_convnext(net):
        raise RecipeError(
            f"backbone {name!r}: attention needs ConvNeXt blocks, which it does not have; set attention: false"
        )
    for stage in net.stages:
        stage.blocks = nn.Sequential(*(AttendedBlock(block, position=position) for block in stage.blocks))


def _normalize_style(net: Any, name: str, stages: int) -> None:
    """Append `HalfInstanceNorm` to the first `stages` stages of a ConvNeXt."""
    if not _is_convnext(net):
        raise RecipeError(
            f"backbone {name!r}: instance_norm needs ConvNeXt stages, which it does not have; set instance_norm: 0"
        )
    for stage in net.stages[:stages]:
        stage.blocks.append(HalfInstanceNorm())
