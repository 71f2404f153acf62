"""A recipe's settings as the plain arguments of what does the work: rooms below know no recipe."""

from __future__ import annotations

from typing import Any

from passerby.losses.combine import Losses
from passerby.recipe import Recipe
from passerby.training.stages import Stage


def transform_arguments(recipe: Recipe) -> dict[str, Any]:
    """The recipe's images as plain arguments of the loader."""
    images = recipe.images.model_dump()
    for name in ("erasing", "jitter"):
        images[name] = tuple(images[name].values()) if images[name] else None
    return images


def model_arguments(recipe: Recipe) -> dict[str, Any]:
    """The recipe's model as plain arguments of `build_model`, paths as text."""
    return recipe.model.model_dump(mode="json")


def count_classes(recipe: Recipe, identities: int) -> int:
    """Identities that the network has classifiers for: those of the training set, or none where no loss asks."""
    return identities if recipe.loss.knows_classes else 0


def build_stages(recipe: Recipe) -> list[Stage]:
    """What the training does one after the other; one nameless stage where the recipe names none."""
    return [Stage(**stage.model_dump()) for stage in recipe.plan]


def optimizer_arguments(recipe: Recipe) -> dict[str, Any]:
    """The recipe's optimizer as plain arguments of `build_optimizer`."""
    return recipe.optimizer.model_dump(exclude={"clip", "accumulate"})


def build_losses(recipe: Recipe) -> Losses:
    """The recipe's losses with their weights."""
    return Losses(**recipe.loss.model_dump())
