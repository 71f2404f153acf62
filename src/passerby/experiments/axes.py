"""Axes of an ablation: what each level changes in a recipe, and the grid of cells that axes span."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from passerby.errors import RecipeError, argument
from passerby.recipe import Recipe
from passerby.text import plural, suggest

Changes = Mapping[str, Any]
Level = Changes | Callable[[Recipe], Changes]
"""Arguments of `Recipe.with_changes` that a level sets; a function if they depend on the rest of the recipe."""


def _use_losses(*names: str) -> Level:
    """Turn on these losses, with the recipe's settings or the defaults, and turn off all others."""

    def changes(recipe: Recipe) -> Changes:
        return {"loss": {name: (loss or {}) if name in names else None for name, loss in recipe.loss}}

    return changes


def three_stages(recipe: Recipe) -> Changes:
    """Set the recipe's own stages, or else those of RPP (Sun et al. 2018).

    RPP trains stripes for 2/3 of the epochs, the part classifier for 1/6, and all at a tenth of the rate for 1/6.

    Raises:
        RecipeError: If the epochs for stripes do not exceed the warm-up.
    """
    stages = [stage.model_dump() for stage in recipe.stages]
    schedule = recipe.schedule
    sixth = max(1, round(schedule.epochs / 6))
    stripes = schedule.epochs - 2 * sixth
    if not stages and stripes <= schedule.warmup_epochs:
        raise RecipeError(
            f"of {plural(schedule.epochs, 'epoch')}, {stripes} remain for the stripes, of which "
            f"{schedule.warmup_epochs} warm up; set schedule.epochs higher, or give stages"
        )
    slow = {"lr_max": 0.1 * schedule.lr_max, "lr_min": min(schedule.lr_min, 0.1 * schedule.lr_max)}
    stages = stages or [
        {"name": "stripes", "epochs": stripes, "refine": False},
        {"name": "parts", "epochs": sixth, "warmup_epochs": 0, "train": ["refinement"]},
        {"name": "together", "epochs": sixth, "warmup_epochs": 0, **slow},
    ]
    return {"model": {"refine": True}, "stages": stages}


METRIC_LOSSES = ("triplet", "circle", "contrastive", "supcon", "center")

AXES: dict[str, dict[str, Level]] = {
    "attention": {level: {"model": {"attention": level == "on"}} for level in ("off", "on")},
    "position": {level: {"model": {"attention_position": level}} for level in ("depthwise", "block")},
    "parts": {
        "off": {"model": {"parts": 0, "refine": False}, "stages": []},
        "on": lambda recipe: {"model": {"parts": recipe.model.parts or 6}},
    },
    "stripes": {str(count): {"model": {"parts": count}} for count in (2, 3, 4, 6, 8)},
    "refine": {
        "off": {"model": {"refine": False}, "stages": []},
        "joint": {"model": {"refine": True}, "stages": []},
        "staged": three_stages,
    },
    "loss": {"identity": _use_losses("identity")} | {name: _use_losses("identity", name) for name in METRIC_LOSSES},
    "erasing": {
        "off": {"images": {"erasing": None}},
        "on": lambda recipe: {"images": {"erasing": recipe.images.erasing or {}}},
    },
    "warmup": {
        "off": {"schedule": {"warmup_epochs": 0}},
        "on": lambda recipe: {"schedule": {"warmup_epochs": recipe.schedule.warmup_epochs or 5}},
    },
    "embedding": {level: {"model": {"embedding": level}} for level in ("reduced", "full")},
}
"""All axes with their levels. The first level is the baseline's. Levels are applied in this order."""

EVALUATION_ONLY = ("embedding",)
"""Axes that change only the evaluation of a trained model; their levels share one training."""
NEEDS = {"position": "attention", "refine": "parts"}
"""Axes without effect where the axis that they need is off."""
LETTERS = {"attention": "A", "parts": "P"}
LEVEL_NAMES = {
    "refine": {"off": "stripes", "joint": "refined jointly", "staged": "refined in stages"},
    "loss": {"identity": "identity"} | {name: f"identity + {name}" for name in METRIC_LOSSES},
}
"""Row names in tables: the paper's letters for attention and parts, words for the other axes."""


