"""A whole recipe, and the rules between its sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from passerby.errors import RecipeError
from passerby.recipe.loss_settings import LossSettings
from passerby.recipe.metric_settings import MetricSettings
from passerby.recipe.problems import describe_problems
from passerby.recipe.sections import (
    BatchSettings,
    EvaluationSettings,
    ImageSettings,
    ModelSettings,
    OptimizerSettings,
    ScheduleSettings,
    StageSettings,
    TrainingSettings,
)
from passerby.recipe.settings_base import Settings
from passerby.text import plural

CONVNEXT_STRIDE = 32
"""Image pixels per position of the map of a ConvNeXt, whose convolutions pad nothing: the smallest side of an image."""


class Recipe(Settings):
    """All settings of a run; docs/recipes.md lists the keys.

    Assigning a setting validates its section. Rules between sections are checked by `with_changes`, when a whole
    section is assigned, and when a training starts.

    Example:
        >>> recipe = passerby.load_recipe("lab-atto")
        >>> recipe.schedule.epochs = 60
        >>> recipe.schedule.epochs
        60
        >>> recipe.schedule.epochs = 0
        Traceback (most recent call last):
        passerby.errors.RecipeError: schedule.epochs: expected an integer of at least 1, got 0
    """

    name: str = "unnamed"
    images: ImageSettings = Field(default_factory=ImageSettings)
    batches: BatchSettings = Field(default_factory=BatchSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    loss: LossSettings = Field(default_factory=LossSettings)
    optimizer: OptimizerSettings = Field(default_factory=OptimizerSettings)
    schedule: ScheduleSettings = Field(default_factory=ScheduleSettings)
    stages: tuple[StageSettings, ...] = ()
    metric: MetricSettings | None = None
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = Field(default_factory=EvaluationSettings)

    def __repr__(self) -> str:
        return (
            f"Recipe({self.name!r}, {self.model.method} of {self.model.backbone}, "
            f"{plural(self.schedule.epochs, 'epoch')})"
        )

    __str__ = __repr__

    @model_validator(mode="after")
    def _metric_losses_need_pairs(self) -> Recipe:
        if self.batches.images < 2 and self.loss.needs_pairs:
            raise ValueError("batches.images: 1 gives a metric loss no pair of one identity; use 2 or more")
        return self

    @model_validator(mode="after")
    def _images_fit(self) -> Recipe:
        size, model = self.images.size, self.model
        if "convnext" in model.backbone.partition(".")[0] and model.last_stride == 2 and min(size) < CONVNEXT_STRIDE:
            smallest = [max(side, CONVNEXT_STRIDE) for side in size]
            raise ValueError(
                f"images.size: {list(size)} is too small for {model.backbone}, whose map is {CONVNEXT_STRIDE} times "
                f"smaller; use {smallest} or larger, or model.last_stride=1"
            )
        return self

    @model_validator(mode="after")
    def _tones_fit(self) -> Recipe:
        usual, images = ImageSettings(), self.images
        if self.model.evens_tones and (images.mean, images.std) != (usual.mean, usual.std):
            raise ValueError(
                f"model.tone_black and model.tone_gamma: they need images.mean={list(usual.mean)} and "
                f"images.std={list(usual.std)}, the defaults; got {list(images.mean)} and {list(images.std)}"
            )
        return self

    @model_validator(mode="after")
    def _stages_fit(self) -> Recipe:
        if self.stages:
            _require_stages(self.stages, self.schedule.epochs, refines=self.model.refines)
            for stage in self.plan:
                _require_schedule(stage)
        return self

    @model_validator(mode="after")
    def _metric_is_the_training(self) -> Recipe:
        if self.metric is not None and self.stages:
            raise ValueError("metric: it is learned in closed form, so there are no stages; set stages: []")
        return self

    @property
    def plan(self) -> tuple[StageSettings, ...]:
        """The stages, completed from `schedule` and `model`; without `stages`, one with an empty name."""
        schedule = self.schedule.model_dump()
        if not self.stages:
            return (StageSettings.model_construct(name="", **schedule, refine=self.model.refines),)
        defaults = {**schedule, "refine": self.model.refines}
        stages = (
            {key: defaults[key] if value is None else value for key, value in stage.model_dump().items()}
            for stage in self.stages
        )
        return tuple(StageSettings.model_construct(**stage) for stage in stages)

    def with_changes(self, **changes: Any) -> Recipe:
        """Return a validated copy with other settings.

        Args:
            changes: Sections as dicts of the settings that change, or as whole settings objects; `name` and `stages` as
                values. `None` switches a loss or an augmentation off, `{}` switches it on with its defaults.

        Raises:
            RecipeError: For an unknown key or an impossible value.

        Example:
            >>> recipe = passerby.load_recipe("lab-atto")
            >>> longer = recipe.with_changes(name="longer", schedule={"epochs": 60}, images={"jitter": None})
            >>> longer
            Recipe('longer', convnext_ap of convnext_atto, 60 epochs)
            >>> recipe.schedule.epochs
            24
        """
        tree = self.model_dump()
        for key, value in _leaves(changes):
            set_key(tree, key, value)
        return parse_recipe(tree, source=self.name)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable dict of all settings."""
        return self.model_dump(mode="json")

    def to_yaml(self) -> str:
        """Write all settings as YAML, defaults included, so that a later default cannot change an old run."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)


def _name_sections(section: type[Settings], prefix: str = "") -> None:
    """Give each section its key, for messages."""
    for name, field in section.model_fields.items():
        options = getattr(field.annotation, "__args__", (field.annotation,))
        for kind in options:
            if isinstance(kind, type) and issubclass(kind, Settings):
                kind.section = f"{prefix}{name}"
                _name_sections(kind, f"{prefix}{name}.")


_name_sections(Recipe)


def parse_recipe(tree: Mapping[str, Any], *, source: str = "") -> Recipe:
    """Validate a nested dict.

    Args:
        tree: Settings by section and key.
        source: Name or file for error messages.

    Raises:
        RecipeError: For an unknown key (the known ones are listed), or an impossible value.

    Example:
        >>> parse_recipe({"name": "mine", "schedule": {"epochs": 60}}).schedule.epochs
        60
    """
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(f"{f'recipe {source}'.strip()}: {describe_problems(error, Recipe)}") from None


def set_key(tree: dict[str, Any], key: str, value: Any) -> None:
    """Set `section.subsection.key` in a nested dict, creating sections that are missing or off.

    Raises:
        RecipeError: When a part of the key before the last is a value.
    """
    *parents, last = key.split(".")
    if len(parents) > 8:
        raise RecipeError(f"{key[:80]}...: nested more than 8 levels deep")
    node = tree
    for parent in parents:
        child = node.get(parent)
        if child is None:
            child = node[parent] = {}
        if not isinstance(child, dict):
            raise RecipeError(f"{parent} is a value, not a section")
        node = child
    node[last] = value


def _leaves(changes: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of each setting in nested dicts."""
    for key, value in changes.items():
        if isinstance(value, Settings):
            yield f"{prefix}{key}", value.model_dump()
        elif isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _require_stages(stages: Sequence[StageSettings], epochs: int, *, refines: bool) -> None:
    """Raise ValueError for stages that do not fit each other or the rest of the recipe."""
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise ValueError(f"stages: the names {', '.join(names)} are not all different; give each stage its own")
    if sum(stage.epochs for stage in stages) != epochs:
        lengths = " + ".join(str(stage.epochs) for stage in stages)
        raise ValueError(f"stages: their epochs are {lengths}, but schedule.epochs is {epochs}; make the sums equal")
    for stage in stages:
        refined = refines if stage.refine is None else stage.refine
        if refined and not refines:
            raise ValueError(
                f"stages: {stage.name} has refine: true, but model.refine is false; set model.refine: true and "
                "model.parts of at least 2, or leave it out"
            )
        if not set(stage.train) - (set() if refined else {"refinement"}):
            trained = "only refinement, which it does not use" if stage.train else "nothing"
            raise ValueError(
                f"stages: {stage.name} trains {trained}; name at least one of backbone, necks"
                + (", refinement" if refines else "")
                + " in its train"
            )
    if refines and stages[-1].refine is False:
        raise ValueError(
            f"stages: {names[-1]}, the last, has refine: false, but model.refine is true; the last stage yields the "
            "finished model, so both must be equal"
        )


def _require_schedule(stage: StageSettings) -> None:
    """Raise ValueError when a completed stage's rates do not form a schedule."""
    settings = {key: getattr(stage, key) for key in ScheduleSettings.model_fields}
    if not stage.warmup_epochs:
        settings["lr_init"] = 0.0  # not used
    try:
        ScheduleSettings.model_validate(settings)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(f"stages: {stage.name}: {message} (missing values are those of schedule)") from None
