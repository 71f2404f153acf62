"""Messages about recipes that cannot be used: the key as the user writes it, the value, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

RENAMED_KEYS = {"optimiser": "optimizer", "loss.centre": "loss.center"}
"""Keys of recipes written before manifest format 2, with their present names."""


def describe_problems(error: ValidationError, root: type[BaseModel]) -> str:
    """Describe all problems that pydantic found in `root` in one line."""
    return "; ".join(_describe(problem, root) for problem in error.errors())


def _describe(problem: Any, root: type[BaseModel]) -> str:
    """Describe one problem."""
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        if key in RENAMED_KEYS:
            return (
                f"key {key!r} is now {RENAMED_KEYS[key]!r}; rename it in the file, or convert a run with "
                "`passerby model upgrade RUN`"
            )
        *parents, _ = problem["loc"]
        section = ".".join(map(str, parents)) or ("the recipe" if root.__name__ == "Recipe" else root.__name__)
        return f"unknown key {key!r}; {section} has the keys {', '.join(_keys_of(root, parents))}"
    message = problem["msg"].removeprefix("Value error, ")
    received = "" if isinstance(problem["input"], dict | BaseModel) else f", got {_shorten(repr(problem['input']))}"
    return f"{key + ': ' if key else ''}{message}{received}"


def _shorten(text: str, *, length: int = 200) -> str:
    return text if len(text) <= length else f"{text[:length]}..."


def _keys_of(root: type[BaseModel], parents: Sequence[Any]) -> list[str]:
    """List the keys of the section that `parents` lead to."""
    section = root
    for parent in parents:
        if isinstance(parent, int):  # an index into a list, whose items' section is already selected
            continue
        annotation: Any = section.model_fields[str(parent)].annotation
        options = getattr(annotation, "__args__", (annotation,))
        section = next(kind for kind in options if isinstance(kind, type) and issubclass(kind, BaseModel))
    return list(section.model_fields)
