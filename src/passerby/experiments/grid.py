"""Grid of trainings: plan the runs, train the missing ones, and write tables of what is finished.

Each training is an ordinary run under OUT/runs/DATA/CELL/seed-N. It can be resumed, evaluated and reported like any
other run. A run whose results exist is not trained again. Several processes can work on one grid: each claims the run
that it trains, by the file .seed-N.claim beside it.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Literal, TypeVar

from passerby.claims import hold_claim, remove_leftovers
from passerby.data.datasets import load_data
from passerby.data.datasets.public_spec import public_spec
from passerby.data.fingerprint import fingerprint
from passerby.data.training_set import join_training
from passerby.errors import DataError, PasserbyError, RecipeError, TrainingError, argument
from passerby.evaluation.summary import Scores
from passerby.experiments.axes import GridCell
from passerby.experiments.comparison_tables import Comparison
from passerby.experiments.grid_tables import Ablation
from passerby.experiments.harness import set_epochs
from passerby.experiments.speed import fit_epochs
from passerby.files import write_all_atomic
from passerby.model.info import ModelInfo, configuration_info
from passerby.progress import ProgressCallback, ProgressOption, open_progress
from passerby.recipe import Recipe, load_recipe
from passerby.runs.arguments import count_classes, model_arguments
from passerby.runs.evaluate_model import require_valid_queries
from passerby.runs.run_folder import RunFolder
from passerby.runs.train import resume, train
from passerby.text import plural
from passerby.types import DataSet, Result

logger = logging.getLogger(__name__)

GridResult = TypeVar("GridResult", Ablation, Comparison)
_POLL = 5.0  # seconds between looks at the runs of other processes


@dataclass(frozen=True)
class GridRun(Result):
    """One training of a grid.

    Attributes:
        cells: Cells that the run serves; several if they differ in the evaluation alone.
        data: Data set that is trained and evaluated on.
        label: Name of the data set in tables: its title, or its spec without folders if several have that title.
        recipe: Recipe with the seed of the run.
        folder: Run folder, which may not exist yet.
        minutes: Minutes of training that set the number of epochs; None if the recipe sets it.
    """

    cells: tuple[GridCell, ...]
    data: DataSet
    label: str
    recipe: Recipe
    folder: RunFolder
    minutes: float | None = None

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return self.recipe.training.seed

    @property
    def title(self) -> str:
        """Name in log and error messages."""
        return f"{self.cells[0].name}, {self.label}, {self._length}seed {self.seed}"

    @property
    def _length(self) -> str:
        return "" if self.minutes is None else f"{plural(self.minutes, 'minute')}, "

    @property
    def state(self) -> Literal["done", "begun", "new"]:
        """`done` if all results exist, `begun` if the run folder holds a run, `new` otherwise."""
        if all(self.result_path(cell).is_file() for cell in self.cells):
            return "done"
        return "begun" if self.folder.manifest.is_file() else "new"

    @property
    def claim(self) -> Path:
        """File that names the process which trains the run."""
        return self.folder.root.with_name(f".{self.folder.root.name}.claim")

    def result_path(self, cell: GridCell) -> Path:
        """Return the file with the result of one of the run's cells."""
        return self.folder.root / cell.result

    def to_dict(self) -> dict[str, Any]:
        """Return cells, data, seed, state and run folder as JSON-serializable values."""
        return {
            "cells": [cell.name for cell in self.cells],
            "data": public_spec(self.data.spec),
            "seed": self.seed,
            "state": self.state,
            "run": str(self.folder.root),
        }

    def __str__(self) -> str:
        names = " and ".join(cell.name for cell in self.cells)
        return f"{names}, {self.label}, {self._length}seed {self.seed}: {self.state}"

    def __repr__(self) -> str:
        return f"GridRun({self})"


def plan_grid(
    cells: Sequence[GridCell],
    data: str | Sequence[str],
    *,
    out: str | Path,
    seeds: int,
    minutes: float | None = None,
) -> list[GridRun]:
    """List the runs of a grid, seed by seed, so that each row has a result after the first seed.

    Args:
        cells: Rows of the grid; those with the same slug share runs.
        data: Specs of one data set each, with queries.
        out: Folder of the grid.
        seeds: Runs of each cell and data set, with the recipe's seed and the numbers after it.
        minutes: Minutes of training of each run, or None for the epochs of the recipes.

    Raises:
        RecipeError: For less than one seed.
        DataError: For data that cannot be evaluated on.
        TrainingError: If the folder of a run holds a run of another recipe.
    """
    if seeds < 1:
        raise RecipeError(f"{argument('seeds')}: got {seeds}, expected 1 or more")
    by_slug: dict[str, list[GridCell]] = {}
    for cell in cells:
        by_slug.setdefault(cell.slug, []).append(cell)
    sets = load_sets([data] if isinstance(data, str) else data)
    titles = [data_set.title for data_set in sets.values()]
    specs = [public_spec(data_set.spec) for data_set in sets.values()]
    names = {
        identifier: spec if specs.count(spec) == 1 else f"{spec} ({identifier[:8]})"
        for identifier, spec in zip(sets, specs, strict=True)
    }
    runs = []
    for number, (identifier, data_set), (slug, shared) in product(range(seeds), sets.items(), by_slug.items()):
        label = data_set.title if titles.count(data_set.title) == 1 else names[identifier]
        seed = shared[0].recipe.training.seed + number
        recipe = shared[0].recipe.with_changes(training={"seed": seed})
        folder = RunFolder(Path(out) / "runs" / f"{data_set.name}-{identifier[:8]}" / slug / f"seed-{seed}")
        runs.append(GridRun(tuple(shared), data_set, label, recipe, folder, minutes))
        _require_same_recipe(runs[-1])
    return runs


