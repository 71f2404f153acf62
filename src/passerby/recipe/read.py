"""Recipes from files: shipped or one's own, with `key=value` changes, and what is wrong with them in one sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from passerby.errors import RecipeError
from passerby.recipe.recipe import Recipe

RECIPES = Path(__file__).parents[1] / "recipes"
"""Folder of the shipped recipes."""
RENAMED_KEYS = {"optimiser": "optimizer", "loss.centre": "loss.center"}
"""Keys of recipes written before manifest format 2, with their present names."""


def recipe_names() -> list[str]:
    """Names of the shipped recipes, sorted."""
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str | Path, *, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe by name, or a YAML file by path, and apply `a.b=value` overrides in order.

    Raises:
        RecipeError: For a name that is not known, YAML that does not parse, an unknown key (the known ones are
            listed), or an impossible value.
    """
    path = RECIPES / f"{name}.yaml" if str(name) in recipe_names() else Path(name)
    if not path.is_file():
        raise RecipeError(
            f"recipe {str(name)!r}: neither a shipped recipe ({', '.join(recipe_names())}) nor a file that exists"
        )
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_Numbers)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe {path}: not YAML: {error}") from None
    if not isinstance(tree, dict):
        raise RecipeError(f"recipe {path}: holds {type(tree).__name__}, expected keys such as model: and schedule:")
    for override in overrides:
        _apply(tree, override)
    return parse_recipe(tree, source=str(name))


def parse_recipe(tree: dict[str, Any], *, source: str = "recipe") -> Recipe:
    """Validate a nested dict. Raises RecipeError as `load_recipe` does."""
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(f"recipe {source}: " + "; ".join(_explain(item) for item in error.errors())) from None


def differences(recipe: Recipe, other: Recipe) -> list[str]:
    """The overrides, `key.subkey=value`, under which `other` is `recipe`; both of one method."""
    return _differences(recipe.model_dump(mode="json"), other.model_dump(mode="json"))


def _differences(tree: Mapping[str, Any], other: Mapping[str, Any] | None, prefix: str = "") -> list[str]:
    found = []
    for key, value in tree.items():
        theirs = None if other is None else other.get(key)
        if isinstance(value, dict) and (theirs is None or isinstance(theirs, dict)):
            found += _differences(value, theirs, f"{prefix}{key}.")
        elif value != theirs:
            found.append(f"{prefix}{key}={json.dumps(value)}")
    return found


def _apply(tree: dict[str, Any], override: str) -> None:
    """Set one `a.b.c=value` in a nested dict; the value is read as YAML."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"--set {override!r}: expected key.subkey=value, such as schedule.epochs=60")
    try:
        value = yaml.load(text, Loader=_Numbers)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override!r}: the value is not YAML: {error}") from None
    *parents, last = key.split(".")
    node = tree
    for parent in parents:
        child = node.get(parent)
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise RecipeError(f"--set {override!r}: {parent} is a value, not a section")
        node = child
    node[last] = value


class _Numbers(yaml.SafeLoader):
    """SafeLoader that reads `1e-3` as a number, as everybody who types it means (YAML 1.1 wants 1.0e-3)."""


_Numbers.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _explain(item: Any) -> str:
    """One pydantic finding as a sentence that names the key as the user writes it."""
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        if place in RENAMED_KEYS:
            return (
                f"key {place!r} is now {RENAMED_KEYS[place]!r}; rename it in the file, or convert a run with "
                "`passerby model upgrade RUN`"
            )
        *parents, _ = item["loc"]
        known = ", ".join(_keys_at(parents))
        return f"unknown key {place!r}; {'.'.join(map(str, parents)) or 'the recipe'} knows {known}"
    message = item["msg"].removeprefix("Value error, ")
    got = "" if isinstance(item["input"], dict | BaseModel) else f", got {item['input']!r}"
    return f"{place + ': ' if place else ''}{message}{got}"


def _keys_at(parents: Sequence[Any]) -> list[str]:
    """The keys that the section at this place knows."""
    section: type[BaseModel] = Recipe
    for parent in parents:
        if isinstance(parent, int):  # the place in a list, whose items' section is the one at hand
            continue
        annotation: Any = section.model_fields[str(parent)].annotation
        options = getattr(annotation, "__args__", (annotation,))
        section = next(kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel))
    return list(section.model_fields)
