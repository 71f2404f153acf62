"""CAMA: branches that share all but the last stage, each trained to look where the branches before it do not.

Yang et al., "Towards Rich Feature Discovery with Class Activation Maps Augmentation for Person Re-Identification" (CVPR
2019). The soft mask around the k-th largest activation, the mean over pairs and the constant maps of earlier branches
are those of public re-implementations of the penalty, as is `ACTIVE`; they have not been compared with the paper.

    B batch   C channels of a branch   H W map height and width   N branches   I identities
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor, nn

from passerby.errors import RecipeError
from passerby.model.backbone import build_backbone
from passerby.model.baselines.insertion import move_norm_into_last_stage, replace_last_stage
from passerby.model.checks import require
from passerby.model.convnext_ap import EmbeddingKind, ReID
from passerby.model.full_precision import full_precision, without_autocast
from passerby.model.weights import find_weights_file

ACTIVE = 0.3
"""Fraction of the positions that count as activated."""


class BranchedStage(nn.Module):
    """Copies of a stage with the same initial weights; their maps side by side."""

    def __init__(self, stage: nn.Module, branches: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(deepcopy(stage) for _ in range(branches))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, N C, H, W)."""
        return torch.cat([branch(features) for branch in self.branches], dim=1)


class BranchAverages(nn.Module):
    """Average of each branch's map, and the overlapped activation penalty in training.

    Args:
        branches: N.
        overlap_weight: Weight of the penalty.
    """

    def __init__(self, branches: int, *, overlap_weight: float) -> None:
        super().__init__()
        self.branches, self.overlap_weight = branches, overlap_weight

    def forward(self, features: Tensor) -> Tensor:
        """(B, N C, H, W) -> (B, N, C)."""
        averages: Tensor = features.mean(dim=(2, 3)).unflatten(1, (self.branches, -1))
        return averages

    def labeled_loss(self, features: Tensor, labels: Tensor, classifiers: Sequence[nn.Linear | None]) -> Tensor:
        """Compute the weighted overlapped activation penalty.

        M_n is branch n's class activation map of the image's own identity y, and A_n its soft mask, 1/2 at the k-th
        largest of the H W values, k = ACTIVE H W:

            M_n = sum_c w_nyc x_nc,   A_n = sigmoid(M_n - M_n[k]),   penalty = mean over m < n of mean(A_m A_n)

        The mean is over positions and images. Gradients reach A_n only: the earlier branch m keeps its regions.

        Args:
            features: (B, N C, H, W).
            labels: (B,) class of each image.
            classifiers: N, with weights w_n (I, C).

        Raises:
            RecipeError: Without classifiers.
        """
        masks = []
        with without_autocast(features):
            for branch, classifier in zip(features.chunk(self.branches, dim=1), classifiers, strict=True):
                if classifier is None:
                    raise RecipeError(
                        "loss.identity: cama finds its maps by classifiers; give the identity loss a weight"
                    )
                masks.append(soft_mask(activation_map(full_precision(branch), classifier.weight[labels])))
        overlaps = [(earlier.detach() * later).mean() for earlier, later in combinations(masks, 2)]
        return self.overlap_weight * torch.stack(overlaps).mean()


def activation_map(features: Tensor, weights: Tensor) -> Tensor:
    """Weigh the channels of each map: (B, C, H, W), (B, C) -> (B, H, W)."""
    return torch.einsum("bchw,bc->bhw", features, weights)


def soft_mask(maps: Tensor) -> Tensor:
    """Compute the soft masks of activation maps: (B, H, W) -> (B, H, W), 0 to 1 and 1/2 at the k-th largest value."""
    values = maps.flatten(1)  # (B, H W)
    count = max(1, round(ACTIVE * values.shape[1]))
    threshold = values.topk(count, dim=1).values[:, -1]  # (B,)
    return (maps - threshold[:, None, None]).sigmoid()


def cama(
    backbone: str = "resnet50",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    activation_branches: int = 3,
    overlap_weight: float = 1.0,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 1,
    drop_path: float = 0.0,
) -> ReID:
    """Build CAMA: N branches of the last stage, each with an average of its map and a classifier.

    Metric losses compare each branch separately.

    Args:
        backbone: timm's name of a ResNet or a ConvNeXt, without attention.
        identities: Training identities; 0 leaves the classifiers out.
        pretrained: As for `convnext_ap`; every branch starts with the weights of the last stage.
        weights: As for `convnext_ap`, of the backbone only, without branches.
        activation_branches: N, 2 to 8; 3 in the paper.
        overlap_weight: Weight of the overlapped activation penalty, 0 or more.
        embedding: `reduced` and `full` are the same N C here, as nothing is reduced.
        last_stride: 1 keeps the last stage's map at stride 16.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit.

    Example:
        >>> cama("resnet18").embedding_width
        1536
    """
    require(2 <= activation_branches <= 8, "activation_branches", activation_branches, "2 to 8")
    require(overlap_weight >= 0, "overlap_weight", overlap_weight, "0 or more")
    net = build_backbone(
        backbone,
        pretrained=pretrained,
        weights=find_weights_file(weights),
        attention=False,
        last_stride=last_stride,
        drop_path=drop_path,
    )
    widths = (net.channels,) * activation_branches
    move_norm_into_last_stage(net)
    replace_last_stage(net, lambda stage: BranchedStage(stage, activation_branches))
    net.channels = sum(widths)
    return ReID(
        net,
        identities=identities,
        pooling=BranchAverages(activation_branches, overlap_weight=overlap_weight),
        part_widths=widths,
        part_names=[f"branch {number + 1}" for number in range(activation_branches)],
        embedding=embedding,
        branches=True,
        reduced_by_pooling=True,
    )
