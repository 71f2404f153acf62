"""Pairs of a batch as masks of fixed shape.

The host must read the size of a selection of pairs by index, which waits for the device at every step.

B batch   D embedding width
"""

from __future__ import annotations

import torch
from torch import Tensor


def pair_masks(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Mark the positive pairs (same identity, two images) and the negative pairs: (B,) -> two (B, B) bool.

    Example:
        >>> positive, negative = pair_masks(torch.tensor([0, 0, 1]))
        >>> positive.sum().item(), negative.sum().item()
        (2, 4)
    """
    same = labels[:, None] == labels[None]  # (B, B)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return same & ~itself, ~same


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """Average the values in the mask; 0, with gradient 0, where there are none.

    Args:
        values: Finite, of any shape.
        mask: Of the same shape.

    Example:
        >>> mean_where(torch.tensor([1.0, 2.0, 6.0]), torch.tensor([True, False, True]))
        tensor(3.5000)
    """
    return values.masked_fill(~mask, 0).sum() / mask.sum().clamp(min=1)


def logsumexp_where(values: Tensor, mask: Tensor) -> Tensor:
    """Compute log(sum(exp)) over the values of each row in the mask: (B, B) -> (B,).

    A row without any has the lowest finite number, whose exponential is 0.

    Example:
        >>> logsumexp_where(torch.tensor([[1.0, 2.0]]), torch.tensor([[True, False]]))
        tensor([1.])
    """
    return values.masked_fill(~mask, torch.finfo(values.dtype).min).logsumexp(dim=1)
