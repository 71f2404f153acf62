"""SimAM: attention without parameters, and where it goes in a ConvNeXt block.

Yang et al., "SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural Networks" (2021); ConvNeXt-AP's
equations 3 to 6. A position that differs from the rest of its channel has low energy and is let through.

    B batch   C channels   H W map height and width
"""

from __future__ import annotations

from typing import Literal

import torch
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn

AttentionPosition = Literal["depthwise", "block"]
HALVES = (torch.float16, torch.bfloat16)


def simam(x: Tensor, lambda_: float = 1e-4) -> Tensor:
    """Weigh every position of every channel by the sigmoid of its inverse energy.

    With M = H * W positions, mean mu and n = M - 1 of one channel: d = (x - mu)^2, v = sum(d) / n,
    1/E = d / (4 (v + lambda)) + 1/2, and the result is x * sigmoid(1/E). A map of one position has no neighbours to
    differ from: d and v are 0, as for any constant map, and the result is x * sigmoid(1/2).

    Args:
        x: (B, C, H, W). Half precision is weighed in float32 and comes back in its own type.
        lambda_: Keeps a constant channel from dividing by zero; larger is gentler. Above 0.

    Returns:
        (B, C, H, W) of the type and memory layout of `x`.
    """
    work = x.float() if x.dtype in HALVES else x
    n = max(x.shape[-2] * x.shape[-1] - 1, 1)
    d = (work - work.mean(dim=(-2, -1), keepdim=True)).square()  # (B, C, H, W)
    v = d.sum(dim=(-2, -1), keepdim=True) / n  # (B, C, 1, 1)
    return (work * torch.sigmoid(d / (4 * (v + lambda_)) + 0.5)).to(x.dtype)


class SimAM(nn.Module):
    """`simam` as a module; it has no parameter and no buffer, so checkpoints do not know of it."""

    def __init__(self, lambda_: float = 1e-4) -> None:
        super().__init__()
        self.lambda_ = lambda_

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return simam(x, self.lambda_)

    def extra_repr(self) -> str:
        """What `print(network)` shows."""
        return f"lambda_={self.lambda_}"


class AttendedBlock(nn.Module):
    """timm's ConvNeXt block with SimAM in it.

    It takes over the block's own modules under their own names, so that a checkpoint fits with and without attention.

    Args:
        block: The block to take over; it must not be used by itself afterwards.
        position: `depthwise`: on the map that the depthwise convolution makes. `block`: on the map that the MLP
            makes, before layer scale (behind it, values of 1e-6 would vanish beside lambda).
    """

    def __init__(self, block: ConvNeXtBlock, *, position: AttentionPosition) -> None:
        super().__init__()
        self.conv_dw = block.conv_dw
        self.norm = block.norm
        self.mlp = block.mlp
        self.gamma = block.gamma
        self.shortcut = block.shortcut
        self.drop_path = block.drop_path
        self.attention = SimAM()
        self.position = position
        self.channels_first = block.use_conv_mlp

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        y = self.conv_dw(x)
        if self.position == "depthwise":
            y = self.attention(y)
        if self.channels_first:
            y = self.mlp(self.norm(y))
        else:
            y = self.mlp(self.norm(y.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)  # through (B, H, W, C)
        if self.position == "block":
            y = self.attention(y)
        if self.gamma is not None:
            y = y * self.gamma.reshape(1, -1, 1, 1)
        return self.drop_path(y) + self.shortcut(x)  # type: ignore[no-any-return]
