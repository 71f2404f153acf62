"""One harness for several methods: the same training for each, with the model and losses of the method."""

from __future__ import annotations

from passerby.errors import RecipeError
from passerby.recipe import Recipe
from passerby.text import plural


def apply_harness(harness: Recipe, method: Recipe) -> Recipe:
    """Return a recipe with the method's model and losses and the harness's training.

    Images, batches, optimizer, schedule, precision and seed are the harness's. The mean and standard deviation of
    pixels stay the method's, because its weights were trained with them. Its stages stay too: they keep their fractions
    of the epochs and their ratios to the highest rate, and the first warms up like the harness.

    Args:
        harness: Recipe of the training.
        method: Recipe of the model and losses.

    Raises:
        RecipeError: If the harness has fewer epochs than the method has stages.

    Example:
        >>> recipe = apply_harness(passerby.load_recipe("lab-atto"), passerby.load_recipe("osnet"))
        >>> recipe.name, recipe.schedule.epochs
        ('osnet', 24)
    """
    stages = [stage.model_dump() for stage in set_epochs(method, harness.schedule.epochs).stages]
    scale = harness.schedule.lr_max / method.schedule.lr_max
    for number, stage in enumerate(stages):
        if stage["warmup_epochs"] is None:
            stage["warmup_epochs"] = min(0 if number else harness.schedule.warmup_epochs, stage["epochs"] - 1)
        stage |= {rate: stage[rate] * scale for rate in ("lr_init", "lr_max", "lr_min") if stage[rate] is not None}
    return method.with_changes(
        images=harness.images.model_dump() | method.images.model_dump(include={"mean", "std"}),
        batches=harness.batches,
        optimizer=harness.optimizer,
        schedule=harness.schedule,
        training=harness.training,
        stages=stages,
    )


def set_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """Return the recipe with another number of epochs.

    Warm-up and stages keep their fractions of the schedule, rounded down; each stage has at least one epoch.

    Args:
        recipe: Recipe to change.
        epochs: Epochs of the whole schedule, at least 1 and at least one for each stage.

    Raises:
        RecipeError: For fewer epochs.

    Example:
        >>> schedule = set_epochs(passerby.load_recipe("lab-atto"), 12).schedule
        >>> schedule.epochs, schedule.warmup_epochs
        (12, 2)
    """
    if epochs < max(1, len(recipe.stages)):
        raise RecipeError(
            f"{recipe.name}: got {plural(epochs, 'epoch')}, expected at least {max(1, len(recipe.stages))}"
            + (f", one for each of its {plural(len(recipe.stages), 'stage')}" if recipe.stages else "")
        )
    fraction = epochs / recipe.schedule.epochs
    stages = [stage.model_dump() for stage in recipe.stages]
    lengths = [max(1, int(fraction * stage["epochs"])) for stage in stages]
    while stages and sum(lengths) != epochs:  # the longest stage takes what rounding left over or added
        lengths[lengths.index(max(lengths))] += 1 if sum(lengths) < epochs else -1
    for stage, length in zip(stages, lengths, strict=True):
        stage["epochs"] = length
        if stage["warmup_epochs"] is not None:
            stage["warmup_epochs"] = min(int(fraction * stage["warmup_epochs"]), length - 1)
    warmup = int(fraction * recipe.schedule.warmup_epochs)
    return recipe.with_changes(schedule={"epochs": epochs, "warmup_epochs": warmup}, stages=stages)
