"""A whole recipe, and what its sections must agree on."""

from __future__ import annotations

from collections.abc import Sequence

import yaml
from pydantic import ValidationError, model_validator

from passerby.recipe.sections import (
    BatchSettings,
    EvaluationSettings,
    ImageSettings,
    LossSettings,
    ModelSettings,
    OptimizerSettings,
    ScheduleSettings,
    Settings,
    StageSettings,
    TrainingSettings,
)


class Recipe(Settings):
    """A whole run. `to_yaml` writes it back."""

    name: str = "unnamed"
    images: ImageSettings = ImageSettings()
    batches: BatchSettings = BatchSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    stages: tuple[StageSettings, ...] = ()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="after")
    def _metric_losses_see_pairs(self) -> Recipe:
        metric = (self.loss.circle, self.loss.triplet, self.loss.contrastive)
        if self.batches.images < 2 and any(loss is not None and loss.weight > 0 for loss in metric):
            raise ValueError("batches.images: 1 gives a metric loss no pair of one person; use 2 or more")
        return self

    @model_validator(mode="after")
    def _stages_fit(self) -> Recipe:
        if self.stages:
            _require_stages(self.stages, self.schedule.epochs, refines=self.model.refines)
            for stage in self.plan:  # its rates, with those that it takes from the schedule
                _schedule_of(stage)
        return self

    @property
    def plan(self) -> tuple[StageSettings, ...]:
        """The stages with nothing left open; without `stages`, one without a name that is the whole schedule."""
        schedule = self.schedule.model_dump()
        if not self.stages:
            return (StageSettings.model_construct(name="", **schedule, refine=self.model.refines),)
        defaults = {**schedule, "refine": self.model.refines}
        filled = (
            {key: defaults[key] if value is None else value for key, value in stage.model_dump().items()}
            for stage in self.stages
        )
        return tuple(StageSettings.model_construct(**each) for each in filled)

    def to_yaml(self) -> str:
        """Every setting, defaults included, so that a later default cannot change an old run."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)


def _require_stages(stages: Sequence[StageSettings], epochs: int, *, refines: bool) -> None:
    """Raise ValueError for stages that do not belong together, or not to the rest of the recipe."""
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names):
        raise ValueError(f"stages: the names {', '.join(names)} are not all different; give each stage its own")
    if sum(stage.epochs for stage in stages) != epochs:
        lengths = " + ".join(str(stage.epochs) for stage in stages)
        raise ValueError(f"stages: {lengths} epochs, but schedule.epochs is {epochs}; let them add up to it")
    for stage in stages:
        refined = refines if stage.refine is None else stage.refine
        if refined and not refines:
            raise ValueError(
                f"stages: {stage.name} has refine: true, but model.refine is false; set model.refine: true and "
                "model.parts of at least 2, or leave it out"
            )
        if not set(stage.train) - (set() if refined else {"refinement"}):
            why = "refinement alone, which it does not use" if stage.train else "nothing"
            raise ValueError(
                f"stages: {stage.name} trains {why}, so all that it uses is frozen; name at least one of backbone, "
                "necks" + (", refinement" if refines else "") + " in its train"
            )
    if refines and stages[-1].refine is False:
        raise ValueError(
            f"stages: {names[-1]}, the last, has refine: false, but model.refine is true; the finished model is the "
            "last stage's, so let both say the same"
        )


def _schedule_of(stage: StageSettings) -> None:
    """Raise ValueError when a stage's rates, with those that it takes from the schedule, make no schedule."""
    settings = {key: getattr(stage, key) for key in ScheduleSettings.model_fields}
    if not stage.warmup_epochs:
        settings["lr_init"] = 0.0  # not used
    try:
        ScheduleSettings.model_validate(settings)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(f"stages: {stage.name}: {message} (what it leaves out is the schedule's)") from None
