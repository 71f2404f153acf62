"""MaskReID: the image and the image without its background enter one network, whose vector joins maps of three levels.

Qi et al., "MaskReID: A Mask Based Deep Ranking Neural Network for Person Re-identification" (2018). Three convolutions
of their own read the masked image; their map is joined with that of the backbone's first layers and passes through
stages 1 to 4. The maps of stages 2, 3 and 4 (low, middle and high level) each pass through a convolution and are
averaged; a linear layer reduces the three vectors to one of 256. The mask is that of the shipped body estimator, in
place of the paper's FCN; the network is one of timm, in place of its Inception. The paper's loss is `loss.ranking`.

    B batch   C channels   H W height and width
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from timm.models.resnet import ResNet
from torch import Tensor, nn

from passerby.model.backbone import Backbone, build_backbone
from passerby.model.baselines.insertion import move_norm_into_last_stage, stage_channels
from passerby.model.body_estimator import load_body_estimator, resize_area
from passerby.model.checks import require
from passerby.model.convnext_ap import EmbeddingKind, ReID, load_necks
from passerby.model.parts import Stripes
from passerby.model.weights import find_weights_file

LEVEL_WIDTH = 256
"""Channels of the map of each level."""
LEVELS = (2, 3, 4)
"""Stages of the backbone whose maps are fused."""


class MaskedInput(nn.Module):
    """Map of the image without its background, joined with the map of the image: both at stride 4 with C channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = load_body_estimator()
        half = max(channels // 2, 1)
        self.stream = nn.Sequential(
            _convolution(3, half, stride=2), _convolution(half, half), _convolution(half, channels, stride=2)
        )
        self.join = nn.Conv2d(2 * channels, channels, kernel_size=1)

    def forward(self, images: Tensor, features: Tensor) -> Tensor:
        """(B, 3, H, W), (B, C, H / 4, W / 4) -> (B, C, H / 4, W / 4)."""
        mask = resize_area(self.body(images).mask, (images.shape[2], images.shape[3]))  # (B, 1, H, W)
        joined: Tensor = self.join(torch.cat([features, self.stream(images * mask)], dim=1))
        return joined


class FusedBackbone(Backbone):
    """The stages of a ResNet or a ConvNeXt behind `MaskedInput`, and the maps of three levels as one.

    Args:
        backbone: The plain backbone; the names of its tensors stay timm's.
        inserted: `input` and `levels`, which the network holds.
    """

    def __init__(self, backbone: Backbone, inserted: nn.ModuleDict) -> None:
        super().__init__(backbone.net, channels=LEVEL_WIDTH * len(LEVELS), stride=backbone.stride)
        self._held = (inserted,)  # a tuple, so that it is not registered a second time

    def before_norm(self, images: Tensor) -> Tensor:
        """Compute the fused map: (B, 3, H, W) -> (B, 3 LEVEL_WIDTH, h, w), of the size of the last stage's map."""
        inserted: Any = self._held[0]
        first, stages = split_stages(self.net)
        features = images
        for module in first:
            features = module(features)
        features = inserted["input"](images, features)
        maps = []
        for number, stage in enumerate(stages, start=1):
            features = stage(features)
            if number in LEVELS:
                maps.append(inserted["levels"][LEVELS.index(number)](features))
        size = (features.shape[2], features.shape[3])
        return torch.cat([resize_area(level, size) for level in maps], dim=1)


def split_stages(net: Any) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the modules before stage 1, and stages 1 to 4, of a ResNet or a ConvNeXt."""
    if isinstance(net, ResNet):
        net = cast("Any", net)  # torch declares a module's attributes as tensors or modules
        return [net.conv1, net.bn1, net.act1, net.maxpool], [net.layer1, net.layer2, net.layer3, net.layer4]
    return [net.stem], list(net.stages)


def _input_channels(backbone: Backbone) -> int:
    """Return C of the map that enters stage 1."""
    if isinstance(backbone.net, ResNet):
        channels: int = cast("Any", backbone.net).bn1.num_features
        return channels
    return stage_channels(backbone, 1)


def _convolution(channels: int, out: int, *, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(channels, out, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out), nn.ReLU())


def maskreid(
    backbone: str = "resnet50",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    part_dim: int = 256,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 2,
    drop_path: float = 0.0,
) -> ReID:
    """Build MaskReID: one vector of three levels.

    Args:
        backbone: timm's name of a ResNet or a ConvNeXt, without attention.
        identities: Training identities; 0 leaves the classifier out.
        pretrained: As for `convnext_ap`.
        weights: As for `convnext_ap`.
        part_dim: Width of the vector.
        embedding: `reduced` (part_dim) or `full` (3 x 256, before the linear layer).
        last_stride: 1 keeps the last stage's map at stride 16.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit, or the body estimator is missing.

    Example:
        >>> maskreid("resnet18").embedding_width
        256
    """
    require(part_dim >= 1, "part_dim", part_dim, "1 or more")
    path = find_weights_file(weights)
    net = build_backbone(
        backbone,
        pretrained=pretrained,
        weights=path,
        attention=False,
        last_stride=last_stride,
        drop_path=drop_path,
    )
    widths = [stage_channels(net, stage) for stage in LEVELS]
    move_norm_into_last_stage(net)
    inserted = nn.ModuleDict(
        {
            "input": MaskedInput(_input_channels(net)),
            "levels": nn.ModuleList(_convolution(width, LEVEL_WIDTH, kernel=1) for width in widths),
        }
    )
    network = ReID(
        FusedBackbone(net, inserted),
        identities=identities,
        pooling=Stripes(1),
        part_widths=(part_dim,),
        part_names=("three levels",),
        embedding=embedding,
        inserted=inserted,
    )
    return load_necks(network, path)
