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
    """Each anchor's farthest positive against its nearest negative, averaged over the anchors that have both.

    [margin + d_p - d_n]+, or softplus(d_p - d_n) as the soft margin, on Euclidean distances of unit vectors (0 to 2).
    pytorch-metric-learning computes it, with the plain mean of the paper in place of its mean over positive losses.

    Args:
        embedding: (B, D), brought to unit length here; half precision is computed in float32.
        labels: (B,) person of each row.
        margin: Above 0, or None for the soft margin.

    Returns:
        A scalar, at least 0; 0 (with gradient 0) when no anchor has both.
    """
    vectors = unit_vectors(embedding)
    distance = LpDistance(normalize_embeddings=False)
    loss = TripletMarginLoss(
        margin=0 if margin is None else margin, smooth_loss=margin is None, distance=distance, reducer=MeanReducer()
    )
    value: Tensor = loss(vectors, labels, BatchHardMiner(distance=distance)(vectors, labels))
    return value
