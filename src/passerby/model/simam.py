"""SimAM: attention without parameters, and where it goes in a ConvNeXt block.

Yang et al., "SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural Networks" (2021); ConvNeXt-AP's
equations 3 to 6. A position that differs from the rest of its channel has low energy and gets a weight close to 1.

    B batch   C channels   H W map height and width
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from passerby.model.full_precision import full_precision

AttentionPosition = Literal["depthwise", "block"]
MAP = (-2, -1)
"""Dimensions of a map's positions."""


def simam(x: Tensor, lambda_: float = 1e-4) -> Tensor:
    """Multiply every position of every channel by the sigmoid of its inverse energy.

    With M = H * W positions, mean mu and n = M - 1 of one channel: d = (x - mu)^2, v = sum(d) / n,
    1/E = d / (4 (v + lambda)) + 1/2, and the result is x * sigmoid(1/E). In a map of one position d and v are 0, as in
    any constant map, and the result is x * sigmoid(1/2).

    Args:
        x: (B, C, H, W). Half precision is computed in float32 and returned in its own type.
        lambda_: Regularization, above 0: prevents a division by zero in a constant channel; larger values weaken the
            attention.

    Returns:
        (B, C, H, W) of the type and memory layout of `x`.

    Example:
        >>> simam(torch.zeros(1, 2, 8, 4)).shape
        torch.Size([1, 2, 8, 4])
    """
    if torch.is_grad_enabled() and x.requires_grad:
        result: Tensor = _SimAM.apply(x, lambda_)
        return result
    return _weigh(x, lambda_)


def _weigh(x: Tensor, lambda_: float) -> Tensor:
    """Compute `simam` with few passes over the map, in place on memory that is allocated here."""
    wide = full_precision(x)
    d = (wide - wide.mean(MAP, keepdim=True)).square_()  # (B, C, H, W)
    return d.mul_(_gain(d, lambda_)).add_(0.5).sigmoid_().mul_(wide).to(x.dtype)


def _gain(d: Tensor, lambda_: float) -> Tensor:
    """Compute 1 / (4 (v + lambda)): (B, C, H, W) -> (B, C, 1, 1)."""
    return (4 * (d.sum(MAP, keepdim=True) / _degrees(d) + lambda_)).reciprocal_()


def _degrees(x: Tensor) -> int:
    """Return n = M - 1, but 1 for a single position, whose d is 0 anyway."""
    return max(x.shape[-2] * x.shape[-1] - 1, 1)


class _SimAM(torch.autograd.Function):
    """`simam` that saves only its input for the backward pass and computes the rest again.

    With plain autograd a block saves four maps (eight for a bfloat16 map) and takes 1.3 to 1.7 times as long on a CPU.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, lambda_: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.lambda_ = lambda_
        return _weigh(x, lambda_)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """With u = x - mu, k = 1 / (4 (v + lambda)) and s = k d + 1/2, where d = u^2 and v = sum(d) / n.

        dL/ds = g x sigmoid'(s);  dL/dd = k dL/ds - (4 k^2 / n) sum(d dL/ds);  dL/du = 2 u dL/dd;
        dL/dx = g sigmoid(s) + dL/du - mean(dL/du), the last because mu moves with every x.
        """
        (x,) = ctx.saved_tensors
        wide = full_precision(x)
        u = wide - wide.mean(MAP, keepdim=True)  # (B, C, H, W)
        d = u.square()
        k = _gain(d, ctx.lambda_)  # (B, C, 1, 1)
        gate = (d * k).add_(0.5).sigmoid_()
        dx = full_precision(gradient) * gate
        ds = (1 - gate).mul_(dx).mul_(wide)
        common = d.mul_(ds).sum(MAP, keepdim=True).mul_(4 * k * k / _degrees(x))
        du = ds.mul_(k).sub_(common).mul_(u).mul_(2)
        return dx.add_(du).sub_(du.mean(MAP, keepdim=True)).to(x.dtype), None


class SimAM(nn.Module):
    """`simam` as a module without parameters and buffers: weights fit with and without it."""

    def __init__(self, lambda_: float = 1e-4) -> None:
        super().__init__()
        self.lambda_ = lambda_

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return simam(x, self.lambda_)

    def extra_repr(self) -> str:
        """Describe the module in `print(network)`."""
        return f"lambda_={self.lambda_}"


class AttendedBlock(nn.Module):
    """timm's ConvNeXt block with SimAM in it.

    It has the block's modules under the block's names, so that weights fit with and without attention.

    Args:
        block: Its modules are used here; the block must not be used by itself afterward.
        position: `depthwise`: after the depthwise convolution. `block`: after the MLP, before layer scale (after it,
            values of 1e-6 would be negligible next to lambda).
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
        result: Tensor = self.drop_path(y) + self.shortcut(x)
        return result
