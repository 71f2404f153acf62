"""Depthwise convolution with a fast weight gradient on a CPU.

The gradient of a depthwise weight is a sum over all images and positions. oneDNN, which torch uses on a CPU, takes 8 to
40 times as long for it as for the convolution itself, a sixth to a quarter of a ConvNeXt's training step on small
images; see `benchmarks/depthwise.py`. The rest of the convolution is torch's.

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
    """Convolution of each channel by itself, with stride 1 and an output of the input's size.

    It equals `nn.Conv2d` except for the speed of the weight gradient on a CPU.

    Args:
        channels: C.
        kernel_size: K, odd.
        bias: Whether to add a bias.
    """

    def __init__(self, channels: int, kernel_size: int, *, bias: bool = True) -> None:
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2, groups=channels, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        trains = torch.is_grad_enabled() and self.weight.requires_grad and input.device.type == "cpu"
        if not trains or torch.compiler.is_compiling():
            return super().forward(input)
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled("cpu"):
            kind = torch.get_autocast_dtype("cpu")
            input, weight, bias = input.to(kind), weight.to(kind), None if bias is None else bias.to(kind)
        result: Tensor = _Depthwise.apply(input, weight, bias)
        return result


def replace_depthwise_convolutions(network: nn.Module) -> None:
    """Replace every depthwise convolution in `network` by `DepthwiseConv2d`, with the same parameters and names."""
    for name, conv in list(network.named_modules()):
        if name and type(conv) is nn.Conv2d and _is_depthwise(conv):
            with torch.device("meta"):
                same = DepthwiseConv2d(conv.in_channels, conv.kernel_size[0], bias=conv.bias is not None)
            same.weight, same.bias = conv.weight, conv.bias
            network.set_submodule(name, same)


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
    """The convolution with three gradients: torch's for input and bias, `weight_gradient` for the weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2, groups=weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        dx = dw = db = None
        if ctx.needs_input_grad[0]:  # the convolution with flipped kernels
            flipped = weight.flip(2, 3)
            dx = F.conv2d(gradient, flipped, padding=weight.shape[-1] // 2, groups=weight.shape[0])
        if ctx.needs_input_grad[1]:
            dw = torch.empty_like(weight)  # with the strides of the weight, which DistributedDataParallel expects
            dw.copy_(weight_gradient(x, gradient, weight.shape[-1]))
        if ctx.needs_input_grad[2]:
            db = gradient.sum((0, 2, 3), dtype=None if gradient.dtype == torch.float64 else torch.float32)
            db = db.to(weight.dtype)
        return dx, dw, db


def weight_gradient(x: Tensor, gradient: Tensor, size: int) -> Tensor:
    """Compute the gradient of a depthwise convolution's weight.

    dL/dw[c, i, j] = sum over n, h, w of x[n, c, h + i - K // 2, w + j - K // 2] * g[n, c, h, w], x being 0 outside.

    Args:
        x: (N, C, H, W) input of the convolution, on the CPU. Half precision is summed in float32.
        gradient: (N, C, H, W) dL/d(output).
        size: K, odd.

    Returns:
        (C, 1, K, K), float64 for float64, else float32.
    """
    from passerby.model.depthwise_sum import accumulate  # Numba takes half a second to import; only training needs it

    planes, slopes = (_channels_last(tensor) for tensor in (x, gradient))
    count, channels = len(planes), planes.shape[-1]
    threads = max(1, min(torch.get_num_threads(), count))
    sums = np.zeros((threads, size, size, channels), dtype=planes.dtype)
    edges = np.linspace(0, count, threads + 1).astype(np.int64)
    list(_pool(threads).map(accumulate, [planes] * threads, [slopes] * threads, edges[:-1], edges[1:], sums))
    return torch.from_numpy(sums.sum(axis=0)).permute(2, 0, 1).unsqueeze(1).contiguous()


def _channels_last(x: Tensor) -> NDArray[Any]:
    """(N, C, H, W) -> (N, H, W, C), float32 or float64; a float32 map in channels-last layout is not copied."""
    wide = x if x.dtype == torch.float64 else x.float()
    array: NDArray[Any] = wide.detach().permute(0, 2, 3, 1).contiguous().numpy()
    return array


@lru_cache(maxsize=1)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="depthwise")
