"""Rows of a comparison: recipes by name, `table5` for all methods of the paper's table, and their backbone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from passerby.errors import RecipeError, argument, require_several
from passerby.experiments.harness import apply_harness
from passerby.model.baselines.osnet import VARIANTS
from passerby.recipe import Recipe, load_recipe, recipe_names
from passerby.reporting.published import list_published_methods

TABLE5 = "table5"
"""Name for all rows of the paper's Table 5 that have a recipe, and the metrics of the paper's introduction."""
_OWN_BACKBONE = ("lomo", "imported")


def list_table5() -> list[str]:
    """List the shipped recipes of Table 5 in its order, then those with a metric.

    A recipe belongs to a method of the table if their names have the same letters and digits: `pcb-rpp` is PCB-RPP.

    Example:
        >>> names = list_table5()
        >>> names[0], "osnet" in names, "lomo-xqda" in names
        ('glad', True, True)
    """
    recipes = {_letters(name): name for name in recipe_names()}
    found = [recipes[key] for key in map(_letters, list_published_methods()) if key in recipes]
    return found + [name for name in recipe_names() if load_recipe(name).metric is not None]


def _letters(name: str) -> str:
    """Return the letters and digits of a name without what is in parentheses, in lower case."""
    return re.sub(r"\(.*\)|[^a-z0-9]", "", name.lower())


def load_rows(methods: Sequence[str], like: str | None, overrides: Sequence[str]) -> dict[str, Recipe]:
    """Load the recipe of each row.

    Args:
        methods: Recipes by name or file. `table5` stands for `list_table5()`; with `like`, its rows take the backbone
            of `like` too where their method does not define one, and `like` itself is the first row.
        like: Recipe whose training all rows take; None leaves each its own.
        overrides: `key=value` changes of every recipe.

    Returns:
        Recipe by the name of its row.

    Raises:
        RecipeError: For a recipe that cannot be read, no method, or two with the same file name.
    """
    require_several("methods", methods, RecipeError)
    require_several("overrides", overrides, RecipeError)
    table = list_table5() if TABLE5 in methods else []
    names = [name for given in methods for name in (table if given == TABLE5 else [given])]
    if TABLE5 in methods and like is not None and like not in names:
        names = [like, *names]
    if not names or len({Path(name).stem for name in names}) < len(names):
        raise RecipeError(
            f"{argument('methods')}: got {', '.join(methods) or 'none'}; expected one or more, each file name once"
        )
    recipes = {name: load_recipe(name, overrides=list(overrides)) for name in names}
    if like is None:
        return recipes
    harness = load_recipe(like, overrides=list(overrides))
    recipes = {name: _take_backbone(harness, recipe) if name in table else recipe for name, recipe in recipes.items()}
    return {name: apply_harness(harness, recipe) for name, recipe in recipes.items()}


def _take_backbone(harness: Recipe, method: Recipe) -> Recipe:
    """Return the method on the backbone and initial weights of the harness, where it does not define its own."""
    model = method.model
    if method.metric is not None or model.backbone in VARIANTS or model.method in _OWN_BACKBONE:
        return method
    chosen = harness.model.model_dump(include={"backbone", "pretrained", "weights"})
    images = harness.images.model_dump(include={"mean", "std"})
    return method.with_changes(model=chosen, images=images)
