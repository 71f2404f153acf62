"""Center loss: everybody's images draw near the middle of their own person.

Wen et al., "A Discriminative Feature Learning Approach for Deep Face Recognition" (2016), equations 2 to 4; Luo et al.,
"Bag of Tricks and a Strong Baseline for Deep Person Re-Identification" (2019), weigh it by 0.0005.

B batch   C channels   I identities
"""

from __future__ import annotations

import torch
from torch import Tensor

from passerby.model.full_precision import full_precision


def center_loss(pooled: Tensor, labels: Tensor, *, centers: Tensor) -> Tensor:
    """Half the squared Euclidean distance to the own person's center (equation 2), its mean over the batch.

    The papers sum over the batch; every loss here is a mean, so that a weight does not depend on the batch.
    pytorch-metric-learning's `CentroidTripletLoss` and proxies are other losses.

    Args:
        pooled: (B, C), not normalized; half precision is computed in float32.
        labels: (B,) class of each row, 0 to I - 1.
        centers: (I, C), without gradient.

    Returns:
        A scalar, at least 0.
    """
    apart = full_precision(pooled) - centers[labels]  # (B, C)
    return apart.square().sum(dim=1).mean() / 2


@torch.no_grad()
def move_centers(centers: Tensor, pooled: Tensor, labels: Tensor, *, alpha: float) -> None:
    """Move, in place, each center c that the batch shows by -alpha sum(c - x) / (1 + n) over its n rows x (equation 4).

    Args:
        centers: (I, C).
        pooled: (B, C).
        labels: (B,) class of each row.
        alpha: How fast, above 0 to 1.
    """
    shown = centers[labels]  # (B, C)
    same = (labels[:, None] == labels[None, :]).to(centers.dtype)  # (B, B)
    n = same.sum(dim=1, keepdim=True)
    moved = shown - alpha * (n * shown - same @ full_precision(pooled)) / (1 + n)
    centers[labels] = moved  # rows of one class are equal, so that their order does not matter
