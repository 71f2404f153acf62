"""Read recipes: shipped ones or files, with `key=value` changes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from passerby.errors import RecipeError, argument, require_several
from passerby.recipe.read_yaml import MAX_CHARACTERS, read_yaml
from passerby.recipe.recipe import Recipe, parse_recipe, set_key
from passerby.text import plural, suggest

RECIPES = Path(__file__).parents[1] / "recipes"
"""Folder of the shipped recipes."""


def recipe_names() -> list[str]:
    """List the names of the shipped recipes, sorted.

    Example:
        >>> "lab-atto" in recipe_names()
        True
    """
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str | Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and change settings in it.

    Args:
        name: Name of a shipped recipe, see `recipe_names`, or the path of a YAML file, such as a run's `recipe.yaml`.
        overrides: `key.subkey=value`, as the command line's `--set`; applied in order, values are YAML.

    Returns:
        The recipe, with a default for every key that the file leaves out.

    Raises:
        RecipeError: For an unknown name, a file that is not YAML, an unknown key (the known ones are listed), or an
            impossible value.

    Example:
        >>> recipe = passerby.load_recipe("lab-atto", overrides=["schedule.epochs=60"])
        >>> recipe
        Recipe('lab-atto', convnext_ap of convnext_atto, 60 epochs)
        >>> recipe.loss.triplet.margin
        0.3
    """
    require_several("overrides", overrides, RecipeError)
    path = RECIPES / f"{name}.yaml" if str(name) in recipe_names() else Path(name)
    if not path.is_file():
        raise RecipeError(
            f"recipe {str(name)!r}: {suggest(str(name), recipe_names())}neither a shipped recipe "
            f"({', '.join(recipe_names())}) nor a file that exists"
        )
    try:
        if path.stat().st_size > 4 * MAX_CHARACTERS:
            raise ValueError(f"{plural(path.stat().st_size, 'byte')}, expected at most {MAX_CHARACTERS:,}")
        tree = read_yaml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {path}: not YAML: {error}") from None
    except ValueError as error:
        raise RecipeError(f"recipe {path}: {error}") from None
    if not isinstance(tree, dict):
        content = {list: "a list", type(None): "nothing"}.get(type(tree), "one value")
        raise RecipeError(f"recipe {path}: contains {content}, expected sections such as model: and schedule:")
    for override in overrides:
        apply_override(tree, override)
    return parse_recipe(tree, source=str(name))


def find_differences(recipe: Recipe, other: Recipe) -> list[str]:
    """List the overrides, `key.subkey=value`, that turn `other` into `recipe`; both of one method.

    Example:
        >>> recipe = passerby.load_recipe("lab-atto", overrides=["schedule.epochs=60"])
        >>> find_differences(recipe, passerby.load_recipe("lab-atto"))
        ['schedule.epochs=60']
    """
    return _differences(recipe.model_dump(mode="json"), other.model_dump(mode="json"))


def _differences(tree: Mapping[str, Any], other: Mapping[str, Any] | None, prefix: str = "") -> list[str]:
    overrides = []
    for key, value in tree.items():
        before = None if other is None else other.get(key)
        if isinstance(value, dict) and (before is None or isinstance(before, dict)):
            overrides += _differences(value, before, f"{prefix}{key}.")
        elif value != before:
            overrides.append(f"{prefix}{key}={json.dumps(value)}")
    return overrides


def apply_override(tree: dict[str, Any], override: str) -> None:
    """Set one `a.b.c=value` in a nested dict; the value is read as YAML.

    Raises:
        RecipeError: For another form, a value that is not YAML, or a key below a value.
    """
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(
            f"{argument('overrides')} {override!r}: expected key.subkey=value, such as schedule.epochs=60"
        )
    try:
        value = read_yaml(text)
    except ValueError as error:
        raise RecipeError(f"{argument('overrides')} {override[:200]!r}: the value is {error}") from None
    try:
        set_key(tree, key, value)
    except RecipeError as error:
        raise RecipeError(f"{argument('overrides')} {override[:200]!r}: {error}") from None
