"""The training loop: batch, forward, loss, backward, step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from passerby.distributed import Process
from passerby.errors import TrainingError
from passerby.losses.combine import Losses
from passerby.model.convnext_ap import ReID
from passerby.text import plural
from passerby.training.graph_sampling import find_similar_identities
from passerby.training.loader import Batch, TrainingLoader
from passerby.training.loss_history import LossHistory
from passerby.training.optimizer import clip_gradients, set_learning_rate
from passerby.training.stages import BuildOptimizer, Stage, enter_stage, frozen_modules
from passerby.training.state import Step, TrainingState
from passerby.types import Sample

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: dict[Precision, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}

READ_EVERY = 20
"""Steps between two readings of the losses on a GPU. One step in 20 waits for the device, and the log is at most 20
steps behind. On the CPU there is nothing to wait for, and every step is read."""


@dataclass(frozen=True)
class LoopSettings:
    """Settings of the loop that all stages share.

    Attributes:
        accumulate: Batches per optimizer step.
        clip: Largest norm of the gradient; None for no limit.
        precision: Precision of the forward pass.
        channels_last: Memory format of the images.
        compile: Whether to use `torch.compile`.
        alike_from: First epoch, from 0, whose batches are drawn by similarity, where the loader does that at all.
        seed: Seed of the run.
        read_every: Steps between two readings of the losses; None is 1 on the CPU and `READ_EVERY` elsewhere.
    """

    accumulate: int = 1
    clip: float | None = None
    precision: Precision = "fp32"
    channels_last: bool = True
    compile: bool = False
    alike_from: int = 1
    seed: int = 0
    read_every: int | None = None


def fit(
    state: TrainingState,
    loader: TrainingLoader,
    losses: Losses,
    *,
    stages: Sequence[Stage],
    optimizer: BuildOptimizer,
    settings: LoopSettings,
    process: Process,
    samples: Sequence[Sample],
) -> Iterator[Step]:
    """Train from `state.step` to the end of the last stage; yield after every optimizer step.

    `state` may be saved whenever the generator has yielded; a run continued from there takes the same steps. Each stage
    starts with a new optimizer. An epoch whose number of batches is not a multiple of `settings.accumulate` drops the
    rest. Losses stay on the device until they are read, see `LoopSettings.read_every`, `Step.losses` and
    `save_checkpoint`.

    Args:
        state: What is trained; its network is a `ReID`. A state that is filled from a checkpoint must have been in the
            checkpoint's stage before (`enter_stage`).
        loader: Batches of this process.
        losses: What is minimized, the same in every stage.
        stages: In order; a training without stages has one with an empty name.
        optimizer: Builds the optimizer of a stage.
        settings: Settings of the loop.
        process: This process, and the device that it computes on.
        samples: Training images, named in the message about a non-finite loss.

    Raises:
        TrainingError: When a loss or the gradient is NaN or infinite, naming the step and the batch's files. It is
            raised at the next reading. With `read_every` 1 the weights are those of the step before.
        DataError: When an image cannot be read, naming the file.
    """
    read_every = settings.read_every or (1 if process.device.type == "cpu" else READ_EVERY)
    state.history = LossHistory(samples, process, read_every=read_every)
    epochs = sum(stage.epochs for stage in stages)
    for number in range(state.stage, len(stages)):
        if number > state.stage:
            enter_stage(state, stages, number, optimizer=optimizer)
        first_epoch = sum(stage.epochs for stage in stages[:number])
        yield from _fit_stage(
            state,
            loader,
            losses,
            stages[number],
            first_epoch=first_epoch,
            epochs=epochs,
            settings=settings,
            process=process,
        )


def _fit_stage(
    state: TrainingState,
    loader: TrainingLoader,
    losses: Losses,
    stage: Stage,
    *,
    first_epoch: int,
    epochs: int,
    settings: LoopSettings,
    process: Process,
) -> Iterator[Step]:
    """Train to the end of one stage of a training of `epochs`.

    Frozen modules stay in evaluation mode, so that their statistics do not change.
    """
    steps = steps_per_epoch(len(loader), settings.accumulate)
    forward = _training_forward(state.network, process, compiled=settings.compile)
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    assert state.history is not None
    assert isinstance(state.network, ReID)
    state.network.train()
    for module in frozen_modules(state.network, stage):
        module.eval()
    for epoch in range(state.step // steps, first_epoch + stage.epochs):
        done = state.step - epoch * steps
        _draw_similar(state, loader, epoch, settings=settings, process=process, starts=done == 0)
        batches = loader.epoch(epoch, start=done * settings.accumulate)
        for number in range(done, steps):
            started = time.perf_counter()
            rate = stage.learning_rate(epoch - first_epoch + number / steps)
            set_learning_rate(state.optimizer, rate)
            state.network.progress = (epoch + number / steps) / epochs
            seed_step(settings.seed, state.step, process.rank)
            state.optimizer.zero_grad(set_to_none=True)
            named: list[dict[str, Tensor]] = []
            indices: list[Tensor] = []
            for _ in range(settings.accumulate):
                batch = next(batches)
                named.append(_backward(state, forward, losses, batch, settings=settings, process=process))
                indices.append(batch.indices)
            state.scaler.unscale_(state.optimizer)
            norm = clip_gradients(parameters, settings.clip)
            record = state.history.add(
                step=state.step,
                epoch=epoch,
                losses=named,
                norm=None if state.scaler.is_enabled() else norm,  # fp16's scaler skips a step whose gradient overflows
                indices=indices,
                images=process.world * sum(map(len, indices)),
                last=number == steps - 1,
            )
            state.scaler.step(state.optimizer)
            state.scaler.update()
            state.step += 1
            if state.ema is not None:
                state.ema.update(state.network, step=state.step)
            record.seconds = time.perf_counter() - started
            yield Step(
                step=state.step,
                epoch=epoch,
                epoch_ends=number == steps - 1,
                stage=stage.name,
                stage_ends=number == steps - 1 and epoch == first_epoch + stage.epochs - 1,
                learning_rate=rate,
                _record=record,
                _history=state.history,
            )


def _backward(
    state: TrainingState,
    forward: nn.Module,
    losses: Losses,
    batch: Batch,
    *,
    settings: LoopSettings,
    process: Process,
) -> dict[str, Tensor]:
    """Add the gradient of one batch; return the total as `loss` and each loss, all on the device."""
    pixels = batch.images.to(process.device, non_blocking=True)  # (B, 3, H, W)
    if settings.channels_last:
        pixels = pixels.contiguous(memory_format=torch.channels_last)
    autocast = PRECISIONS[settings.precision]
    labels = batch.labels.to(process.device, non_blocking=True)
    with torch.autocast(process.device.type, autocast, enabled=autocast is not None):
        output = forward(pixels, labels, batch.camera_ids.to(process.device, non_blocking=True))
    total, named = losses(output, labels)
    state.scaler.scale(total / settings.accumulate).backward()
    return {"loss": total, **named}


def _draw_similar(
    state: TrainingState,
    loader: TrainingLoader,
    epoch: int,
    *,
    settings: LoopSettings,
    process: Process,
    starts: bool,
) -> None:
    """Set the identities that the batches of an epoch are drawn by; find them anew where the epoch starts here."""
    if loader.sampler.alike <= 1 or epoch < settings.alike_from:
        return
    if starts:
        precision = PRECISIONS[settings.precision]
        state.near = find_similar_identities(state.averaged, loader, epoch, process=process, precision=precision)
    loader.sampler.set_neighbors(state.near)


def steps_per_epoch(batches: int, accumulate: int) -> int:
    """Count the optimizer steps in an epoch of `batches`.

    Raises:
        TrainingError: When there would be none.
    """
    if batches < accumulate:
        raise TrainingError(
            f"accumulate: {plural(accumulate, 'batch')} make a step, but an epoch has {batches}; lower "
            "optimizer.accumulate or batches.persons"
        )
    return batches // accumulate


def seed_step(seed: int, step: int, rank: int) -> None:
    """Seed torch's generators for one step: random numbers of the network (drop path) depend on these three only."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0]))


def _training_forward(network: nn.Module, process: Process, *, compiled: bool) -> nn.Module:
    """Wrap the network for several processes, and for torch.compile."""
    forward = network
    if not process.alone:
        devices = [process.device.index] if process.device.type == "cuda" else None
        forward = nn.parallel.DistributedDataParallel(forward, device_ids=devices)
    if compiled:
        forward.compile()
    return forward
