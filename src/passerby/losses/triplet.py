"""Batch-hard triplet loss: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification" (2017).

B batch   D embedding width
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.losses.pairs import mean_where, pair_masks
from passerby.model.full_precision import unit_vectors


def triplet_loss(embedding: Tensor, labels: Tensor, *, margin: float | None) -> Tensor:
    """Compare each anchor's farthest positive with its nearest negative, averaged over the anchors that have both.

    [margin + d_p - d_n]+, or softplus(d_p - d_n) as the soft margin, on Euclidean distances of unit vectors (0 to 2).
    pytorch-metric-learning averages over the losses above 0 in place of the anchors.

    Args:
        embedding: (B, D), scaled to unit length here; half precision is computed in float32.
        labels: (B,) identity of each row.
        margin: Above 0, or None for the soft margin.

    Returns:
        A scalar, at least 0; 0 (with gradient 0) when no anchor has both.

    Example:
        >>> import torch
        >>> vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> triplet_loss(vectors, torch.tensor([0, 0, 1]), margin=0.3)
        tensor(0.2810)
    """
    vectors = unit_vectors(embedding)
    positive, negative = pair_masks(labels)
    distances = torch.cdist(vectors, vectors)  # (B, B), at most 2
    farthest = distances.masked_fill(~positive, -1).max(dim=1).values  # (B,)
    nearest = distances.masked_fill(~negative, 3).min(dim=1).values
    gaps = farthest - nearest
    losses = F.softplus(gaps) if margin is None else (margin + gaps).relu()
    return mean_where(losses, positive.any(dim=1) & negative.any(dim=1))
