"""How fast a recipe trains on this machine."""

from __future__ import annotations

import statistics
import time

from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.distributed import join_processes
from passerby.errors import TrainingError
from passerby.recipe import Recipe
from passerby.runs.assemble import training_loader, training_state, training_steps
from passerby.training.loop import steps_per_epoch


def measure_speed(recipe: Recipe, data: str, *, device: str = "auto", seconds: float = 20.0) -> tuple[float, int]:
    """How fast `recipe` trains on `data` here, by steps that are thrown away.

    Args:
        recipe: What to time; its first stage is.
        data: Data sets, as for `train`.
        device: As for `train`.
        seconds: About how long to try, after the first two steps; at least three steps are timed.

    Returns:
        Images a second, the median over the steps; and images in an epoch.

    Raises:
        PasserbyError: As `train`.
    """
    training_set = join_training(load_data(data))
    rates: list[float] = []
    with join_processes(device) as process:
        _, state = training_state(recipe, training_set.identities, process)
        loader = training_loader(recipe, training_set, process)
        steps = steps_per_epoch(len(loader), recipe.optimizer.accumulate)
        began = time.monotonic()
        for step in training_steps(state, loader, recipe, process, training_set):
            if step.step == 2:
                began = time.monotonic()  # the first steps allocate and compile
            elif step.step > 2:
                rates.append(step.images_per_second)
            if len(rates) >= 3 and time.monotonic() - began > seconds:
                break
    if not rates:
        raise TrainingError(f"{data}: too few steps in {recipe.schedule.epochs} epochs to be timed; give more epochs")
    images = recipe.batches.persons * recipe.batches.images * recipe.optimizer.accumulate
    return statistics.median(rates), steps * images
