"""Speed of training and embedding on this machine."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from passerby.data.datasets import load_data
from passerby.data.training_set import TrainingSet, join_training
from passerby.distributed import join_processes
from passerby.errors import RecipeError, TrainingError
from passerby.recipe import Recipe
from passerby.runs.assemble import training_loader, training_state, training_steps
from passerby.text import plural
from passerby.training.loop import steps_per_epoch
from passerby.training.state import Step
from passerby.types import DataSet

if TYPE_CHECKING:
    from passerby.runtime.embedder import Embedder

EMBEDDED_IMAGES, EMBEDDING_REPEATS = 256, 3


def measure_training_speed(
    recipe: Recipe, data: str, *, device: str = "auto", seconds: float = 20.0
) -> tuple[float, int]:
    """Measure the speed of a recipe's training by steps that are discarded.

    Args:
        recipe: Recipe, whose first stage is timed.
        data: Data sets, as for `train`.
        device: As for `train`.
        seconds: Approximate duration after the first two steps; at least three steps are timed.

    Returns:
        Images per second and images per epoch. The speed is the median over the steps on the CPU, and over groups of
        steps whose losses are read together on a GPU.

    Raises:
        PasserbyError: As `train`.
    """
    training_set = join_training(load_data(data))
    rates: list[float] = []
    timed: Step | None = None
    with join_processes(device) as process:
        _, state = training_state(recipe, training_set.identities, process)
        loader = training_loader(recipe, training_set, process)
        steps = steps_per_epoch(len(loader), recipe.optimizer.accumulate)
        for step in training_steps(state, loader, recipe, process, training_set):
            if step.step <= 2:  # the first steps allocate and compile; they are read, so that they are in no rate
                assert step.losses
                began = time.monotonic()
                continue
            timed = step
            if step.losses_read:  # reading a rate at every step would wait for the device at every step
                rates.append(step.images_per_second)
            if step.step >= 5 and time.monotonic() - began > seconds:
                break
        if timed is not None and not rates:
            rates.append(timed.images_per_second)
    if not rates:
        raise TrainingError(
            f"{data}: too few steps in {plural(recipe.schedule.epochs, 'epoch')} to be timed; give more epochs"
        )
    return statistics.median(rates), steps * count_step_images(recipe)


def measure_metric_speed(recipe: Recipe, training_set: TrainingSet, *, device: str = "auto") -> float:
    """Measure the images per second that the frozen network of a recipe with a metric pools, with decoding."""
    from passerby.runs.metric_training import pool_images

    with join_processes(device) as process:
        network, _ = training_state(recipe, 0, process)
        samples = training_set.samples[: recipe.evaluation.batch]
        pool_images(recipe, network, samples[:2], process.device)
        began = time.perf_counter()
        pool_images(recipe, network, samples, process.device)
        return len(samples) / (time.perf_counter() - began)


def count_step_images(recipe: Recipe) -> int:
    """Return the images of one training step."""
    return recipe.batches.persons * recipe.batches.images * recipe.optimizer.accumulate


def fit_epochs(recipe: Recipe, data: str, minutes: float, *, device: str) -> int:
    """Return the number of whole epochs that fit a time budget, by the speed of a few steps.

    Raises:
        RecipeError: If one epoch takes longer than `minutes`.
    """
    rate, images = measure_training_speed(recipe, data, device=device)
    epochs = int(60 * minutes * rate / images)
    if epochs < 1:
        raise RecipeError(
            f"{recipe.name}: {plural(minutes, 'minute')}: less than one epoch of {plural(images, 'image')} at "
            f"{rate:.0f} images/s here; give at least {images / rate / 60:.1f}"
        )
    return epochs


def measure_embedding_speed(embedder: Embedder, data: DataSet) -> float:
    """Measure images embedded per second, with decoding and mirroring: the median of three rounds."""
    images = [*data.query, *data.gallery][:EMBEDDED_IMAGES]
    seconds = []
    for _ in range(EMBEDDING_REPEATS):
        began = time.perf_counter()
        embedder.embed(images)
        seconds.append(time.perf_counter() - began)
    return len(images) / statistics.median(seconds)