@dataclass(frozen=True)
class GridCell:
    """One row of a grid: a recipe, and how its model is evaluated.

    Attributes:
        name: Row name in tables.
        slug: Folder name of the cell's runs. Cells that differ in the evaluation alone share it.
        recipe: Recipe of the training; levels of `EVALUATION_ONLY` are not applied to it.
        result: Name of the file in the run folder that holds the cell's result.
        embedding: Kind of embedding that is evaluated, `reduced` or `full`.
        levels: Level on each axis, None where an axis has no effect.
    """

    name: str
    slug: str
    recipe: Recipe
    result: str
    embedding: str
    levels: Mapping[str, str | None] = field(default_factory=dict)


def parse_axes(text: str) -> dict[str, tuple[str, ...]]:
    """Parse axes and levels, such as `attention,refine=off/staged`.

    Args:
        text: Axes joined with commas; `=` and levels joined with `/` select some of an axis's levels.

    Returns:
        Levels by axis, in the order of `AXES`.

    Raises:
        RecipeError: For no axis, an unknown axis or level, an axis given twice, or two axes that set the same key.

    Example:
        >>> parse_axes("refine=off/staged,attention")
        {'attention': ('off', 'on'), 'refine': ('off', 'staged')}
    """
    levels: dict[str, tuple[str, ...]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        axis, chosen, names = part.partition("=")
        if axis not in AXES:
            raise RecipeError(
                f"axis {axis!r}: unknown; {suggest(axis, AXES)}expected some of {', '.join(AXES)}, joined with commas"
            )
        if axis in levels:
            raise RecipeError(f"axis {axis!r}: given twice; name it once, its levels joined with /")
        levels[axis] = tuple(dict.fromkeys(names.split("/"))) if chosen else tuple(AXES[axis])
        for level in levels[axis]:
            if level not in AXES[axis]:
                raise RecipeError(f"axis {axis!r}: unknown level {level!r}; expected some of {', '.join(AXES[axis])}")
    if not levels:
        raise RecipeError(f"{argument('axes')}: got {text!r}, expected some of {', '.join(AXES)}, joined with commas")
    if {"parts", "stripes"} <= levels.keys():
        raise RecipeError("axes: parts and stripes both set model.parts; give one of them")
    return {axis: levels[axis] for axis in AXES if axis in levels}


def span_grid(recipe: Recipe, axes: Mapping[str, Sequence[str]]) -> list[GridCell]:
    """Return a cell for each combination of levels with a recipe or evaluation of its own.

    Args:
        recipe: Recipe that the levels change.
        axes: Levels by axis, as `parse_axes` returns them.

    Returns:
        The cells; the first is the baseline.

    Raises:
        RecipeError: For levels that make no valid recipe; the message names the level.
    """
    cells: list[tuple[dict[str, str | None], Recipe]] = [({}, recipe)]
    for axis in (axis for axis in AXES if axis in axes):
        cells = [
            ({**levels, axis: level}, _apply_level(changed, axis, level))
            for levels, changed in cells
            for level in ((None,) if levels.get(NEEDS.get(axis, "")) == "off" else axes[axis])
        ]
    return [_make_cell(levels, changed) for levels, changed in cells]


def _apply_level(recipe: Recipe, axis: str, level: str | None) -> Recipe:
    if level is None or axis in EVALUATION_ONLY:
        return recipe
    changes = AXES[axis][level]
    try:
        return recipe.with_changes(**(changes(recipe) if callable(changes) else changes))
    except RecipeError as error:
        raise RecipeError(f"{axis}={level}: {error}") from None


def _make_cell(levels: Mapping[str, str | None], recipe: Recipe) -> GridCell:
    trained = [f"{axis}-{level}" for axis, level in levels.items() if level and axis not in EVALUATION_ONLY]
    embedding = levels.get("embedding") or recipe.model.embedding
    slug = "_".join(trained) or "recipe"
    return GridCell(_name_row(levels), slug, recipe, f"queries-{embedding}.json", embedding, levels)


def _name_row(levels: Mapping[str, str | None]) -> str:
    parts = []
    if LETTERS.keys() & levels:
        parts.append("".join(LETTERS[axis] for axis in LETTERS if levels.get(axis) == "on") or "Baseline")
    for axis, level in levels.items():
        if axis not in LETTERS and level is not None:
            parts.append(LEVEL_NAMES.get(axis, {}).get(level, f"{axis} {level}"))
    return ", ".join(parts)
