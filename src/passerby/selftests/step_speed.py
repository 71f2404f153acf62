"""Speed of training steps in each precision, against the roofline, and of the input pipeline."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, count
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch

from passerby.data.training_set import TrainingSet
from passerby.distributed import Process
from passerby.losses.combine import Losses
from passerby.recipe import Recipe
from passerby.runs.arguments import build_losses
from passerby.runs.assemble import training_loader, training_state, training_steps
from passerby.selftests.check_table import CheckRow
from passerby.selftests.roofline import DeviceRates, StepWork, count_work, wait_for
from passerby.training.loader import Batch, TrainingLoader
from passerby.training.loop import PRECISIONS
from passerby.training.state import Step, TrainingState

LOSS_TOLERANCE = 0.02
"""Largest relative difference of the first loss from that of fp32."""
KEEPS_UP = 0.95
"""Least speed with the input pipeline, relative to the speed on a batch that is ready."""
LONG_EPOCH = 200
"""Batches of an epoch, at least, in which the input pipeline is timed."""


class FixedBatches:
    """The first batch of a loader, over and over: a loader that takes no time."""

    sampler = SimpleNamespace(alike=1)

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def __len__(self) -> int:
        return 10**6

    def epoch(self, _epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """Return the batch without end."""
        return (self._batch for _ in count(start))


def first_batch(loader: TrainingLoader) -> Batch:
    """Return the first batch of a loader."""
    return next(loader.epoch(0))


def start_steps(
    recipe: Recipe, training_set: TrainingSet, batch: Batch, process: Process
) -> tuple[TrainingState, Iterator[Step]]:
    """Start the training loop from random weights on one batch."""
    _, state = training_state(recipe, training_set.identities, process)
    loader = cast("TrainingLoader", FixedBatches(batch))
    return state, training_steps(state, loader, recipe, process, training_set)


def measure_steps(
    recipe: Recipe,
    training_set: TrainingSet,
    batch: Batch,
    process: Process,
    *,
    rates: DeviceRates,
    seconds: float,
    reference: float | None,
) -> CheckRow:
    """Time training steps on one batch.

    Args:
        recipe: With the precision and compilation of the row.
        training_set: Images of the batch.
        batch: The batch.
        process: This process.
        rates: Rates of the device, for the roofline.
        seconds: Duration of the timed steps.
        reference: First loss in fp32; None for the row of fp32 itself.
    """
    device, name = process.device, _name(recipe)
    work = None if recipe.training.compile else _count_step(recipe, training_set, batch, process)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    _, steps = start_steps(recipe, training_set, batch, process)
    first = next(steps).losses["loss"]
    next(steps)
    with _count_waits(device) as waits:
        timed = _time_steps(steps, len(batch.indices), device, seconds=seconds)
    values: dict[str, Any] = {
        "images_per_second": timed,
        "first_loss": first,
        "waits": waits() if device.type == "cuda" else None,
        "peak_bytes": torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    }
    parts = [f"{timed:.1f} images/s"]
    if work is not None:
        images, flops = len(batch.indices), rates.flops[PRECISIONS[recipe.training.precision] or torch.float32]
        bound, arithmetic = images / work.least_seconds(rates), images * flops / work.flops
        values |= {"bound_images_per_second": bound, "arithmetic_images_per_second": arithmetic}
        values |= {"flops_per_image": work.flops / images, "bytes_per_image": work.bytes / images, "saved": work.saved}
        parts.append(f"{timed / bound:.0%} of the roofline of {bound:.0f} ({arithmetic:.0f} by arithmetic alone)")
        parts.append(f"saved for backward {work.saved / 2**20:.0f} MiB")
    if device.type == "cuda":
        parts += [f"peak {values['peak_bytes'] / 2**20:.0f} MiB", f"{values['waits']} places that wait for the device"]
    else:
        parts.append("memory and waits: measured on CUDA only")
    agrees = math.isfinite(first) and (reference is None or abs(first - reference) <= LOSS_TOLERANCE * abs(reference))
    parts.append(f"first loss {first:.4f}" + ("" if agrees else f", expected {reference:.4f} within 2 %"))
    return CheckRow(name, "passed" if agrees else "failed", ", ".join(parts), values)


def _name(recipe: Recipe) -> str:
    return name_mode(recipe.training.precision, compiled=recipe.training.compile)


def name_mode(precision: str, *, compiled: bool) -> str:
    """Return the name of the row of a precision."""
    return f"training step, {precision}{', compiled' if compiled else ''}"


def _time_steps(steps: Iterator[Step], images: int, device: torch.device, *, seconds: float) -> float:
    """Time at least three steps; return images per second."""
    wait_for(device)
    started, done = time.perf_counter(), 0
    while done < 3 or (time.perf_counter() - started < seconds and done < 10**6):
        next(steps)
        done += 1
    wait_for(device)
    return images * done / (time.perf_counter() - started)


@contextmanager
def _count_waits(device: torch.device) -> Iterator[Any]:
    """Count the places where the host waits for a GPU; reading the losses once in 20 steps is one of them."""
    if device.type != "cuda":
        yield lambda: None
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("default", message=".*synchroniz", category=UserWarning)  # once for each place
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield lambda: len({(w.filename, w.lineno) for w in caught if "synchroniz" in str(w.message)})
        finally:
            torch.cuda.set_sync_debug_mode("default")


def _count_step(recipe: Recipe, training_set: TrainingSet, batch: Batch, process: Process) -> StepWork:
    """Count the operations of one forward and backward pass."""
    network, _ = training_state(recipe, training_set.identities, process)
    network.train()
    losses, kind = build_losses(recipe), PRECISIONS[recipe.training.precision]
    pixels = batch.images.to(process.device).contiguous(memory_format=torch.channels_last)
    labels = batch.labels.to(process.device)

    def step() -> None:
        _forward(network, losses, pixels, labels, kind).backward()

    return count_work(step)


def _forward(
    network: torch.nn.Module, losses: Losses, pixels: torch.Tensor, labels: torch.Tensor, kind: torch.dtype | None
) -> torch.Tensor:
    with torch.autocast(pixels.device.type, kind, enabled=kind is not None):
        output = network(pixels, labels)
    return losses(output, labels)[0]


def measure_pipeline(
    recipe: Recipe, training_set: TrainingSet, process: Process, *, seconds: float, alone: float
) -> CheckRow:
    """Time the input pipeline by itself, from memory and from files, and training with it.

    Args:
        recipe: With the precision of a training; decoded images are in memory or not as its `cache` states.
        training_set: The images.
        process: This process.
        seconds: Duration of each measurement.
        alone: Images per second of training on a batch that is ready.
    """
    training_set = repeat_images(training_set, recipe.batches.persons * recipe.batches.images * LONG_EPOCH)
    rates = {}
    for cache in ("always", "never"):
        loader = training_loader(recipe.with_changes(batches={"cache": cache}), training_set, process)
        rates[cache] = _time_batches(loader, seconds)
    _, state = training_state(recipe, training_set.identities, process)
    longer = recipe.with_changes(schedule={"epochs": 10**4})
    loader = training_loader(longer, training_set, process)
    steps = training_steps(state, loader, longer, process, training_set)
    for _ in range(2):
        next(steps)
    together = _time_steps(steps, recipe.batches.persons * recipe.batches.images, process.device, seconds=seconds)
    keeps_up = together >= KEEPS_UP * alone
    text = (
        f"{rates['always']:.0f} images/s from memory, {rates['never']:.0f} from files; training with it "
        f"{together:.1f} images/s, {together / alone:.0%} of the speed without ({recipe.training.precision}, "
        f"{recipe.batches.workers} workers): " + ("keeps up" if keeps_up else "does not keep up")
    )
    values = {"memory": rates["always"], "files": rates["never"], "training": together, "without": alone}
    on_gpu = process.device.type == "cuda"
    if not on_gpu:
        text += "; on the CPU, batches and steps share the cores"
    return CheckRow("input pipeline", "passed" if keeps_up or not on_gpu else "failed", text, values)


def repeat_images(training_set: TrainingSet, least: int) -> TrainingSet:
    """Repeat the images of a training set until there are at least `least`: an epoch of few images is mostly its start.

    At the start of an epoch the workers have no batch ready. A data set of a real training has hundreds of batches.
    """
    times = math.ceil(least / len(training_set))
    return replace(training_set, samples=training_set.samples * times, labels=np.tile(training_set.labels, times))


def _time_batches(loader: TrainingLoader, seconds: float) -> float:
    """Return images per second of a loader, after its first batch."""
    batches = chain.from_iterable(loader.epoch(epoch) for epoch in count())
    next(batches)
    images, started = 0, time.perf_counter()
    for batch in batches:
        images += len(batch.indices)
        if time.perf_counter() - started >= seconds:
            break
    return images / (time.perf_counter() - started)
