"""From a map to vectors: stripes (PCB), their refinement (RPP), and the neck after each pooled vector.

Sun et al., "Beyond Part Models: Person Retrieval with Refined Part Pooling" (2018); ConvNeXt-AP's equations 1 and 2.

    B batch   C channels   H W map height and width   P parts   D width of a reduced vector   I identities
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Stripes(nn.Module):
    """Average over each of `parts` horizontal stripes; stripe i has rows floor(i H / P) to ceil((i + 1) H / P).

    These are the bounds of adaptive average pooling: every map height works, and neighboring stripes share a row where
    P does not divide it. Adaptive pooling itself does not run on MPS and does not export; slices do.
    """

    def __init__(self, parts: int) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, P, C)."""
        height, parts = features.shape[2], self.parts
        rows = ((i * height // parts, -(-(i + 1) * height // parts)) for i in range(parts))
        return torch.stack([features[:, :, top:bottom].mean(dim=(2, 3)) for top, bottom in rows], dim=1)


class Refinement(nn.Module):
    """Part classifier of RPP: probability of each part for each column vector f of the map.

    P(P_i | f) = softmax_i(W_i^T f), without bias (equation 1). It adds C x P parameters.
    """

    def __init__(self, channels: int, parts: int) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(channels, parts, kernel_size=1, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, P, H, W), with sum 1 over P at every position."""
        scores: Tensor = self.classifier(features)
        return scores.softmax(dim=1)


def pool_by_assignment(features: Tensor, assignment: Tensor) -> Tensor:
    """Average the column vectors f for each part i, weighted by P(P_i | f) (equation 2).

    Args:
        features: (B, C, H, W).
        assignment: (B, P, H, W), at least 0, with a positive sum for each part.

    Returns:
        (B, P, C).
    """
    weights = assignment / assignment.sum(dim=(2, 3), keepdim=True)
    columns = features.flatten(2).transpose(1, 2)  # (B, H * W, C)
    return weights.to(features.dtype).flatten(2) @ columns  # (B, P, C)


class Neck(nn.Module):
    """Layers after one pooled vector: reduction, batch norm, optional ReLU, and the identity classifier for training.

    The reduction is the paper's 1 x 1 convolution, which is a linear map on a pooled vector.

    Args:
        channels: C of the pooled vector.
        width: D after reduction; None for no reduction (BNNeck of a global vector), D = C.
        identities: Training identities; 0 for no classifier.
        relu: Add a ReLU after the batch norm.
        bias: Add a bias to the reduction.
        norm: Use a batch norm.
    """

    def __init__(
        self,
        channels: int,
        *,
        width: int | None,
        identities: int,
        relu: bool = False,
        bias: bool = False,
        norm: bool = True,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.width = channels if width is None else width
        self.reduce = nn.Identity() if width is None else nn.Linear(channels, width, bias=bias)
        self.norm = nn.BatchNorm1d(self.width) if norm else nn.Identity()
        self.relu = relu
        self.classifier = nn.Linear(self.width, identities) if identities else None
        if isinstance(self.reduce, nn.Linear):
            nn.init.kaiming_normal_(self.reduce.weight, mode="fan_out")
        if self.classifier is not None:
            nn.init.normal_(self.classifier.weight, std=0.001)
            nn.init.zeros_(self.classifier.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor | None]:
        """(B, C) -> reduced (B, D), logits (B, I) or None."""
        reduced = self.norm(self.reduce(pooled))
        reduced = reduced.relu() if self.relu else reduced
        return reduced, None if self.classifier is None else self.classifier(reduced)
