"""Roofline of a training step: the least time in which a device could do the step's operations, one after the other.

Each operation takes the longer of its arithmetic at the rate of a large matrix product, and its traffic (inputs and
outputs, once each) at the rate of a large copy. Fused operations of a compiled network have less traffic, so that it
can be faster than this bound. The optimizer is left out.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

REPEATS = 5


@dataclass(frozen=True)
class DeviceRates:
    """What a device sustains.

    Attributes:
        flops: Floating-point operations per second of a matrix product, by type of its numbers.
        bytes: Bytes per second of a copy, read and written.
    """

    flops: Mapping[torch.dtype, float]
    bytes: float


@dataclass
class StepWork:
    """Operations of a step.

    Attributes:
        operations: (type of the numbers, floating-point operations, bytes) of each operation.
        saved: Bytes of the tensors that the forward pass keeps for the backward pass.
    """

    operations: list[tuple[torch.dtype, int, int]] = field(default_factory=list)
    saved: int = 0

    @property
    def flops(self) -> int:
        """Floating-point operations of the step."""
        return sum(flops for _, flops, _ in self.operations)

    @property
    def bytes(self) -> int:
        """Bytes that the operations read and write."""
        return sum(size for _, _, size in self.operations)

    def least_seconds(self, rates: DeviceRates) -> float:
        """Compute the bound of this module's description."""
        slowest = min(rates.flops.values())
        return sum(
            max(flops / rates.flops.get(kind, slowest), size / rates.bytes) for kind, flops, size in self.operations
        )


class _WorkCounter(TorchDispatchMode):
    """Record each operation that computes; views and empty tensors are no work."""

    def __init__(self, work: StepWork) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._work = work

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        outputs = [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor)]
        before = {tensor.untyped_storage()._cdata for tensor in inputs}
        is_view = not func._schema.is_mutable and any(out.untyped_storage()._cdata in before for out in outputs)
        if inputs and not is_view:
            count = flop_registry.get(func._overloadpacket)
            flops = int(count(*args, **kwargs, out_val=output)) if count else 0
            kinds = Counter(tensor.dtype for tensor in inputs if tensor.is_floating_point())
            kind = kinds.most_common(1)[0][0] if kinds else torch.float32
            size = sum(tensor.numel() * tensor.element_size() for tensor in (*inputs, *outputs))
            self._work.operations.append((kind, flops, size))
        return output


def count_work(step: Callable[[], Any]) -> StepWork:
    """Count the operations of a forward and backward pass, which `step` takes once.

    Example:
        >>> weight = torch.ones(8, 4, requires_grad=True)
        >>> count_work(lambda: (torch.ones(2, 8) @ weight).sum().backward()).flops
        256
    """
    work = StepWork()
    with _count_saved(work), _WorkCounter(work):
        step()
    return work


@contextmanager
def _count_saved(work: StepWork) -> Iterator[None]:
    """Add up the tensors that are saved for the backward pass, each memory once."""
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if not isinstance(tensor, torch.nn.Parameter):
            storage = tensor.untyped_storage()
            sizes[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield
    work.saved = sum(sizes.values())


def measure_rates(device: torch.device, *, side: int, kinds: tuple[torch.dtype, ...]) -> DeviceRates:
    """Measure the rates of a device by products of side x side matrices and by copies of 64 times their bytes.

    Returns:
        The best of `REPEATS` measurements after a first one that is discarded.
    """
    flops = {}
    for kind in kinds:
        matrix = torch.ones(side, side, dtype=kind, device=device)
        flops[kind] = 2 * side**3 / _best_seconds(lambda a=matrix: a @ a, device)  # type: ignore[misc]
    numbers = torch.ones(64 * side * side, device=device)
    target = torch.empty_like(numbers)
    return DeviceRates(flops, 2 * 4 * numbers.numel() / _best_seconds(lambda: target.copy_(numbers), device))


def _best_seconds(work: Callable[[], Any], device: torch.device) -> float:
    seconds = []
    for _ in range(REPEATS + 1):
        wait_for(device)
        started = time.perf_counter()
        work()
        wait_for(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def wait_for(device: torch.device) -> None:
    """Wait until a GPU has finished all work; nothing on the CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
