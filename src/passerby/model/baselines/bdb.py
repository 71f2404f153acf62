"""BDB: beside the whole map, a branch that must do without a block of it, the same block in the whole batch.

Dai et al., "Batch DropBlock Network for Person Re-Identification and Beyond" (ICCV 2019).

    B batch   C channels   H W map height and width   P parts (the two branches)
"""

from __future__ import annotations

from pathlib import Path

import torch
from timm.models.resnet import Bottleneck
from torch import Tensor, nn

from passerby.model.backbone import build_backbone
from passerby.model.checks import require
from passerby.model.convnext_ap import EmbeddingKind, ReID, load_necks
from passerby.model.weights import find_weights_file

BRANCHES = {"global": 512, "dropping": 1024}
"""The branches with the widths of their vectors."""


class BatchDrop(nn.Module):
    """In training, one block of the map is zero, the same for every image that is computed together.

    Its place comes from torch's own generator on the CPU, which the loop seeds for each step and process; with several
    processes each has a block of its own. In evaluation nothing is dropped.

    Args:
        height: The block's share of the map's height, above 0 to 1.
        width: Its share of the width.
    """

    def __init__(self, *, height: float, width: float) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if not self.training:
            return features
        top, bottom = _stretch(features.shape[2], self.height)
        left, right = _stretch(features.shape[3], self.width)
        kept = features.new_ones(features.shape[2:])  # (H, W)
        kept[top:bottom, left:right] = 0
        return features * kept


def _stretch(length: int, share: float) -> tuple[int, int]:
    """Begin and end of a random stretch of round(share * length)."""
    size = round(share * length)
    begin = int(torch.randint(length - size + 1, (), device="cpu"))
    return begin, begin + size


class Branches(nn.Module):
    """Global: the map's average. Dropping: a bottleneck block, `BatchDrop`, the map's maximum."""

    def __init__(self, channels: int, *, drop_height: float, drop_width: float) -> None:
        super().__init__()
        self.bottleneck = Bottleneck(channels, channels // Bottleneck.expansion)
        self.drop = BatchDrop(height=drop_height, width=drop_width)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 2, C)."""
        dropped = self.drop(self.bottleneck(features))
        return torch.stack([features.mean(dim=(2, 3)), dropped.amax(dim=(2, 3))], dim=1)


def bdb(
    backbone: str = "resnet50",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    drop_height: float = 0.3,
    drop_width: float = 1.0,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 1,
    drop_path: float = 0.0,
) -> ReID:
    """Build BDB: vectors of 512 (global) and 1024 (dropping), each reduced, batch-normed, and through a ReLU.

    Metric losses look at each branch by itself, as the paper's do; a classifier belongs to each.

    Args:
        backbone: As for `convnext_ap`, without attention.
        identities: Training identities; 0 leaves the classifiers out.
        pretrained: As for `convnext_ap`.
        weights: As for `convnext_ap`.
        drop_height: The dropped block's share of the map's height, above 0 to 1.
        drop_width: Its share of the width, above 0 to 1.
        embedding: `reduced` (512 + 1024) or `full` (2 x C).
        last_stride: 1 keeps the last stage's map at stride 16, as the paper does.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not have.
        WeightsError: When weights cannot be had or do not fit.
    """
    require(0 < drop_height <= 1, "drop_height", drop_height, "above 0 to 1")
    require(0 < drop_width <= 1, "drop_width", drop_width, "above 0 to 1")
    require(
        drop_height < 1 or drop_width < 1, "drop_height", drop_height, "below 1, as drop_width is 1: nothing is left"
    )
    path = find_weights_file(weights)
    net = build_backbone(
        backbone,
        pretrained=pretrained,
        weights=path,
        attention=False,
        last_stride=last_stride,
        drop_path=drop_path,
    )
    network = ReID(
        net,
        identities=identities,
        pooling=Branches(net.channels, drop_height=drop_height, drop_width=drop_width),
        part_widths=tuple(BRANCHES.values()),
        part_names=tuple(BRANCHES),
        embedding=embedding,
        relu=True,
        branches=True,
    )
    return load_necks(network, path)
