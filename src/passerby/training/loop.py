"""The training loop, visible: batch, forward, loss, backward, step."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from timm.utils.model_ema import ModelEmaV3
from torch import nn

from passerby.distributed import Process, average
from passerby.errors import TrainingError
from passerby.losses.combine import Losses
from passerby.training.graph_sampling import find_similar_identities
from passerby.training.loader import Batch, TrainingLoader
from passerby.training.optimizer import clip_gradients, set_learning_rate
from passerby.training.schedule import learning_rate
from passerby.types import IntArray, Sample

PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class TrainingState:
    """All that a step changes. `step` counts optimizer steps since the start of the run; `stage` is the optimizer's.

    `near` is who looked like whom when the epoch began, as `find_similar_identities` says; None where nobody asked.
    There is no generator among it: the randomness of a batch is a pure function of (seed, epoch, batch), and that of
    the network of (seed, step, rank), so the step says where every generator stands.
    """

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    ema: ModelEmaV3 | None
    step: int = 0
    stage: int = 0
    near: IntArray | None = None


@dataclass(frozen=True)
class Step:
    """What one optimizer step did.

    `stage` is the stage's name, empty where the training has none; `stage_ends` is true in its last step. `losses`
    holds the weighted total and each loss before weighing: of the global batch, whatever the number of processes.
    """

    step: int
    epoch: int
    epoch_ends: bool
    stage: str
    stage_ends: bool
    learning_rate: float
    losses: dict[str, float]
    images_per_second: float


def fit(
    state: TrainingState,
    loader: TrainingLoader,
    losses: Losses,
    *,
    process: Process,
    samples: Sequence[Sample],
    epochs: int,
    warmup_epochs: int,
    lr_init: float,
    lr_max: float,
    lr_min: float,
    first_epoch: int = 0,
    stage: str = "",
    frozen: Sequence[nn.Module] = (),
    alike_from: int = 1,
    accumulate: int = 1,
    clip: float | None = None,
    precision: str = "fp32",
    channels_last: bool = True,
    compiled: bool = False,
    seed: int = 0,
) -> Iterator[Step]:
    """Train from `state.step` to the end of the last epoch, yielding after every optimizer step.

    `epochs` are counted from `first_epoch`, as the learning rate is: one stage of a training (`fit_stages`). Modules
    that are `frozen` stay in evaluation mode, so that their batch norms keep the statistics that they have. Where the
    loader's batches are of people who look alike, each epoch from `alike_from` on begins with asking the network (the
    averaged one, if there is one) who does.

    `state` may be saved whenever the generator has yielded; a run continued from there takes the same steps. An epoch
    whose number of batches is not a multiple of `accumulate` drops the rest.

    Raises:
        TrainingError: When a loss or the gradient is NaN or infinite, naming the step and the batch's files; the
            weights are those of the step before.
        DataError: When an image cannot be read, naming the file.
    """
    steps = steps_per_epoch(len(loader), accumulate)
    forward = _training_forward(state.network, process, compiled=compiled)
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    autocast = PRECISIONS[precision]
    state.network.train()
    for module in frozen:
        module.eval()
    for epoch in range(state.step // steps, first_epoch + epochs):
        done = state.step - epoch * steps
        if loader.sampler.alike > 1 and epoch >= alike_from:
            if done == 0:
                asked = state.network if state.ema is None else state.ema.module
                state.near = find_similar_identities(asked, loader, epoch, process=process, precision=autocast)
            loader.sampler.set_neighbors(state.near)
        batches = loader.epoch(epoch, start=done * accumulate)
        for number in range(done, steps):
            started = time.perf_counter()
            rate = learning_rate(
                epoch - first_epoch + number / steps,
                epochs=epochs,
                warmup_epochs=warmup_epochs,
                lr_init=lr_init,
                lr_max=lr_max,
                lr_min=lr_min,
            )
            set_learning_rate(state.optimizer, rate)
            seed_step(seed, state.step, process.rank)
            state.optimizer.zero_grad(set_to_none=True)
            sums: dict[str, float] = {}
            images = 0
            for _ in range(accumulate):
                batch = next(batches)
                pixels = batch.images.to(process.device, non_blocking=True)
                if channels_last:
                    pixels = pixels.contiguous(memory_format=torch.channels_last)
                with torch.autocast(process.device.type, autocast, enabled=autocast is not None):
                    output = forward(pixels)
                total, named = losses(output, batch.labels.to(process.device, non_blocking=True))
                for key, value in {"loss": total, **named}.items():
                    sums[key] = sums.get(key, 0.0) + float(value.detach()) / accumulate
                if not np.isfinite(sums["loss"]):
                    raise TrainingError(_non_finite(state.step, epoch, sums, batch, samples))
                state.scaler.scale(total / accumulate).backward()
                images += len(pixels)
            state.scaler.unscale_(state.optimizer)
            norm = clip_gradients(parameters, clip)
            if not np.isfinite(norm) and not state.scaler.is_enabled():  # fp16's scaler leaves such a step out
                raise TrainingError(_non_finite(state.step, epoch, {**sums, "gradient norm": norm}, batch, samples))
            state.scaler.step(state.optimizer)
            state.scaler.update()
            state.step += 1
            if state.ema is not None:
                state.ema.update(state.network, step=state.step)
            yield Step(
                step=state.step,
                epoch=epoch,
                epoch_ends=number == steps - 1,
                stage=stage,
                stage_ends=number == steps - 1 and epoch == first_epoch + epochs - 1,
                learning_rate=rate,
                losses=average(sums, process),
                images_per_second=images * process.world / (time.perf_counter() - started),
            )


def steps_per_epoch(batches: int, accumulate: int) -> int:
    """Optimizer steps in an epoch of so many batches.

    Raises:
        TrainingError: When there would be none.
    """
    if batches < accumulate:
        raise TrainingError(
            f"accumulate: {accumulate} batches make a step, but an epoch has {batches}; "
            "lower optimizer.accumulate or batches.persons"
        )
    return batches // accumulate


def seed_step(seed: int, step: int, rank: int) -> None:
    """Set torch's generators for one step: what the network draws (drop path) depends on these three alone."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step, rank]).generate_state(1)[0]))


def _training_forward(network: nn.Module, process: Process, *, compiled: bool) -> nn.Module:
    """The same network, wrapped for many processes and for torch.compile as asked."""
    forward = network
    if process.world > 1:
        devices = [process.device.index] if process.device.type == "cuda" else None
        forward = nn.parallel.DistributedDataParallel(forward, device_ids=devices)
    if compiled:
        forward.compile()
    return forward


def _non_finite(step: int, epoch: int, losses: dict[str, float], batch: Batch, samples: Sequence[Sample]) -> str:
    """The message for a loss or a gradient that is not a number."""
    values = ", ".join(f"{name} {value}" for name, value in losses.items())
    files = ", ".join(samples[index].label for index in batch.indices.tolist())
    return (
        f"non-finite loss or gradient at step {step} (epoch {epoch}): {values}. Lower "
        f"schedule.lr_max, set optimizer.clip or use training.precision=fp32; "
        f"the last checkpoint is intact. The batch's files: {files}"
    )
