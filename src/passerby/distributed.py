"""One process or many: who am I, and how do the others' vectors reach me.

`torchrun` starts the processes and tells each who it is through the environment; gradients are averaged by torch's
own DistributedDataParallel. What plain data parallelism gets wrong for re-identification is the loss: a metric loss
and a batch norm must see the whole P x K batch, not the share of one process. `gather` gives them that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from passerby.errors import PasserbyError


@dataclass(frozen=True)
class Process:
    """This process among `world` processes, and the device that it computes on."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and talks."""
        return self.rank == 0


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """Choose a device by name.

    Args:
        name: `auto` is CUDA, then MPS, then the CPU; otherwise a device or torch's name of one.

    Raises:
        PasserbyError: For a name that torch does not accept, or a device that this machine does not have.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    if isinstance(name, torch.device):
        return name
    if name == "auto":
        cuda_or_mps = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else cuda_or_mps)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise PasserbyError(f"device {name!r}: {reason}; use auto, cpu, cuda, cuda:0 or mps") from None
    return device


@contextmanager
def join_processes(device: str = "auto") -> Iterator[Process]:
    """Join the other processes that torchrun started; alone, this is process 0 of 1."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Process(0, 1, pick_device(device))
        return
    local = int(os.environ["LOCAL_RANK"])
    wanted = pick_device(device)
    mine = torch.device("cuda", local) if wanted.type == "cuda" else wanted
    if mine.type == "cuda":
        torch.cuda.set_device(mine)
    dist.init_process_group("nccl" if mine.type == "cuda" else "gloo")
    try:
        dist.barrier()  # NCCL joins lazily: nobody may write to the run's folder while another still looks at it
        yield Process(dist.get_rank(), world, mine)
    finally:
        dist.destroy_process_group()


class _Gather(torch.autograd.Function):
    """All processes' rows, in the order of the ranks; backward adds up what each process wants of my rows."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, mine: Tensor) -> Tensor:
        rows = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(rows, mine.contiguous())
        return torch.cat(rows)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)  # autograd may hand this gradient to others too
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def gather(mine: Tensor) -> Tensor:
    """(B / world, ...) of this process -> (B, ...) of all, differentiable; the same tensor when alone.

    Every process computes the same loss L of the gathered rows, so the sum in backward gives world * dL/d(mine);
    DDP then divides the parameters' gradients by world, which leaves the gradient of L on the global batch.
    """
    if not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1:
        return mine
    return _Gather.apply(mine)  # type: ignore[no-any-return]


def average(values: Tensor, process: Process) -> Tensor:
    """Average over all processes, without waiting for the device; all must call this with the same shape."""
    if process.world == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / process.world


def from_first(mine: Tensor, process: Process) -> Tensor:
    """What the first process has in the place of `mine`, on the CPU; all must call this with the same shape."""
    if process.world == 1:
        return mine
    shared = mine.to(process.device)
    dist.broadcast(shared, 0)
    return shared.cpu()


class GatheredBatchNorm1d(nn.BatchNorm1d):
    """Batch norm of (B / world, C) rows with the statistics of all B rows; torch's SyncBatchNorm is for GPUs only."""

    def forward(self, mine: Tensor) -> Tensor:
        """(B / world, C) -> (B / world, C)."""
        if not self.training:
            return super().forward(mine)
        rank = dist.get_rank()
        return super().forward(gather(mine))[rank * len(mine) : (rank + 1) * len(mine)]


def share_batch_norms(network: nn.Module, process: Process) -> None:
    """Let the batch norms inside `network` see the global batch, so that many processes learn what one would.

    On CUDA this is torch's SyncBatchNorm. Elsewhere the necks' BatchNorm1d are gathered, and a BatchNorm2d inside a
    backbone (a ResNet; ConvNeXt has none) keeps the statistics of its own process.
    """
    if process.world == 1:
        return
    if process.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # replaces them where they are
        return
    for module in network.modules():
        if type(module) is nn.BatchNorm1d:
            module.__class__ = GatheredBatchNorm1d
