"""Center loss: distance of each image's features to the center of its identity.

Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition" (2016), equations 2 to 4; Luo et al.,
"Bag of Tricks and a Strong Baseline for Deep Person Re-Identification" (2019), weight it by 0.0005.

B batch   C channels   I identities
"""

from __future__ import annotations

import torch
from torch import Tensor

from passerby.model.full_precision import full_precision


def center_loss(pooled: Tensor, labels: Tensor, *, centers: Tensor) -> Tensor:
    """Compute half the squared Euclidean distance to the identity's center (equation 2), averaged over the batch.

    The papers sum over the batch; every loss here is a mean, so that its weight does not depend on the batch size.
    `CentroidTripletLoss` and the proxy losses of pytorch-metric-learning are different losses.

    Args:
        pooled: (B, C), not normalized; half precision is computed in float32.
        labels: (B,) class of each row, 0 to I - 1.
        centers: (I, C), without gradient.

    Returns:
        A scalar, at least 0.

    Example:
        >>> center_loss(torch.tensor([[3.0, 4.0]]), torch.tensor([0]), centers=torch.zeros(1, 2))
        tensor(12.5000)
    """
    differences = full_precision(pooled) - centers[labels]  # (B, C)
    return differences.square().sum(dim=1).mean() / 2


@torch.no_grad()
def move_centers(centers: Tensor, pooled: Tensor, labels: Tensor, *, alpha: float) -> None:
    """Move each center c of the batch's identities by -alpha sum(c - x) / (1 + n), over its n rows x (equation 4).

    Args:
        centers: (I, C), changed in place.
        pooled: (B, C).
        labels: (B,) class of each row.
        alpha: Rate of the centers, above 0 to 1.

    Example:
        >>> centers = torch.zeros(1, 2)
        >>> move_centers(centers, torch.tensor([[3.0, 4.0]]), torch.tensor([0]), alpha=0.5)
        >>> centers
        tensor([[0.7500, 1.0000]])
    """
    current = centers[labels]  # (B, C)
    same = (labels[:, None] == labels[None, :]).to(centers.dtype)  # (B, B)
    n = same.sum(dim=1, keepdim=True)
    moved = current - alpha * (n * current - same @ full_precision(pooled)) / (1 + n)
    centers[labels] = moved  # rows of one class are equal, so their order does not matter
