"""HPM: a pyramid of horizontal bins, each with a reduction and a classifier of its own.

Fu et al., "Horizontal Pyramid Matching for Person Re-Identification" (AAAI 2019).

    B batch   C channels   H W map height and width   P parts (bins of all levels)
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from passerby.model.backbone import build_backbone
from passerby.model.checks import require
from passerby.model.convnext_ap import EmbeddingKind, ReID, load_necks
from passerby.model.weights import find_weights_file

LEVELS = (1, 2, 4, 8)
"""Bins of each level of the paper's pyramid, 15 in all."""


class Pyramid(nn.Module):
    """Average plus maximum of each bin; bin i of n has rows floor(i H / n) to ceil((i + 1) H / n)."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, P, C), by level, each from the top."""
        height = features.shape[2]
        rows = ((i * height // bins, -(-(i + 1) * height // bins)) for bins in LEVELS for i in range(bins))
        bins = (features[:, :, top:bottom] for top, bottom in rows)
        return torch.stack([rows.mean(dim=(2, 3)) + rows.amax(dim=(2, 3)) for rows in bins], dim=1)


def hpm(
    backbone: str = "resnet50",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    part_dim: int = 256,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 1,
    drop_path: float = 0.0,
) -> ReID:
    """Build HPM: each bin has its own 1 x 1 convolution, batch norm and classifier.

    Args:
        backbone: As for `convnext_ap`, without attention.
        identities: Training identities; 0 leaves the classifiers out.
        pretrained: As for `convnext_ap`.
        weights: As for `convnext_ap`.
        part_dim: Width of each reduced bin.
        embedding: `reduced` (15 x part_dim) or `full` (15 x C).
        last_stride: 1 keeps the last stage's map at stride 16, as in the paper.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit.

    Example:
        >>> hpm("resnet18").embedding_width
        3840
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
    network = ReID(
        net,
        identities=identities,
        pooling=Pyramid(),
        part_widths=(part_dim,) * sum(LEVELS),
        part_names=[f"{number + 1}/{bins}" for bins in LEVELS for number in range(bins)],
        embedding=embedding,
    )
    return load_necks(network, path)
