"""Plan of a comparison: minutes of each row, measured by a few steps of its training, and of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from passerby.data.training_set import join_training
from passerby.errors import PasserbyError
from passerby.experiments.comparison_grid import Budgets
from passerby.experiments.grid import load_sets
from passerby.experiments.grid_tables import TextTable, format_markdown
from passerby.experiments.harness import set_epochs
from passerby.experiments.speed import measure_metric_speed, measure_training_speed
from passerby.experiments.table_methods import load_rows
from passerby.experiments.tuning import HELD_OUT, parse_tuning
from passerby.progress import ProgressOption, open_progress
from passerby.recipe import Recipe
from passerby.text import plural
from passerby.types import DataSet, Result

EMBEDDED_PER_TRAINED = 3.0
"""Images embedded in the time of one trained: a step has a forward pass and twice its work backward. Assumed."""
LONG = 1000
"""Epochs of the recipe whose steps are timed, so that it does not end."""


@dataclass(frozen=True, repr=False)
class PlannedRow(Result):
    """Expected time of one row.

    Attributes:
        method: Recipe.
        images_per_second: Speed of its training; of pooling for a metric.
        training_minutes: One training of the given epochs; None without epochs.
        evaluation_minutes: Calibration and evaluation after a training.
        tuning_minutes: All trainings for the choice of a setting.
        total_minutes: All of the row, with one group of `seeds`.
        metric: Whether a metric is learned, which takes the same time in both tables.
        error: Why the row cannot be trained; empty if it can.
    """

    method: str
    images_per_second: float = 0.0
    training_minutes: float | None = None
    evaluation_minutes: float = 0.0
    tuning_minutes: float = 0.0
    total_minutes: float = 0.0
    metric: bool = False
    error: str = ""


@dataclass(frozen=True)
class ComparisonPlan(Result):
    """Result of `plan_comparison`.

    Attributes:
        rows: Expected time of each row.
        best_minutes: Further seeds of the best rows, if they are the slowest ones.
        budgets: Lengths of the trainings.
    """

    rows: Sequence[PlannedRow]
    best_minutes: float
    budgets: Budgets

    @property
    def total_minutes(self) -> float:
        """Expected time of the whole comparison, at most."""
        return sum(row.total_minutes for row in self.rows) + self.best_minutes

    @property
    def is_possible(self) -> bool:
        """Whether a row can be trained."""
        return any(not row.error for row in self.rows)

    def __repr__(self) -> str:
        return f"ComparisonPlan({plural(len(self.rows), 'row')}, {self.total_minutes / 60:.1f} hours)"

    def to_dict(self) -> dict[str, object]:
        """Return rows and totals as JSON-serializable values."""
        rows = [row.to_dict() for row in self.rows]
        return {"rows": rows, "best_minutes": self.best_minutes, "total_minutes": self.total_minutes}

    def to_markdown(self) -> str:
        """Return one table, the slowest row first, and the notes."""
        headings = ("Method", "Images/s", "A training (min)", "Its evaluation (min)", "Tuning (min)", "All (min)")
        rows = [
            (row.method, f"not possible: {row.error}", *("-",) * 4)
            if row.error
            else (
                row.method,
                f"{row.images_per_second:.1f}",
                "-" if row.training_minutes is None else f"{row.training_minutes:.1f}",
                f"{row.evaluation_minutes:.1f}",
                f"{row.tuning_minutes:.1f}",
                f"{row.total_minutes:.1f}",
            )
            for row in sorted(self.rows, key=lambda row: -row.total_minutes)
        ]
        impossible = sum(bool(row.error) for row in self.rows)
        left_out = f" Without {plural(impossible, 'row')} that cannot be trained." if impossible else ""
        notes = [
            f"Total: at most {self.total_minutes / 60:.1f} hours, of which further seeds of the best rows take at most "
            f"{self.best_minutes:.0f} minutes (if they are the slowest ones).{left_out}",
            "Measured by a few steps of each row on this machine, under its load. Evaluation assumes that "
            f"{EMBEDDED_PER_TRAINED:g} images are embedded in the time in which one is trained.",
        ]
        return format_markdown([TextTable("Plan", headings, rows)], notes)


def plan_comparison(
    methods: Sequence[str],
    data: str,
    *,
    budgets: Budgets,
    like: str | None = None,
    tune: Sequence[str] = (),
    overrides: Sequence[str] = (),
    device: str = "auto",
    seconds: float = 10.0,
    progress: ProgressOption = False,
) -> ComparisonPlan:
    """Measure the speed of each row of a comparison, and plan the whole. Nothing is written.

    Args:
        methods: As for `compare`.
        data: As for `compare`.
        budgets: Lengths and numbers of the trainings.
        like: As for `compare`.
        tune: As for `compare`.
        overrides: As for `compare`.
        device: As for `compare`.
        seconds: Duration of the measurement of each row.
        progress: True for a bar on stderr, or a callback, which receives the number of measured rows as task `plan`.

    Raises:
        PasserbyError: For recipes or data that cannot be read, or data without queries. A row that cannot be trained is
            a row with its error.
    """
    rows, tunings = load_rows(methods, like, overrides), parse_tuning(tune)
    (data_set,) = load_sets([data]).values()
    planned = []
    with open_progress(progress) as report:
        for number, (name, recipe) in enumerate(rows.items(), 1):
            values = sum(len(tuning.values) for tuning in tunings if tuning.applies(recipe))
            try:
                planned.append(_plan_row(name, recipe, data_set, budgets, values, device=device, seconds=seconds))
            except (PasserbyError, RuntimeError) as error:
                planned.append(PlannedRow(name, error=" ".join(str(error).split())))
            report("plan", number, len(rows), name)
    further = max(0, budgets.best_seeds - budgets.seeds)
    rows_with_more = budgets.best + 1 if budgets.best else 0  # the reference too
    best = sum(  # each table has best rows of its own
        sum(sorted((_minutes_of_seed(row, minutes) for row in planned), reverse=True)[:rows_with_more])
        for _, minutes in budgets.tables
    )
    return ComparisonPlan(planned, further * best, budgets)


def _plan_row(
    name: str, recipe: Recipe, data: DataSet, budgets: Budgets, values: int, *, device: str, seconds: float
) -> PlannedRow:
    training = join_training([data])
    evaluated = len(data.query) + len(data.gallery)
    calibrated = len(training.samples) if recipe.evaluation.calibration else 0
    views = 2 if recipe.evaluation.flip else 1
    if recipe.metric is not None:
        rate = measure_metric_speed(recipe, training, device=device)
        minutes: float | None = len(training.samples) / rate / 60
        tuning = values * (minutes or 0.0)
        embedded = rate
    else:
        timed = set_epochs(recipe, max(LONG, len(recipe.stages)))
        rate, images = measure_training_speed(timed, data.spec, device=device, seconds=seconds)
        epoch = images / rate / 60
        minutes = None if budgets.epochs is None else budgets.epochs * epoch
        tuning = values * max(budgets.tuning_epochs, len(recipe.stages)) * epoch * (1 - HELD_OUT)
        embedded = EMBEDDED_PER_TRAINED * rate
    evaluation = views * (evaluated + calibrated) / embedded / 60
    row = PlannedRow(name, rate, minutes, evaluation, tuning, metric=recipe.metric is not None)
    one = sum(_minutes_of_seed(row, minutes) for _, minutes in budgets.tables)
    return replace(row, total_minutes=tuning + budgets.seeds * one)


def _minutes_of_seed(row: PlannedRow, minutes: float | None) -> float:
    """Return the minutes of one training of a row in a table, with its evaluation."""
    if row.error:
        return 0.0
    training = (row.training_minutes or 0.0) if minutes is None or row.metric else minutes
    return training + row.evaluation_minutes
