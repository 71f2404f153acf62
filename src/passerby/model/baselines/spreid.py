"""SPReID: the map is averaged over the whole image, over the person, and over the parts of the body.

Kalayeh et al., "Human Semantic Parsing for Person Re-identification" (CVPR 2018). For each region r of the body with
probability p_r, from the shipped body estimator in place of the paper's parser (30 million weights, trained on people):

    v_r = sum_xy p_r(x, y) f(x, y) / sum_xy p_r(x, y)
    vector = [v_person, max(v_head, v_upper, v_lower, v_shoes) element by element, mean of the map]

The probabilities are averaged over each position of the map, where the paper enlarges the map.

    B batch   C channels   H W map height and width   R regions
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from passerby.model.backbone import build_backbone
from passerby.model.body_estimator import BODY_PARTS, Body, load_body_estimator
from passerby.model.convnext_ap import EmbeddingKind, ReID
from passerby.model.weights import find_weights_file

REGIONS = {"head": ("head",), "upper": ("upper", "arms"), "lower": ("lower",), "shoes": ("feet",)}
"""The paper's regions, and the parts of the estimator in each."""


class SemanticPooling(nn.Module):
    """Average the map over the person, the parts of the body and the image."""

    reads_images = True

    def __init__(self) -> None:
        super().__init__()
        self.body = load_body_estimator()

    def forward(self, features: Tensor, images: Tensor) -> Tensor:
        """Pool (B, C, H, W) by the bodies in (B, 3, h, w): (B, 1, 3 C)."""
        body = self.body(images).resize((features.shape[2], features.shape[3]))
        person, *regions = pool_regions(features, region_weights(body)).unbind(dim=1)  # (B, C) each
        strongest = torch.stack(regions).amax(dim=0)
        return torch.cat([person, strongest, features.mean(dim=(2, 3))], dim=1)[:, None]


def region_weights(body: Body) -> Tensor:
    """Return the probability of the person and of each region at each position: (B, R, H, W)."""
    groups = [[BODY_PARTS.index(name) for name in names] for names in REGIONS.values()]
    return torch.cat([body.mask, *(body.parts[:, group].sum(dim=1, keepdim=True) for group in groups)], dim=1)


def pool_regions(features: Tensor, weights: Tensor) -> Tensor:
    """Average the columns of a map with weights: (B, C, H, W), (B, R, H, W) -> (B, R, C)."""
    weights = weights / (weights.sum(dim=(2, 3), keepdim=True) + 1e-6)  # a region that is not seen has tiny weights
    return weights.to(features.dtype).flatten(2) @ features.flatten(2).transpose(1, 2)


def spreid(
    backbone: str = "resnet50",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 2,
    drop_path: float = 0.0,
) -> ReID:
    """Build SPReID: one vector of 3 C, with a classifier.

    Args:
        backbone: As for `convnext_ap`, without attention.
        identities: Training identities; 0 leaves the classifier out.
        pretrained: As for `convnext_ap`.
        weights: As for `convnext_ap`, of the backbone only.
        embedding: `reduced` and `full` are the same 3 C here, as nothing is reduced.
        last_stride: 2 in the paper; 1 keeps the last stage's map at stride 16.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit, or the body estimator is missing.

    Example:
        >>> spreid("resnet18").embedding_width
        1536
    """
    net = build_backbone(
        backbone,
        pretrained=pretrained,
        weights=find_weights_file(weights),
        attention=False,
        last_stride=last_stride,
        drop_path=drop_path,
    )
    return ReID(
        net,
        identities=identities,
        pooling=SemanticPooling(),
        part_widths=(3 * net.channels,),
        part_names=("person, body and image",),
        embedding=embedding,
        reduced_by_pooling=True,
    )
