"""What a run is, as data: validated once at the edge, saved with the run, never executed.

A recipe is YAML. `load_recipe("lab-atto", overrides=["schedule.epochs=60"])` reads a shipped one, a file, or
the `recipe.yaml` of a run. Inside the package, rooms take plain arguments and never see it.
"""

from passerby.recipe.read import RECIPES, differences, load_recipe, parse_recipe, recipe_names
from passerby.recipe.recipe import Recipe
from passerby.recipe.sections import METHODS, LossSettings, ModelSettings

__all__ = [
    "METHODS",
    "RECIPES",
    "LossSettings",
    "ModelSettings",
    "Recipe",
    "differences",
    "load_recipe",
    "parse_recipe",
    "recipe_names",
]
