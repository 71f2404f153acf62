"""BDB: a branch of the whole map and a branch in which a block of the map is dropped, the same for the whole batch.

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
"""Width of each branch's vector."""


class BatchDrop(nn.Module):
    """Set one block of the map to zero in training, the same for all images of a forward pass; nothing in evaluation.

    Its position is drawn by torch's generator on the CPU, which the loop seeds for each step and process, so that the
    device is not waited for; each of several processes draws a block of its own.

    Args:
        height: Height of the block as a fraction of the map's, above 0 to 1.
        width: Width of the block as a fraction of the map's.
    """

    def __init__(self, *, height: float, width: float) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        if not self.training:
            return features
        top, bottom = _draw_range(features.shape[2], self.height)
        left, right = _draw_range(features.shape[3], self.width)
        kept = features.new_ones(features.shape[2:])  # (H, W)
        kept[top:bottom, left:right] = 0
        return features * kept


def _draw_range(length: int, fraction: float) -> tuple[int, int]:
    """Draw begin and end of a range of round(fraction * length)."""
    size = round(fraction * length)
    begin = int(torch.randint(length - size + 1, (), device="cpu"))
    return begin, begin + size


class Branches(nn.Module):
    """Global branch: average of the map. Dropping branch: bottleneck block, `BatchDrop`, maximum of the map."""

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
    """Build BDB: vectors of 512 (global) and 1024 (dropping), each with reduction, batch norm and ReLU.

    Each branch has a classifier, and metric losses compare each branch separately, as in the paper.

    Args:
        backbone: As for `convnext_ap`, without attention.
        identities: Training identities; 0 leaves the classifiers out.
        pretrained: As for `convnext_ap`.
        weights: As for `convnext_ap`.
        drop_height: Height of the dropped block as a fraction of the map's, above 0 to 1.
        drop_width: Its width as a fraction of the map's, above 0 to 1.
        embedding: `reduced` (512 + 1024) or `full` (2 x C).
        last_stride: 1 keeps the last stage's map at stride 16, as in the paper.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit.

    Example:
        >>> bdb("resnet18").embedding_width
        1536
    """
    require(0 < drop_height <= 1, "drop_height", drop_height, "above 0 to 1")
    require(0 < drop_width <= 1, "drop_width", drop_width, "above 0 to 1")
    require(
        drop_height < 1 or drop_width < 1,
        "drop_height",
        drop_height,
        "below 1, as drop_width is 1: the whole map would drop",
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
