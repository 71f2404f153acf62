"""Training on several processes: this process's rank and device, and the exchange of rows between processes.

`torchrun` starts the processes and describes them in environment variables; torch's DistributedDataParallel averages
the gradients. Re-identification needs more than that: a metric loss and a batch norm must see the whole P x K batch,
not the part of one process. `gather` provides it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from passerby.errors import PasserbyError, require_device


@dataclass(frozen=True)
class Process:
    """This process.

    Attributes:
        rank: Number of this process, from 0.
        world: Number of processes.
        device: Device that it computes on.
        alone: Whether this is one process without a process group, which exchanges nothing.
    """

    rank: int
    world: int
    device: torch.device
    alone: bool = True

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def wait(self) -> None:
        """Wait until all processes have called this."""
        if not self.alone:
            dist.barrier()


def pick_device(name: str | torch.device = "auto") -> torch.device:
    """Choose a device by name.

    Args:
        name: `auto` is CUDA, then MPS, then the CPU; otherwise `cpu`, `cuda`, `cuda:0` (with any number of a GPU),
            `mps`, or a device of torch.

    Raises:
        PasserbyError: For another name, or a device that this machine does not have.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')
    """
    if isinstance(name, torch.device):
        return name
    require_device(name)
    if name == "auto":
        cuda_or_mps = "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device("cuda" if torch.cuda.is_available() else cuda_or_mps)
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        if "device type" in reason:  # a list of all that torch was ever built for
            reason = "no such device"
        raise PasserbyError(f"device {name!r}: {reason}; use auto, cpu, cuda, cuda:0 or mps") from None
    return device


@contextmanager
def join_processes(device: str | torch.device = "auto", *, group: bool = False) -> Iterator[Process]:
    """Join the processes that torchrun started; without torchrun, this is process 0 of 1.

    Args:
        device: As `pick_device`; with several processes on CUDA each takes its own GPU.
        group: Make a process group of one process too, which then takes the steps of several processes.

    Raises:
        PasserbyError: When WORLD_SIZE is set and the other variables of torchrun are not, or when the processes cannot
            connect to each other; as `pick_device`.

    Example:
        >>> with join_processes("cpu") as process:
        ...     process.rank, process.world
        (0, 1)
    """
    world = _read_world_size()
    chosen = pick_device(device)
    if world == 1 and not group:
        yield Process(0, 1, chosen)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]) if world > 1 else chosen.index or 0)
        torch.cuda.set_device(chosen)
    alone: dict[str, Any] = {"store": dist.HashStore(), "rank": 0, "world_size": 1} if world == 1 else {}  # type: ignore[attr-defined]
    try:
        dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", **alone)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        raise PasserbyError(
            f"the {world} processes of torchrun cannot connect to each other ({reason}); check the network between the "
            "machines, and after a restart by torchrun set TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 for it"
        ) from None
    try:
        dist.barrier()  # NCCL connects at the first call; no process may write files while another still checks them
        yield Process(dist.get_rank(), world, chosen, alone=False)
    finally:
        dist.destroy_process_group()


def _read_world_size() -> int:
    """Read the number of processes from torchrun's environment variables; an empty one counts as not set."""
    text = os.environ.get("WORLD_SIZE") or "1"
    world = int(text) if text.isdecimal() else 0
    missing = [name for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    numbers = [name for name in ("RANK", "LOCAL_RANK", "MASTER_PORT") if not os.environ.get(name, "0").isdecimal()]
    large = not missing and not numbers and int(os.environ["RANK"]) >= world
    if world < 1 or (world > 1 and (missing or numbers or large)):
        problem = "expected the number of processes"
        if world > 1 and missing:
            problem = f"{', '.join(missing)} not set"
        elif world > 1:
            wrong = ", ".join(f"{name} is {os.environ[name]!r}" for name in numbers or ["RANK"])
            problem = f"{wrong}, expected a number{'' if numbers else ' below it'}"
        raise PasserbyError(
            f"WORLD_SIZE is {text!r}: {problem}; start several processes with "
            "`torchrun --nproc-per-node N -m passerby train ...`, or unset WORLD_SIZE for a single one"
        )
    return world


class _Gather(torch.autograd.Function):
    """Concatenate the rows of all processes in the order of ranks; backward sums the gradients of all processes.

    torch has no stable equivalent: `torch.distributed.nn.functional.all_gather` is deprecated, and its replacement is
    in a private module that the oldest supported torch does not have.
    """

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, mine: Tensor) -> Tensor:
        rows = [torch.empty_like(mine) for _ in range(dist.get_world_size())]
        dist.all_gather(rows, mine.contiguous())
        return torch.cat(rows)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)  # autograd may use the gradient elsewhere too
        dist.all_reduce(total)
        return total.chunk(dist.get_world_size())[dist.get_rank()]


def gather(mine: Tensor) -> Tensor:
    """Gather (B / world, ...) of each process into (B, ...), differentiable; a single process returns its own tensor.

    Every process computes the same loss L of the gathered rows, so the sum in backward gives world * dL/d(mine);
    DDP then divides the parameters' gradients by world, which leaves the gradient of L on the global batch.
    """
    if not dist.is_available() or not dist.is_initialized():
        return mine
    return _Gather.apply(mine)  # type: ignore[no-any-return]


def own_rows(count: int) -> slice:
    """Return the place of this process's `count` rows in the rows that `gather` returns."""
    rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
    return slice(rank * count, (rank + 1) * count)


def average(values: Tensor, process: Process) -> Tensor:
    """Average over all processes, without waiting for the device; all must call this with the same shape."""
    if process.alone:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / process.world


def average_gradients(parameters: Iterable[nn.Parameter], process: Process) -> None:
    """Average the gradients of parameters over all processes, in place.

    For a loss of a part of the network's outputs: DistributedDataParallel waits for the gradients of the others.
    """
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    if process.alone or not gradients:
        return
    whole = average(torch.cat([gradient.flatten() for gradient in gradients]), process)
    for gradient, part in zip(gradients, whole.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def from_first(mine: NDArray[Any], process: Process) -> NDArray[Any]:
    """Return the array of the first process; all must call this with the same shape and dtype."""
    if process.alone:
        return mine
    shared = torch.from_numpy(mine).to(process.device, copy=True)
    dist.broadcast(shared, 0)
    return shared.cpu().numpy()


class GatheredBatchNorm1d(nn.BatchNorm1d):
    """Batch norm of (B / world, C) rows with the statistics of all B rows; torch's SyncBatchNorm needs a GPU."""

    def forward(self, mine: Tensor) -> Tensor:
        """(B / world, C) -> (B / world, C)."""
        if not self.training:
            return super().forward(mine)
        return super().forward(gather(mine))[own_rows(len(mine))]


def share_batch_norms(network: nn.Module, process: Process) -> None:
    """Replace the batch norms inside `network` by ones with the statistics of the global batch.

    On CUDA this is torch's SyncBatchNorm. Elsewhere BatchNorm1d of the necks is replaced; BatchNorm2d of a backbone
    (a ResNet; ConvNeXt has none) keeps the statistics of its own process. Call it before building an optimizer.
    """
    if process.alone:
        return
    if process.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # replaces them in place
        return
    for name, norm in list(network.named_modules()):
        if type(norm) is nn.BatchNorm1d:
            with torch.device("meta"):
                gathered = GatheredBatchNorm1d(norm.num_features, eps=norm.eps, momentum=norm.momentum)
            gathered.load_state_dict(norm.state_dict(), assign=True)
            network.set_submodule(name, gathered.train(norm.training))
