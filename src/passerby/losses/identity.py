"""Identity loss: softmax over the training identities, one for each part as in PCB.

B batch   I identities
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.errors import RecipeError
from passerby.model.full_precision import full_precision


def identity_loss(
    logits: Sequence[Tensor], labels: Tensor, *, label_smoothing: float, weights: Tensor | None = None
) -> Tensor:
    """Compute the cross-entropy with label smoothing (Szegedy et al. 2016), averaged over the batch and the parts.

    Args:
        logits: One (B, I) for each part; half precision is computed in float32.
        labels: (B,) class of each image, 0 to I - 1.
        label_smoothing: Fraction of the target that is spread evenly over all I identities, 0 to below 1.
        weights: (B, P) factor of each part's loss; None is 1.

    Returns:
        A scalar, at least 0.

    Raises:
        RecipeError: When there are no logits.

    Example:
        >>> identity_loss([torch.zeros(2, 4)], torch.tensor([0, 3]), label_smoothing=0.1)
        tensor(1.3863)
    """
    if not logits:
        raise RecipeError("loss.identity: the network has no classifier; build it with identities, or set it to null")
    losses = [
        F.cross_entropy(full_precision(scores), labels, label_smoothing=label_smoothing, reduction="none")
        for scores in logits
    ]
    values = torch.stack(losses, dim=1)  # (B, P)
    return values.mean() if weights is None else (values * weights).mean()
