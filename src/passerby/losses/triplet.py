"""Batch-hard triplet loss: Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification" (2017).

B batch   D embedding width
"""

from __future__ import annotations

from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from passerby.model.full_precision import unit_vectors


def triplet_loss(embedding: Tensor, labels: Tensor, *, margin: float | None) -> Tensor:
    """Compare each anchor's farthest positive with its nearest negative, averaged over the anchors that have both.

    [margin + d_p - d_n]+, or softplus(d_p - d_n) as the soft margin, on Euclidean distances of unit vectors (0 to 2).
    pytorch-metric-learning computes it, with the mean of the paper in place of its mean over losses above 0.

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
    distance = LpDistance(normalize_embeddings=False)
    loss = TripletMarginLoss(
        margin=0 if margin is None else margin, smooth_loss=margin is None, distance=distance, reducer=MeanReducer()
    )
    value: Tensor = loss(vectors, labels, BatchHardMiner(distance=distance)(vectors, labels))
    return value
