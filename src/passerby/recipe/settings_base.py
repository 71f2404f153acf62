"""Base of the sections of a recipe, and the types of their values."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from passerby.errors import RecipeError
from passerby.recipe.problems import describe_problems

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]


class Settings(BaseModel):
    """A section of a recipe: unknown keys are errors, and an assigned value is validated."""

    model_config = ConfigDict(extra="forbid")
    section: ClassVar[str] = ""
    """Key of the section in a recipe, such as `loss.triplet`; set by `recipe.py`."""

    def __setattr__(self, name: str, value: Any) -> None:
        """Set a value that the section accepts.

        Raises:
            RecipeError: For an unknown key or an impossible value; the section is as it was.
        """
        values = {key: getattr(self, key) for key in self.model_fields_set} | {name: value}
        try:
            valid = type(self).model_validate(values)
        except ValidationError as error:
            raise RecipeError(describe_problems(error, type(self), section=self.section)) from None
        super().__setattr__(name, getattr(valid, name))
