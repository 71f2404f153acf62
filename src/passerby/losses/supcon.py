"""Supervised contrastive loss: every other image of the person, against everybody in the batch.

B batch   D embedding width
"""

from __future__ import annotations

from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor

from passerby.model.full_precision import unit_vectors


def supcon_loss(embedding: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Khosla et al., "Supervised Contrastive Learning" (2020), equation 2 (the sum outside the logarithm).

    For each anchor, the mean over its positives of -log of the positive's share of exp(cosine / temperature) among all
    other images of the batch; averaged over the anchors that have a positive. Unlike batch-hard triplets it pulls and
    pushes every pair from the first step, so that it does not collapse when people look alike to a new network.

    Args:
        embedding: (B, D), brought to unit length here; half precision is computed in float32.
        labels: (B,) person of each row.
        temperature: Above 0; smaller looks harder at the nearest.

    Returns:
        A scalar; 0 (with gradient 0) when no anchor has a positive.
    """
    value: Tensor = SupConLoss(temperature=temperature)(unit_vectors(embedding), labels)
    return value
