"""Runs of a comparison: for the choice of settings, then of each table, then of its best rows."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from passerby.data.fingerprint import fingerprint
from passerby.data.training_set import join_training
from passerby.errors import RecipeError, argument
from passerby.evaluation.summary import Scores
from passerby.experiments.axes import GridCell
from passerby.experiments.comparison_tables import Comparison, ComparisonRow, MethodDifference, TunedRow, correct_holm
from passerby.experiments.grid import GridRun, count_cost, load_sets, plan_grid, run_grid
from passerby.experiments.grid_tables import TABLE_METRICS
from passerby.experiments.harness import set_epochs
from passerby.experiments.query_results import compare_rows, read_result, write_result
from passerby.experiments.speed import count_step_images, measure_embedding_speed
from passerby.experiments.tuning import (
    Tuning,
    apply_choices,
    choose_values,
    describe_tuning,
    hold_out,
    make_tuning_cells,
)
from passerby.model.embed import load
from passerby.progress import ProgressOption
from passerby.recipe import Recipe, load_recipe
from passerby.reporting.published import load_published_results
from passerby.runs.run_folder import write_json
from passerby.runs.scores_file import read_scores
from passerby.text import plural
from passerby.training.log import read_log
from passerby.types import IntArray

SPEED = "speed.json"
QUERIES = "queries.json"
"""Files in the folder of a run: the speed of embedding, written last, and the scores of each query."""


@dataclass(frozen=True)
class Budgets:
    """Lengths of the trainings of a comparison.

    Attributes:
        epochs: Epochs of each training of the first table; None for no such table.
        minutes: Minutes of each training of the second table; None for no such table.
        seeds: Trainings of each row.
        best: Number of rows with the highest mAP that get `best_seeds` trainings.
        best_seeds: Trainings of these rows and of the reference.
        tune_epochs: Epochs of each training for the choice of a setting; None is a quarter of `epochs`, or 4.

    Raises:
        RecipeError: For a value out of range, or neither epochs nor minutes.
    """

    epochs: int | None = None
    minutes: float | None = None
    seeds: int = 1
    best: int = 0
    best_seeds: int = 3
    tune_epochs: int | None = None

    def __post_init__(self) -> None:
        if self.epochs is None and self.minutes is None:
            raise RecipeError(
                f"compare: give {argument('epochs')} or {argument('minutes')}, or both for two tables, so that every "
                "method gets the same"
            )
        if self.minutes is not None and not 0 < self.minutes < math.inf:
            raise RecipeError(f"{argument('minutes')}: got {self.minutes}, expected a number above 0")
        for name, least in (("epochs", 1), ("seeds", 1), ("best", 0), ("best_seeds", 1), ("tune_epochs", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise RecipeError(f"{argument(name)}: got {value}, expected {least} or more")

    @property
    def tables(self) -> list[tuple[str, float | None]]:
        """(title, minutes) of each table."""
        tables: list[tuple[str, float | None]] = []
        if self.epochs is not None:
            tables.append((f"{plural(self.epochs, 'epoch')} each", None))
        if self.minutes is not None:
            tables.append((f"{plural(self.minutes, 'minute')} of training each, in whole epochs", self.minutes))
        return tables

    @property
    def tuning_epochs(self) -> int:
        """Epochs of each training for the choice of a setting."""
        return self.tune_epochs or (4 if self.epochs is None else max(1, self.epochs // 4))


class ComparisonGrid:
    """The runs of a comparison: for the choice of settings, then of each table, then of its best rows."""

    def __init__(
        self, rows: dict[str, Recipe], data: str, out: Path, budgets: Budgets, tunings: list[Tuning], reference: str
    ) -> None:
        self._rows, self._spec, self._out, self._budgets = rows, data, out, budgets
        self._tunings, self._reference = tunings, reference
        self._failed: dict[str, str] = {}
        self._tuning_runs: list[GridRun] = []
        self._chosen: list[TunedRow] = []
        self._texts: dict[str, str] = {}
        self._runs: dict[str, list[GridRun]] = {budget: [] for budget, _ in budgets.tables}
        self._cells = {budget: self._make_cells(rows, minutes) for budget, minutes in budgets.tables}
        (self._data,) = load_sets([data]).values()
        self._identities = join_training([self._data]).identities

    def _make_cells(self, rows: dict[str, Recipe], minutes: float | None) -> list[GridCell]:
        epochs = self._budgets.epochs if minutes is None else None
        return [
            GridCell(
                name,
                f"{Path(name).stem}-minutes" if minutes is not None else Path(name).stem,
                recipe if epochs is None else set_epochs(recipe, max(epochs, 1)),
                SPEED,
                recipe.model.embedding,
            )
            for name, recipe in rows.items()
        ]

    def tune(self, *, dry_run: bool, device: str, progress: ProgressOption) -> None:
        """Train for the choice of settings, and change the rows by it."""
        cells = make_tuning_cells(self._rows, self._tunings, self._budgets.tuning_epochs)
        if not cells:
            return
        spec = hold_out(self._spec, self._identities)
        self._tuning_runs = plan_grid(cells, spec, out=self._out, seeds=1)

        def finish(run: GridRun) -> Scores:
            path = run.result_path(run.cells[0])
            scores = _read_scores(run)
            if not path.is_file():
                write_json(path, {"mAP": scores.mAP, "rank1": scores.rank1})
            return scores

        self._run(self._tuning_runs, finish, dry_run=dry_run, device=device, progress=progress)
        self._chosen = choose_values(self._rows, self._tunings, self._tuning_runs, self._failed)
        self._rows, self._texts = apply_choices(self._rows, self._tunings, self._chosen)
        self._cells = {budget: self._make_cells(self._rows, minutes) for budget, minutes in self._budgets.tables}

    def plan(self) -> list[GridRun]:
        """Plan the runs of every table, and return them."""
        seeds = self._budgets.seeds
        for budget, minutes in self._budgets.tables:
            self._runs[budget] = plan_grid(self._cells[budget], self._spec, out=self._out, seeds=seeds, minutes=minutes)
        return [run for runs in self._runs.values() for run in runs]

    def plan_best(self) -> list[GridRun]:
        """Add the further seeds of the best rows of every table and of the reference, and return these runs.

        The reference is tested against the best rows seed by seed, so it needs as many.
        """
        added = []
        for budget, minutes in self._budgets.tables:
            first = {row.method: row.scores.mAP for row in reversed(self._list_rows(budget))}  # of the first seed
            best = sorted(first, key=lambda name: -first[name])[: self._budgets.best]
            cells = [cell for cell in self._cells[budget] if cell.name in {*best, self._reference}]
            known = {run.folder.root for run in self._runs[budget]}
            count = self._budgets.best_seeds
            planned = plan_grid(cells, self._spec, out=self._out, seeds=count, minutes=minutes) if cells else []
            new = [run for run in planned if run.folder.root not in known]
            self._runs[budget] += new
            added += new
        return added

    def train(self, runs: Sequence[GridRun], *, dry_run: bool, device: str, progress: ProgressOption) -> None:
        """Train and measure the runs that are not done."""

        def finish(run: GridRun) -> Scores:
            (cell,) = run.cells
            queries, speed = run.folder.root / QUERIES, run.result_path(cell)
            if not queries.is_file():
                write_result(run, queries, embedding=cell.embedding, device=device)
            if not speed.is_file():
                rate = measure_embedding_speed(load(run.folder.root, device=device), run.data)
                write_json(speed, {"embedded_per_second": rate})
            return _read_scores(run)

        self._run(runs, finish, dry_run=dry_run, device=device, progress=progress)

    def _run(
        self,
        runs: Sequence[GridRun],
        finish: Callable[[GridRun], Scores],
        *,
        dry_run: bool,
        device: str,
        progress: ProgressOption,
    ) -> None:
        if not runs:
            return
        result = run_grid(
            runs, self._out, finish=finish, collect=self.collect, dry_run=dry_run, device=device, progress=progress
        )
        self._failed = dict(result.failed)

    def collect(self, failed: dict[str, str]) -> Comparison:
        """Make the result of all finished runs."""
        failed = {**self._failed, **failed}
        data = self._data
        rows = [row for budget, _ in self._budgets.tables for row in self._list_rows(budget)]
        return Comparison(
            data=data.title,
            budgets=[budget for budget, _ in self._budgets.tables],
            rows=rows,
            reference=self._reference,
            differences=[test for budget, _ in self._budgets.tables for test in self._test_rows(budget)],
            tuned=choose_values(self._rows, self._tunings, self._tuning_runs, failed) if self._tuning_runs else [],
            tuning=self._describe_tuning(),
            quoted=[] if data.is_synthetic or data.variant else load_published_results(data.name),
            runs=[*self._tuning_runs, *(run for runs in self._runs.values() for run in runs)],
            failed=failed,
        )

    def _describe_tuning(self) -> str:
        if not self._tuning_runs:
            return ""
        held = len({sample.person_id for sample in self._tuning_runs[0].data.query})
        return describe_tuning(self._budgets.tuning_epochs, held)

    def _list_rows(self, budget: str) -> list[ComparisonRow]:
        """Read the finished rows of a table, by method and seed."""
        done = [run for run in self._runs[budget] if run.state == "done"]
        rows = [_make_row(run, budget, self._texts.get(run.cells[0].name, "")) for run in done]
        names = list(self._rows)
        return sorted(rows, key=lambda row: (names.index(row.method), row.seed))

    def _test_rows(self, budget: str) -> list[MethodDifference]:
        """Test each finished method of a table against the reference, with Holm's correction."""
        results: dict[str, dict[int, tuple[IntArray, Scores]]] = {}
        for run in self._runs[budget]:
            path = run.folder.root / QUERIES
            if run.state == "done" and path.is_file():
                results.setdefault(run.cells[0].name, {})[run.seed] = read_result(path)
        baseline = results.pop(self._reference, {})
        tests = {name: compare_rows(row, baseline, TABLE_METRICS) for name, row in results.items()}
        tests = {name: found for name, found in tests.items() if found}
        corrected: dict[str, dict[str, float]] = {name: {} for name in tests}
        for metric in TABLE_METRICS:
            tested = [name for name, found in tests.items() if metric in found]
            values = correct_holm([tests[name][metric].p for name in tested])
            for name, value in zip(tested, values, strict=True):
                corrected[name][metric] = value
        return [MethodDifference(budget, name, found, corrected[name]) for name, found in tests.items()]


