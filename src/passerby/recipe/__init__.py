"""Settings of a run as data: YAML, validated once when it is read, saved with the run, never executed.

`load_recipe("lab-atto", overrides=["schedule.epochs=60"])` reads a shipped recipe, a file, or the `recipe.yaml` of a
run. Other packages take plain arguments or settings objects of their own, made from a recipe in `passerby.runs`.
"""

from passerby.recipe.loss_settings import (
    CenterLossSettings,
    CircleLossSettings,
    ContrastiveLossSettings,
    IdentityLossSettings,
    LossSettings,
    SupConLossSettings,
    TripletLossSettings,
)
from passerby.recipe.problems import RENAMED_KEYS
from passerby.recipe.read import RECIPES, find_differences, load_recipe, recipe_names
from passerby.recipe.recipe import Recipe, parse_recipe
from passerby.recipe.sections import (
    BatchSettings,
    ErasingSettings,
    EvaluationSettings,
    ImageSettings,
    JitterSettings,
    ModelSettings,
    OptimizerSettings,
    ResponseSettings,
    ScheduleSettings,
    StageSettings,
    TrainingSettings,
    ZoomSettings,
)

__all__ = [
    "RECIPES",
    "RENAMED_KEYS",
    "BatchSettings",
    "CenterLossSettings",
    "CircleLossSettings",
    "ContrastiveLossSettings",
    "ErasingSettings",
    "EvaluationSettings",
    "IdentityLossSettings",
    "ImageSettings",
    "JitterSettings",
    "LossSettings",
    "ModelSettings",
    "OptimizerSettings",
    "Recipe",
    "ResponseSettings",
    "ScheduleSettings",
    "StageSettings",
    "SupConLossSettings",
    "TrainingSettings",
    "TripletLossSettings",
    "ZoomSettings",
    "find_differences",
    "load_recipe",
    "parse_recipe",
    "recipe_names",
]
