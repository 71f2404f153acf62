"""One harness for several methods: what is the method's own stays, what is the training's becomes the same."""

from __future__ import annotations

from typing import Any

from passerby.errors import RecipeError
from passerby.recipe import Recipe


def under(harness: Recipe, method: Recipe) -> Recipe:
    """The method's model and losses, trained as the harness says.

    Images, batches, optimizer, schedule, precision and seed are the harness's. The mean and standard deviation of
    pixels stay the method's, as its weights know no others; so do its stages, which keep their shares of the epochs and
    their proportions to the highest rate. The first of them warms up as the harness does.

    Raises:
        RecipeError: For a harness with fewer epochs than the method has stages.
    """
    changed = with_epochs(method, harness.schedule.epochs).model_dump()
    given = harness.model_dump()
    scale = harness.schedule.lr_max / method.schedule.lr_max
    changed |= {part: given[part] for part in ("batches", "optimizer", "schedule", "training")}
    changed["images"] = given["images"] | {name: changed["images"][name] for name in ("mean", "std")}
    for number, stage in enumerate(changed["stages"]):
        if stage["warmup_epochs"] is None:
            stage["warmup_epochs"] = min(0 if number else harness.schedule.warmup_epochs, stage["epochs"] - 1)
        stage |= {rate: stage[rate] * scale for rate in ("lr_init", "lr_max", "lr_min") if stage[rate] is not None}
    return Recipe.model_validate(changed)


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    """The recipe with another length: warm-up and stages keep their shares, stages at least one epoch each.

    Raises:
        RecipeError: For fewer epochs than the recipe has stages, or none.
    """
    if epochs < max(1, len(recipe.stages)):
        raise RecipeError(
            f"{recipe.name}: got {epochs} epochs, expected at least {max(1, len(recipe.stages))}"
            + (f", one for each of its {len(recipe.stages)} stages" if recipe.stages else "")
        )
    share = epochs / recipe.schedule.epochs
    changed: dict[str, Any] = recipe.model_dump()
    changed["schedule"] |= {"epochs": epochs, "warmup_epochs": int(share * recipe.schedule.warmup_epochs)}
    if recipe.stages:
        lengths = [max(1, int(share * stage.epochs)) for stage in recipe.stages]
        while sum(lengths) != epochs:  # what rounding has left over or taken goes to the longest
            lengths[lengths.index(max(lengths))] += 1 if sum(lengths) < epochs else -1
        for stage, length in zip(changed["stages"], lengths, strict=True):
            warmup = stage["warmup_epochs"]
            stage |= {
                "epochs": length,
                "warmup_epochs": None if warmup is None else min(int(share * warmup), length - 1),
            }
    return Recipe.model_validate(changed)
