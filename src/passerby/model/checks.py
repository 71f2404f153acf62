"""What builders of networks ask of their arguments."""

from __future__ import annotations

from passerby.errors import RecipeError


def require(holds: bool, name: str, value: object, expected: str) -> None:
    """Raise RecipeError, in the recipe's words, unless the condition holds."""
    if not holds:
        raise RecipeError(f"model.{name}: got {value!r}, expected {expected}")
