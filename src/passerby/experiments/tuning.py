"""Choice of a setting of each row on held-out training people, with the same trainings for every row."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from passerby.errors import RecipeError, argument, require_several
from passerby.experiments.axes import GridCell
from passerby.experiments.comparison_tables import TunedRow
from passerby.experiments.grid import GridRun
from passerby.experiments.harness import set_epochs
from passerby.recipe import Recipe
from passerby.recipe.recipe import set_key
from passerby.text import plural

HELD_OUT = 0.25
"""Fraction of the training identities that the choice is made on."""
RATE = "lr"
"""Name of the learning rate: `schedule.lr_max`, with all other rates of schedule and stages in proportion."""
RESULT = "tuned.json"


@dataclass(frozen=True)
class Tuning:
    """A setting and its values.

    Attributes:
        key: `lr`, or a key of recipes such as `metric.ridge`. `metric.*` applies to rows with a metric, others to rows
            that are trained by gradients.
        values: The values that are tried.
    """

    key: str
    values: tuple[float, ...]

    def applies(self, recipe: Recipe) -> bool:
        """Return whether a row has the setting."""
        return (recipe.metric is not None) == self.key.startswith("metric.")

    def change(self, recipe: Recipe, value: float) -> Recipe:
        """Return the recipe with a value."""
        if self.key == RATE:
            return _set_rate(recipe, value)
        tree = recipe.model_dump()
        set_key(tree, self.key, value)
        return recipe.with_changes(**tree)


def parse_tuning(texts: Sequence[str]) -> list[Tuning]:
    """Parse settings such as `lr=0.001,0.002,0.004`.

    Raises:
        RecipeError: For another form, a value that is not above 0 or given twice, or two settings for the same rows.

    Example:
        >>> parse_tuning(["lr=0.001,0.002"])
        [Tuning(key='lr', values=(0.001, 0.002))]
    """
    require_several("tune", texts, RecipeError)
    tunings = [_parse(text) for text in texts]
    for metric in (True, False):
        same = [tuning.key for tuning in tunings if tuning.key.startswith("metric.") == metric]
        if len(same) > 1:
            raise RecipeError(f"{argument('tune')}: {' and '.join(same)} are of the same rows; give one of them")
    return tunings


def _parse(text: str) -> Tuning:
    key, equals, rest = text.partition("=")
    try:
        values = tuple(float(value) for value in rest.split(","))
    except ValueError:
        values = ()
    if (
        not key
        or not equals
        or not values
        or len(set(values)) < len(values)
        or not all(0 < v < math.inf for v in values)
    ):
        raise RecipeError(
            f"{argument('tune')}: got {text!r}, expected a key and different values above 0, such as lr=0.001,0.002"
        )
    return Tuning(key, values)


def _set_rate(recipe: Recipe, value: float) -> Recipe:
    """Set `schedule.lr_max`, and all other rates in proportion."""
    factor = value / recipe.schedule.lr_max
    rates = {name: getattr(recipe.schedule, name) * factor for name in ("lr_init", "lr_min")}
    stages = [stage.model_dump() for stage in recipe.stages]
    for stage in stages:
        stage |= {name: stage[name] * factor for name in ("lr_init", "lr_max", "lr_min") if stage[name] is not None}
    return recipe.with_changes(schedule={"lr_max": value, **rates}, stages=stages)


def hold_out(spec: str, identities: int) -> str:
    """Return the spec of a data set whose test people are replaced by `HELD_OUT` of its training identities.

    Args:
        spec: Spec of one data set.
        identities: Its number of training identities.

    Example:
        >>> hold_out("market1501:people", 12)
        'market1501:people?holdout=3'
    """
    count = max(2, round(HELD_OUT * identities))
    if spec.startswith("synth:"):
        return f"{spec},holdout={count}"
    return f"{spec}{'&' if '?' in spec else '?'}holdout={count}"


def make_tuning_cells(rows: Mapping[str, Recipe], tunings: Sequence[Tuning], epochs: int) -> list[GridCell]:
    """Return a cell for each row and value, all of the same number of epochs, without calibration and intervals."""
    cells = []
    for name, recipe in rows.items():
        for tuning in (tuning for tuning in tunings if tuning.applies(recipe)):
            for value in tuning.values:
                changed = tuning.change(set_epochs(recipe, max(epochs, len(recipe.stages))), value)
                changed = changed.with_changes(evaluation={"calibration": None, "bootstrap": 0})
                title = f"{name} with {tuning.key} {value:g}"
                slug = f"{Path(name).stem}-{tuning.key}-{value:g}"
                cells.append(
                    GridCell(title, slug, changed, RESULT, changed.model.embedding, {tuning.key: f"{value:g}"})
                )
    return cells


def choose_values(
    rows: Mapping[str, Recipe], tunings: Sequence[Tuning], runs: Sequence[GridRun], failed: Mapping[str, str]
) -> list[TunedRow]:
    """Choose the value with the highest mAP of each row, the smaller one of equal ones.

    Args:
        rows: Recipe by row.
        tunings: The settings.
        runs: Trainings of `make_tuning_cells`.
        failed: Error by title of a training; its value is left out.
    """
    by_cell = {run.cells[0].name: run for run in runs}
    chosen = []
    for name, recipe in rows.items():
        for tuning in (tuning for tuning in tunings if tuning.applies(recipe)):
            own = {value: by_cell[f"{name} with {tuning.key} {value:g}"] for value in tuning.values}
            done = {value: _read_map(run) for value, run in own.items() if run.state == "done"}
            complete = all(run.state == "done" or run.title in failed for run in own.values())
            best = max(sorted(done), key=done.__getitem__) if done and complete else None
            chosen.append(TunedRow(name, tuning.key, done, best))
    return chosen


def _read_map(run: GridRun) -> float:
    return float(json.loads(run.result_path(run.cells[0]).read_text(encoding="utf-8"))["mAP"])


def apply_choices(
    rows: Mapping[str, Recipe], tunings: Sequence[Tuning], chosen: Sequence[TunedRow]
) -> tuple[dict[str, Recipe], dict[str, str]]:
    """Return the recipes with the chosen values, and the text of each choice by row; rows without one stay.

    A row all of whose trainings failed, or that has no setting of these, keeps its recipe's value.
    """
    by_key = {tuning.key: tuning for tuning in tunings}
    recipes, texts = dict(rows), {}
    for row in chosen:
        if row.chosen is not None:
            recipes[row.method] = by_key[row.key].change(recipes[row.method], row.chosen)
            texts[row.method] = f"{row.key}={row.chosen:g}"
    return recipes, texts


def describe_tuning(epochs: int, identities: int) -> str:
    """Return length and data of the trainings, for the title of a table."""
    return f"{plural(epochs, 'epoch')} each, {plural(identities, 'identity')} held out, one seed"
