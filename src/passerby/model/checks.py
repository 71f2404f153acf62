"""Checks of the arguments of network builders."""

from __future__ import annotations

from passerby.errors import RecipeError


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise RecipeError that names the recipe's key `model.{name}`, unless the condition holds."""
    if not holds:
        raise RecipeError(f"model.{name}: got {value!r}, expected {expected}")
