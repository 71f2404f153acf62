"""What an ablation can vary: axes, their levels, and the cells of the grid that they span."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from passerby.errors import RecipeError
from passerby.recipe import Recipe, parse_recipe
from passerby.recipe.sections import (
    CenterLossSettings,
    CircleLossSettings,
    ContrastiveLossSettings,
    ErasingSettings,
    IdentityLossSettings,
    SupConLossSettings,
    TripletLossSettings,
)

Overrides = Mapping[str, Any]
Level = Overrides | Callable[[Recipe], Overrides]
"""What a level sets in the recipe, by dotted key; a function where that depends on the rest of the recipe."""

LOSSES = {
    "identity": IdentityLossSettings(),
    "circle": CircleLossSettings(),
    "triplet": TripletLossSettings(),
    "contrastive": ContrastiveLossSettings(),
    "supcon": SupConLossSettings(),
    "center": CenterLossSettings(),
}


def _losses(*names: str) -> Level:
    """These losses, as the recipe weighs them or with the defaults, and no others."""

    def overrides(recipe: Recipe) -> Overrides:
        own = {name: getattr(recipe.loss, name) or default for name, default in LOSSES.items()}
        return {f"loss.{name}": own[name].model_dump() if name in names else None for name in LOSSES}

    return overrides


def three_stages(recipe: Recipe) -> Overrides:
    """The recipe's own stages; without them RPP's: 2/3 stripes, 1/6 the part classifier, 1/6 all at a tenth.

    Raises:
        RecipeError: When there are too few epochs for that.
    """
    own = [stage.model_dump(mode="json") for stage in recipe.stages]
    schedule = recipe.schedule
    sixth = max(1, round(schedule.epochs / 6))
    stripes = schedule.epochs - 2 * sixth
    if not own and stripes <= schedule.warmup_epochs:
        raise RecipeError(
            f"refine=staged: {schedule.epochs} epochs leave {stripes} for the stripes, of which "
            f"{schedule.warmup_epochs} warm up; set schedule.epochs higher, or give stages"
        )
    slow = {"lr_max": 0.1 * schedule.lr_max, "lr_min": min(schedule.lr_min, 0.1 * schedule.lr_max)}
    stages = own or [
        {"name": "stripes", "epochs": stripes, "refine": False},
        {"name": "parts", "epochs": sixth, "warmup_epochs": 0, "train": ["refinement"]},
        {"name": "together", "epochs": sixth, "warmup_epochs": 0, **slow},
    ]
    return {"model.refine": True, "stages": stages}


AXES: dict[str, dict[str, Level]] = {
    "attention": {"off": {"model.attention": False}, "on": {"model.attention": True}},
    "position": {each: {"model.attention_position": each} for each in ("depthwise", "block")},
    "parts": {
        "off": {"model.parts": 0, "model.refine": False, "stages": []},
        "on": lambda recipe: {"model.parts": recipe.model.parts or 6},
    },
    "stripes": {str(count): {"model.parts": count} for count in (2, 3, 4, 6, 8)},
    "refine": {
        "off": {"model.refine": False, "stages": []},
        "joint": {"model.refine": True, "stages": []},
        "staged": three_stages,
    },
    "loss": {
        "identity": _losses("identity"),
        "triplet": _losses("identity", "triplet"),
        "circle": _losses("identity", "circle"),
        "contrastive": _losses("identity", "contrastive"),
        "supcon": _losses("identity", "supcon"),
        "center": _losses("identity", "center"),
    },
    "erasing": {
        "off": {"images.erasing": None},
        "on": lambda recipe: {"images.erasing": (recipe.images.erasing or ErasingSettings()).model_dump()},
    },
    "warmup": {
        "off": {"schedule.warmup_epochs": 0},
        "on": lambda recipe: {"schedule.warmup_epochs": recipe.schedule.warmup_epochs or 5},
    },
    "embedding": {"reduced": {"model.embedding": "reduced"}, "full": {"model.embedding": "full"}},
}
"""Every axis with its levels; the first level is the baseline's. Levels are applied in this order."""