def _require_same_recipe(run: GridRun) -> None:
    """Raise TrainingError if the folder holds a run of another recipe; with a budget its epochs may differ."""
    if run.folder.manifest.is_file():
        recorded = load_recipe(run.folder.recipe)
        if recorded != (run.recipe if run.minutes is None else set_epochs(run.recipe, recorded.schedule.epochs)):
            raise TrainingError(
                f"{run.folder.root}: holds a run of another recipe; give another {argument('out')}, or the settings of "
                "that run"
            )


def load_sets(specs: Sequence[str]) -> dict[str, DataSet]:
    """Load one data set for each spec and check it before anything is trained; return them by fingerprint.

    Raises:
        DataError: For data that cannot be evaluated on, or given twice.
    """
    sets = {}
    for spec in specs:
        loaded = load_data(spec)
        if len(loaded) != 1:
            raise DataError(
                f"{argument('data')} {spec!r}: {len(loaded)} data sets joined; expected one, as each is trained on "
                "apart"
            )
        if not loaded[0].query:
            raise DataError(
                f"{argument('data')} {spec!r}: no query split; give a data set with queries, to compare the rows on"
            )
        require_valid_queries(loaded[0])
        sets[fingerprint(loaded)] = loaded[0]
    if not sets:
        raise DataError(f"{argument('data')}: got none, expected at least one data set")
    if len(sets) < len(specs):
        raise DataError(f"{argument('data')}: {', '.join(specs)}: the same data set twice; give each once")
    return sets


def run_grid(
    runs: Sequence[GridRun],
    out: str | Path,
    *,
    finish: Callable[[GridRun], Scores],
    collect: Callable[[dict[str, str]], GridResult],
    dry_run: bool,
    device: str,
    progress: ProgressOption,
) -> GridResult:
    """Train and measure the runs that are not done, and write the tables after each. If a run fails, the others go on.

    Runs that another process trains are left to it; the result contains them when it has finished them, and those that
    it did not finish are trained here.

    Args:
        runs: Runs of `plan_grid`.
        out: Folder of the tables.
        finish: Writes the missing results of a trained run and returns its scores.
        collect: Returns the result of all finished runs; called with the error messages by run title.
        dry_run: Train and write nothing.
        device: As for `train`.
        progress: As for `train`. One line is logged for each run.

    Raises:
        TrainingError: Under torchrun.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise TrainingError("grid: started by torchrun; start it without torchrun: it trains one run after the other")
    failed: dict[str, str] = {}

    def write_tables() -> None:
        files = collect(failed).to_files()
        write_all_atomic({Path(out) / name: text.encode() for name, text in files.items()})

    waiting, told, written = [] if dry_run else list(enumerate(runs, 1)), False, False
    with open_progress(progress) as report:
        while waiting:
            held = []
            for number, run in waiting:
                with _hold_run(run) as mine:
                    if not mine:
                        held.append((number, run))
                        continue
                    was_done = run.state == "done"
                    try:
                        line = _train_and_measure(run, finish, device=device, progress=report)
                    except (PasserbyError, RuntimeError, OSError) as error:  # torch: RuntimeError when out of memory
                        failed[run.title] = str(error)
                        line = f"failed: {error}"
                logger.info("[%d/%d] %s: %s", number, len(runs), run.title, line)
                written = not was_done
                if written:
                    write_tables()
            if held and len(held) == len(waiting):
                if not told:
                    what = plural(len(held), "run")
                    logger.info("waiting for %s of other processes; %s names one", what, held[0][1].claim)
                told = True
                time.sleep(_POLL)
            waiting = held
    if runs and not dry_run and not written:
        write_tables()
    return collect(failed)


def _train_and_measure(
    run: GridRun, finish: Callable[[GridRun], Scores], *, device: str, progress: ProgressCallback
) -> str:
    """Do what a run lacks; return what is logged of it."""
    started = time.monotonic()
    done = run.state == "done"
    if not done:
        _train(run, device=device, progress=progress)
    scores = finish(run)
    ending = "was done" if done else f"{time.monotonic() - started:.0f} s"
    return f"Rank-1 {scores.rank1:.1%}, mAP {scores.mAP:.1%}, {ending}"


@contextmanager
def _hold_run(run: GridRun) -> Iterator[bool]:
    """Claim a run that is not done; yields whether this process may go on with it."""
    if run.state == "done":
        yield True
        return
    run.claim.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(run.claim.parent)
    with hold_claim(run.claim) as mine:
        yield mine


def _train(run: GridRun, *, device: str, progress: ProgressCallback) -> None:
    """Train or resume a run; the training evaluates the model at its end."""
    folder, recipe = run.folder, run.recipe
    if not folder.manifest.is_file():
        if run.minutes is not None and recipe.metric is None:  # a metric takes the time that it takes
            recipe = set_epochs(recipe, fit_epochs(recipe, run.data.spec, run.minutes, device=device))
        train(recipe, run.data.spec, folder.root, device=device, progress=progress)
    elif not (folder.model.is_file() and folder.scores.is_file()):
        resume(folder.root, device=device, progress=progress)


def count_cost(cell: GridCell, data: DataSet) -> ModelInfo:
    """Count parameters and multiply-adds of a cell's network, without its weights."""
    return _count_cost(cell.recipe.model_dump_json(), cell.embedding, join_training([data]).identities)


@cache
def _count_cost(recipe_json: str, embedding: str, identities: int) -> ModelInfo:
    recipe = Recipe.model_validate_json(recipe_json)
    arguments = model_arguments(recipe) | {"embedding": embedding}
    return configuration_info(arguments, identities=count_classes(recipe, identities), size=recipe.images.size)
