"""From a map to the vectors that a toolkit embeds: average, generalized mean, stripes.

B batch   C channels   H W map height and width   P vectors of an image
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

GEM_FLOOR = 1e-6
"""Least value that the generalized mean takes a power of."""


class Average(nn.Module):
    """Average over all positions."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, C)."""
        return features.mean(dim=(2, 3))[:, None]


class GeneralizedMean(nn.Module):
    """p-th root of the average p-th power, with one trained p (Radenovic et al. 2018)."""

    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), 3.0))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1, C)."""
        powers = features.clamp(min=GEM_FLOOR).pow(self.p)
        return powers.mean(dim=(2, 3)).pow(1 / self.p)[:, None]
