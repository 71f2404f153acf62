"""Contrastive (verification) loss on pairs of images.

B batch   D embedding width
"""

from __future__ import annotations

import torch
from torch import Tensor

from passerby.losses.pairs import mean_where, pair_masks
from passerby.model.full_precision import unit_vectors


def contrastive_loss(embedding: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    """Penalize distances of positive pairs, and of negative pairs below `margin`.

    The mean of d over the positive pairs with d > 0, plus the mean of margin - d over the negative pairs with d below
    the margin, on Euclidean distances of unit vectors (0 to 2). Hadsell et al. (2006) square both terms and average
    over all pairs; P x K batches have many times more negatives than positives.

    Args:
        embedding: (B, D), scaled to unit length here; half precision is computed in float32.
        labels: (B,) identity of each row.
        margin: Distance, above 0, from which a negative pair has no loss.

    Returns:
        A scalar, at least 0; 0 (with gradient 0) when there is no such pair.

    Example:
        >>> import torch
        >>> vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> contrastive_loss(vectors, torch.tensor([0, 0, 1]), margin=1.0)
        tensor(1.2620)
    """
    vectors = unit_vectors(embedding)
    positive, negative = pair_masks(labels)
    distances = torch.cdist(vectors, vectors)  # (B, B)
    gaps = margin - distances
    return mean_where(distances, positive & (distances > 0)) + mean_where(gaps, negative & (gaps > 0))