def _read_scores(run: GridRun) -> Scores:
    """Read the scores on the run's data set, as the training recorded them."""
    evaluations = read_scores(run.folder)["evaluations"]
    identifier = fingerprint([run.data])
    return Scores.from_dict(next(entry for entry in evaluations if entry["fingerprint"] == identifier))


def _make_row(run: GridRun, budget: str, tuned: str) -> ComparisonRow:
    """Read the row of a run that is done."""
    (cell,) = run.cells
    cost = count_cost(cell, run.data)
    records = read_log(run.folder.log)
    if run.recipe.metric is not None:
        epochs, minutes = 0, records[0]["seconds"] / 60
        trained = records[0]["images"] / records[0]["seconds"]
    else:
        rates = [record["images_per_second"] for record in records if "images_per_second" in record]
        epochs, trained = load_recipe(run.folder.recipe).schedule.epochs, statistics.median(rates)
        minutes = sum(count_step_images(run.recipe) / rate for rate in rates) / 60
    return ComparisonRow(
        budget=budget,
        method=cell.name,
        seed=run.seed,
        scores=_read_scores(run),
        parameters=cost.parameters["total"] - cost.parameters["classifiers"],
        multiply_adds=cost.multiply_adds["total"],
        trained_per_second=trained,
        embedded_per_second=json.loads(run.result_path(cell).read_text(encoding="utf-8"))["embedded_per_second"],
        epochs=epochs,
        minutes=minutes,
        tuned=tuned,
    )
