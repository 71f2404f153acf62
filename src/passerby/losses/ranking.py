"""Ranking loss of MaskReID: each anchor with all its positives and with the negatives that rank too near.

Qi et al., "MaskReID: A Mask Based Deep Ranking Neural Network for Person Re-identification" (2018), equation 5.

B batch   D embedding width
"""

from __future__ import annotations

import torch
from torch import Tensor

from passerby.losses.pairs import mean_where, pair_masks
from passerby.model.full_precision import unit_vectors


def ranking_loss(embedding: Tensor, labels: Tensor, *, margin: float, positive_weight: float) -> Tensor:
    """Compute the ranking loss, averaged over the anchors with both a positive and a negative.

    With cosine similarities s_p to the positives and s_n to the negatives of an anchor, its loss is

        log(1 + sum_n exp(s_n - min_p s_p + margin)) + positive_weight / 2 mean_p (s_p - 1)^2

    where the sum is over the negatives with s_n - min_p s_p + margin above 0. These are the paper's "some negative
    samples which have small distances", whose number it does not give.

    Args:
        embedding: (B, D), scaled to unit length here; half precision is computed in float32.
        labels: (B,) identity of each row.
        margin: Alpha of the paper, which a negative's similarity should be below that of the farthest positive.
        positive_weight: Lambda of the paper, weight of the positives' distances.

    Returns:
        A scalar, at least 0; 0 (with gradient 0) when no anchor has both.

    Example:
        >>> vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> ranking_loss(vectors, torch.tensor([0, 0, 1]), margin=0.15, positive_weight=2.0)
        tensor(0.6017)
    """
    vectors = unit_vectors(embedding)
    similar = vectors @ vectors.T  # (B, B)
    positive, negative = pair_masks(labels)  # (B, B) each
    farthest = similar.masked_fill(~positive, torch.inf).amin(dim=1, keepdim=True)  # (B, 1), inf without a positive
    gaps = similar - farthest + margin  # -inf without a positive
    inside = gaps.masked_fill(~negative | (gaps <= 0), -torch.inf).exp()  # 0 for all others, with gradient 0
    pulled = ((similar - 1).square() * positive).sum(dim=1) / positive.sum(dim=1).clamp(min=1)
    losses = inside.sum(dim=1).log1p() + 0.5 * positive_weight * pulled  # (B,)
    return mean_where(losses, positive.any(dim=1) & negative.any(dim=1))