EVALUATION_ONLY = ("embedding",)
"""Axes that change how a trained model is evaluated, and cost no training."""
NEEDS = {"position": "attention", "refine": "parts"}
"""Axes that say nothing where another one is off."""
LETTERS = {"attention": "A", "parts": "P"}
WORDS = {
    "refine": {"off": "stripes", "joint": "refined jointly", "staged": "refined in stages"},
    "loss": {"identity": "identity", **{name: f"identity + {name}" for name in LOSSES if name != "identity"}},
}
"""How rows are called: the paper's letters for attention and parts, words for the rest."""


@dataclass(frozen=True)
class Cell:
    """One combination of levels.

    Attributes:
        levels: The level on each axis; None where an axis says nothing.
        recipe: What is trained; levels of `EVALUATION_ONLY` are not in it.
        embedding: The kind of embedding that is evaluated.
    """

    levels: Mapping[str, str | None]
    recipe: Recipe
    embedding: str

    @property
    def name(self) -> str:
        """What a table calls it."""
        words = []
        if LETTERS.keys() & self.levels:
            words.append("".join(LETTERS[axis] for axis in LETTERS if self.levels.get(axis) == "on") or "Baseline")
        for axis, level in self.levels.items():
            if axis not in LETTERS and level is not None:
                words.append(WORDS.get(axis, {}).get(level, f"{axis} {level}"))
        return ", ".join(words)

    @property
    def slug(self) -> str:
        """The name of its runs' folder; cells that differ in their evaluation alone share one."""
        told = [f"{axis}-{level}" for axis, level in self.levels.items() if level and axis not in EVALUATION_ONLY]
        return "_".join(told) or "recipe"


def parse_axes(text: str) -> dict[str, tuple[str, ...]]:
    """`attention,refine=off/staged` to the levels of each axis, in the order of `AXES`.

    Raises:
        RecipeError: For an axis or a level that is not known, none at all, one named twice, or two that fight.
    """
    found: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        axis, chosen, levels = part.partition("=")
        if axis not in AXES:
            raise RecipeError(f"axis {axis!r}: not known; expected some of {', '.join(AXES)}, joined with commas")
        if axis in found:
            raise RecipeError(f"axis {axis!r}: given twice; name it once, its levels joined with /")
        found[axis] = tuple(dict.fromkeys(levels.split("/"))) if chosen else tuple(AXES[axis])
        for level in found[axis]:
            if level not in AXES[axis]:
                raise RecipeError(f"axis {axis!r}: level {level!r} is not known; it has {', '.join(AXES[axis])}")
    if not found:
        raise RecipeError(f"axes: got {text!r}, expected some of {', '.join(AXES)}, joined with commas")
    if {"parts", "stripes"} <= found.keys():
        raise RecipeError("axes: parts and stripes both set model.parts; take one of them")
    return {axis: found[axis] for axis in AXES if axis in found}


def grid(recipe: Recipe, axes: Mapping[str, Sequence[str]]) -> list[Cell]:
    """Every combination of levels that says something of its own; the first is the baseline.

    Raises:
        RecipeError: Naming the cell, for levels that make no recipe.
    """
    cells: dict[tuple[str | None, ...], Cell] = {}
    for chosen in itertools.product(*axes.values()):
        levels: dict[str, str | None] = dict(zip(axes, chosen, strict=True))
        levels |= {axis: None for axis, other in NEEDS.items() if axis in levels and levels.get(other) == "off"}
        if tuple(levels.values()) not in cells:
            cells[tuple(levels.values())] = _cell(recipe, levels)
    return list(cells.values())


def _cell(recipe: Recipe, levels: Mapping[str, str | None]) -> Cell:
    """Apply the levels, one after the other."""
    changed = recipe
    for axis, level in levels.items():
        if level is not None and axis not in EVALUATION_ONLY:
            change = AXES[axis][level]
            overrides = change(changed) if callable(change) else change
            changed = _override(changed, overrides, source=f"{recipe.name}, {axis}={level}")
    return Cell(levels, changed, levels.get("embedding") or recipe.model.embedding)


def _override(recipe: Recipe, overrides: Overrides, *, source: str) -> Recipe:
    """A recipe with other values at dotted keys, validated again."""
    tree = recipe.model_dump(mode="json")
    for key, value in overrides.items():
        *parents, last = key.split(".")
        node = tree
        for parent in parents:
            node = node[parent]
        node[last] = value
    return parse_recipe(tree, source=source)


def with_seed(recipe: Recipe, seed: int) -> Recipe:
    """The recipe with another seed."""
    return _override(recipe, {"training.seed": seed}, source=recipe.name)
