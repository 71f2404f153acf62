"""Contrastive (verification) loss: are these two images one person?

B batch   D embedding width
"""

from __future__ import annotations

from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import ContrastiveLoss
from torch import Tensor

from passerby.model.full_precision import unit_vectors


def contrastive_loss(embedding: Tensor, labels: Tensor, *, margin: float) -> Tensor:
    """Positives are drawn to distance 0, negatives pushed beyond `margin`; pytorch-metric-learning's definition.

    The mean of d over the positive pairs that are apart, plus the mean of margin - d over the negative pairs nearer
    than margin, on Euclidean distances of unit vectors (0 to 2). (Hadsell et al. 2006 square both terms and average
    over all pairs, where P x K batches have many times more negatives than positives.)

    Args:
        embedding: (B, D), brought to unit length here; half precision is computed in float32.
        labels: (B,) person of each row.
        margin: Distance from which a negative pair is right, above 0.

    Returns:
        A scalar, at least 0; 0 (with gradient 0) when there is no such pair.
    """
    loss = ContrastiveLoss(pos_margin=0, neg_margin=margin, distance=LpDistance(normalize_embeddings=False))
    value: Tensor = loss(unit_vectors(embedding), labels)
    return value
