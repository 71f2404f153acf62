"""Depthwise convolution whose weights learn fast on a CPU.

A depthwise weight's gradient is a sum over all images and positions. oneDNN's, which torch uses on a CPU, takes 8 to 40
times as long as the convolution itself, and a sixth to a quarter of a ConvNeXt's step on small images; see
`benchmarks/depthwise.py`. The rest of the convolution is torch's.

    N batch   C channels   H W map height and width   K kernel size, odd
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


class DepthwiseConv2d(nn.Conv2d):
    """Convolution of each channel by itself, stride 1, map size kept; `nn.Conv2d` in all but the speed of its gradient.

    Where no gradient is asked of it, and on anything but a CPU, it is `nn.Conv2d` entirely.
    """

    def __init__(self, channels: int, kernel_size: int, *, bias: bool = True) -> None:
        """Args: channels: C. kernel_size: K, odd. bias: Whether there is one."""
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        learning = torch.is_grad_enabled() and self.weight.requires_grad and input.device.type == "cpu"
        if not learning or torch.compiler.is_compiling():
            return super().forward(input)
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled("cpu"):
            kind = torch.get_autocast_dtype("cpu")
            input, weight, bias = input.to(kind), weight.to(kind), None if bias is None else bias.to(kind)
        result: Tensor = _Depthwise.apply(input, weight, bias)
        return result


def replace_depthwise_convolutions(network: nn.Module) -> None:
    """Replace every convolution in `network` that `DepthwiseConv2d` stands for, keeping parameters and their names."""
    for name, conv in list(network.named_modules()):
        if name and type(conv) is nn.Conv2d and _is_depthwise(conv):
            with torch.device("meta"):
                same = DepthwiseConv2d(conv.in_channels, conv.kernel_size[0], bias=conv.bias is not None)
            same.weight, same.bias = conv.weight, conv.bias
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, same)


def _is_depthwise(conv: nn.Conv2d) -> bool:
    size = conv.kernel_size[0]
    return (
        conv.groups == conv.in_channels == conv.out_channels > 1
        and size % 2 == 1
        and size > 1
        and conv.kernel_size == (size, size)
        and conv.padding == (size // 2, size // 2)
        and conv.stride == conv.dilation == (1, 1)
        and conv.padding_mode == "zeros"
    )


class _Depthwise(torch.autograd.Function):
    """The convolution, and its three gradients: torch's for input and bias, ours for the weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        dx = dw = db = None
        if ctx.needs_input_grad[0]:  # the same convolution, with the kernels turned round
            turned = weight.flip(2, 3)
            dx = F.conv2d(gradient, turned, padding=weight.shape[-1] // 2, groups=weight.shape[0])
        if ctx.needs_input_grad[1]:
            dw = weight_gradient(x, gradient, weight.shape[-1]).to(weight.dtype)
        if ctx.needs_input_grad[2]:
            db = gradient.sum((0, 2, 3), dtype=None if gradient.dtype == torch.float64 else torch.float32)
            db = db.to(weight.dtype)
        return dx, dw, db


def weight_gradient(x: Tensor, gradient: Tensor, size: int) -> Tensor:
    """The gradient of a depthwise convolution's weight.

    dL/dw[c, i, j] = sum over n, h, w of x[n, c, h + i - K // 2, w + j - K // 2] * g[n, c, h, w], x being 0 outside.

    Args:
        x: (N, C, H, W) what was convolved, on the CPU. Half precision is summed in float32.
        gradient: (N, C, H, W) dL/d(result).
        size: K, odd.

    Returns:
        (C, 1, K, K), float64 for float64, else float32.
    """
    from passerby.model.depthwise_sum import accumulate  # Numba starts in half a second; who only embeds never waits

    planes, slopes = (_channels_last(each) for each in (x, gradient))
    count, channels = len(planes), planes.shape[-1]
    threads = max(1, min(torch.get_num_threads(), count))
    sums = np.zeros((threads, size, size, channels), dtype=planes.dtype)
    edges = np.linspace(0, count, threads + 1).astype(np.int64)
    list(_pool(threads).map(accumulate, [planes] * threads, [slopes] * threads, edges[:-1], edges[1:], sums))
    return torch.from_numpy(sums.sum(axis=0)).permute(2, 0, 1).unsqueeze(1).contiguous()


def _channels_last(x: Tensor) -> NDArray[Any]:
    """(N, C, H, W) -> (N, H, W, C), float32 or float64; no copy of a float32 map whose channels lie together."""
    wide = x if x.dtype == torch.float64 else x.float()
    found: NDArray[Any] = wide.detach().permute(0, 2, 3, 1).contiguous().numpy()
    return found


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="depthwise")
