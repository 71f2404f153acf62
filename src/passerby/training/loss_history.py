"""Losses of the recent steps, kept on the device and copied to the host for several steps at once.

Copying one number waits until the device has finished all work before it. On a GPU that stalls every step, because the
next step is not queued in the meantime. `LossHistory` therefore copies the values of many steps together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from passerby.distributed import Process, average
from passerby.errors import TrainingError
from passerby.types import Sample


@dataclass
class StepRecord:
    """Values of one optimizer step.

    Attributes:
        step: Optimizer steps before this one.
        epoch: Epoch, from 0.
        names: Names of the L losses; the first is `loss`, the weighted total.
        values: (A, L) losses of A accumulated batches, on the device.
        norm: Norm of the gradient, on the device; None where it need not be finite.
        indices: For each of the A batches, (B,) training images of this process.
        images: Images of all processes.
        seconds: Duration on the host; complete for the steps of a whole window.
        losses: Mean over the A batches by name; None until they are read.
        window: The records that are read together with this one.
    """

    step: int
    epoch: int
    names: Sequence[str]
    values: Tensor
    norm: Tensor | None
    indices: Sequence[Tensor]
    images: int
    seconds: float = 0.0
    losses: dict[str, float] | None = None
    window: list[StepRecord] = field(default_factory=list, repr=False)

    @property
    def images_per_second(self) -> float:
        """Rate over the record's window."""
        return sum(record.images for record in self.window) / sum(record.seconds for record in self.window)


class LossHistory:
    """Losses of the steps since the last copy.

    Args:
        samples: Training images, for the message about a non-finite loss.
        process: This process of `world`; losses are averaged over all of them, on the device.
        read_every: Steps from one copy to the next.
    """

    def __init__(self, samples: Sequence[Sample], process: Process, *, read_every: int) -> None:
        self._samples = samples
        self._process = process
        self._read_every = read_every
        self._unread: list[StepRecord] = []

    def add(
        self,
        *,
        step: int,
        epoch: int,
        losses: Sequence[Mapping[str, Tensor]],
        norm: Tensor | None,
        indices: Sequence[Tensor],
        images: int,
        last: bool,
    ) -> StepRecord:
        """Record a step before its gradient is applied; read all unread steps when it is time to.

        Args:
            step: As `StepRecord`.
            epoch: As `StepRecord`.
            losses: For each accumulated batch, scalars by name.
            norm: As `StepRecord`.
            indices: As `StepRecord`.
            images: As `StepRecord`.
            last: Read now, as this is the last step of an epoch.

        Raises:
            TrainingError: As `read`.
        """
        values = torch.stack([torch.stack([value.detach() for value in batch.values()]) for batch in losses])  # (A, L)
        values = average(values, self._process)
        record = StepRecord(step, epoch, list(losses[0]), values, norm, indices, images, window=self._unread)
        self._unread.append(record)
        if last or len(self._unread) >= self._read_every:
            self.read()
        return record

    def read(self) -> None:
        """Copy the values of all unread steps to the host.

        Raises:
            TrainingError: When a loss or a gradient was NaN or infinite, for the first such batch, again at each call.
        """
        if not self._unread:
            return
        tensors = [tensor for record in self._unread for tensor in (record.values, record.norm) if tensor is not None]
        numbers = iter(torch.cat([tensor.flatten() for tensor in tensors]).tolist())  # the one wait for the device
        for record in self._unread:
            rows = [[next(numbers) for _ in record.names] for _ in record.indices]  # (A, L)
            means = (sum(value / len(rows) for value in column) for column in zip(*rows, strict=True))
            losses = dict(zip(record.names, means, strict=True))
            norm = 0.0 if record.norm is None else next(numbers)
            for row, indices in zip(rows, record.indices, strict=True):
                if not math.isfinite(row[0]):
                    raise TrainingError(self._message(record, losses, indices))
            if not math.isfinite(norm):
                raise TrainingError(self._message(record, {**losses, "gradient norm": norm}, record.indices[-1]))
            record.losses = losses
        self._unread = []

    def _message(self, record: StepRecord, losses: Mapping[str, float], indices: Tensor) -> str:
        values = ", ".join(f"{name} {value}" for name, value in losses.items())
        files = ", ".join(self._samples[index].label for index in indices.tolist())
        return (
            f"non-finite loss or gradient at step {record.step} (epoch {record.epoch + 1}): {values}. Lower "
            "schedule.lr_max, set optimizer.clip or use training.precision=fp32; "
            f"the last checkpoint is intact. The batch's files: {files}"
        )
