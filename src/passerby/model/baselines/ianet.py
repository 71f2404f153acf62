"""IANet: blocks in which every position takes up related positions of the map, and every channel related channels.

Hou et al., "Interaction-and-Aggregation Network for Person Re-Identification" (CVPR 2019). The equations are those of
the authors' code; its Gaussians of 20 x 10 positions on a map of 32 x 16, and of 10 x 5 on 16 x 8, are `SPREAD` here.

    B batch   C channels   H W map height and width   N positions, H * W
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from passerby.model.backbone import build_backbone
from passerby.model.baselines.insertion import insert_after_stage, stage_channels
from passerby.model.convnext_ap import EmbeddingKind, ReID, load_necks
from passerby.model.full_precision import full_precision, without_autocast
from passerby.model.weights import find_weights_file

SPREAD = 0.625
"""Standard deviation of the location relation, as a fraction of the map's height and of its width."""
STAGES = (2, 3)
"""Stages of the backbone that end in a block."""


class SpatialInteraction(nn.Module):
    """SIA: add to each position the mean of all positions, weighted by appearance and location.

    For positions i and j of the map x:

        appearance_ij = softmax_j(x_i . x_j / sqrt(C))
        location_ij = softmax_j(-(dy_ij / (SPREAD H))^2 / 2 - (dx_ij / (SPREAD W))^2 / 2)
        output_i = x_i + norm(sum_j softmax_j(appearance_ij location_ij) x_j)

    The weights of the norm start at 0, so that pretrained weights of the backbone keep their function.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _zero_norm(channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = features.shape[2:]
        with without_autocast(features):  # sums of squares, which half precision rounds
            x = full_precision(features).flatten(2)  # (B, C, N)
            appearance = (x.transpose(1, 2) @ x / x.shape[1] ** 0.5).softmax(dim=2)  # (B, N, N)
            relation = (appearance * location_relation(height, width).to(x)).softmax(dim=2)
            taken = x @ relation.transpose(1, 2)  # (B, C, N)
        update: Tensor = self.norm(taken.unflatten(2, (height, width)))
        return features + update


class ChannelInteraction(nn.Module):
    """CIA: add to each channel the mean of all channels, weighted by softmax over d of x_c . x_d, after a norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _zero_norm(channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        with without_autocast(features):
            x = full_precision(features).flatten(2)  # (B, C, N)
            taken = (x @ x.transpose(1, 2)).softmax(dim=2) @ x  # (B, C, N)
        update: Tensor = self.norm(taken.unflatten(2, features.shape[2:]))
        return features + update


def location_relation(height: int, width: int) -> Tensor:
    """Compute the location relation of all positions of a map, row by row: (N, N), rows with sum 1."""
    y, x = torch.arange(height) / (SPREAD * height), torch.arange(width) / (SPREAD * width)
    places = torch.cartesian_prod(y, x)  # (N, 2)
    squares = (places[:, None] - places[None]).square().sum(dim=2)  # (N, N)
    return (-squares / 2).softmax(dim=1)


def _zero_norm(channels: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(channels)
    nn.init.zeros_(norm.weight)
    return norm


def ianet(
    backbone: str = "resnet50",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 1,
    drop_path: float = 0.0,
) -> ReID:
    """Build IANet: SIA and CIA after stages 2 and 3, then one global vector with a batch norm.

    Args:
        backbone: timm's name of a ResNet or a ConvNeXt, without attention.
        identities: Training identities; 0 leaves the classifier out.
        pretrained: As for `convnext_ap`.
        weights: As for `convnext_ap`.
        embedding: `reduced` (after the batch norm) or `full` (before it), both C wide.
        last_stride: 1 keeps the last stage's map at stride 16.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit.

    Example:
        >>> ianet("resnet18").embedding_width
        512
    """
    path = find_weights_file(weights)
    net = build_backbone(
        backbone,
        pretrained=pretrained,
        weights=path,
        attention=False,
        last_stride=last_stride,
        drop_path=drop_path,
    )
    blocks = nn.ModuleList()
    for stage in STAGES:
        channels = stage_channels(net, stage)
        blocks.append(nn.Sequential(SpatialInteraction(channels), ChannelInteraction(channels)))
        insert_after_stage(net, stage, blocks[-1])
    network = ReID(net, identities=identities, pooling=None, part_widths=(), embedding=embedding, inserted=blocks)
    return load_necks(network, path)
