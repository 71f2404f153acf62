"""Comparison: train methods on one data set for the same epochs or minutes, and make a table of them."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from passerby.data.fingerprint import fingerprint
from passerby.errors import RecipeError, argument
from passerby.evaluation.summary import Scores
from passerby.experiments.axes import GridCell
from passerby.experiments.grid import GridRun, count_cost, plan_grid, run_grid
from passerby.experiments.grid_tables import Comparison, ComparisonRow
from passerby.experiments.harness import apply_harness, set_epochs
from passerby.experiments.speed import count_step_images, measure_embedding_speed
from passerby.model.embed import load
from passerby.progress import ProgressOption
from passerby.recipe import Recipe, load_recipe
from passerby.reporting.published import load_published_results
from passerby.reporting.reported_runs import is_synthetic
from passerby.runs.run_folder import write_json
from passerby.runs.scores_file import read_scores
from passerby.text import plural
from passerby.training.log import read_log


def compare(
    methods: Sequence[str],
    data: str,
    *,
    out: str | Path,
    epochs: int | None = None,
    budget_minutes: float | None = None,
    seeds: int = 1,
    like: str | None = None,
    overrides: Sequence[str] = (),
    dry_run: bool = False,
    device: str = "auto",
    progress: ProgressOption = False,
) -> Comparison:
    """Train and measure the methods that are not done, and write `comparison.md` and `comparison.csv` to `out`.

    The table is written after each training. If a training fails, its error is in the result and the others go on.

    Args:
        methods: Recipes, by name or file.
        data: Spec of one data set with queries, such as `market1501:/data/Market-1501`.
        out: Folder of the runs and the table.
        epochs: Epochs of each training. Give either this or `budget_minutes`.
        budget_minutes: Minutes of each training on this machine. A few steps of each method are timed first; its
            schedule is as many whole epochs as fit, at least one.
        seeds: Trainings of each method, with its recipe's seed and the numbers after it.
        like: Recipe whose images, batches, optimizer, schedule and precision all methods take; see `apply_harness`.
        overrides: `key=value` changes of every recipe.
        dry_run: Train and write nothing; the result lists the runs and has the rows of those that are done.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: As for `train`. One line is logged for each training.

    Raises:
        PasserbyError: For a recipe, data or budget that cannot be used, an `out` that holds runs of other recipes, and
            under torchrun; before anything is trained.

    Example:
        >>> plan = compare(["pcb", "osnet"], "market1501:people", out="runs/methods", epochs=12, dry_run=True)
        >>> plan.runs
        [GridRun(pcb, market1501 (synthetic), seed 0: new), GridRun(osnet, market1501 (synthetic), seed 0: new)]
        >>> plan
        Comparison(market1501 (synthetic), 12 epochs each; 0 of 2 runs done, 0 failed)
    """
    if (epochs is None) == (budget_minutes is None):
        raise RecipeError(
            f"compare: give either {argument('epochs')} or {argument('budget_minutes')}, so that every method gets the "
            "same"
        )
    if budget_minutes is not None and budget_minutes <= 0:
        raise RecipeError(f"{argument('budget_minutes')}: got {budget_minutes}, expected more than 0")
    cells = _make_cells(methods, epochs, like, overrides)
    runs = plan_grid(cells, data, out=out, seeds=seeds, minutes=budget_minutes)
    data_set = runs[0].data
    if budget_minutes is None:
        budget = f"{plural(epochs or 0, 'epoch')} each"
    else:
        budget = f"{plural(budget_minutes, 'minute')} of training each, in whole epochs"
    quoted = [] if is_synthetic(data_set) or data_set.variant else load_published_results(data_set.name)

    def finish(run: GridRun) -> Scores:
        speed_file = run.result_path(run.cells[0])
        if not speed_file.is_file():
            speed = measure_embedding_speed(load(run.folder.root, device=device), run.data)
            write_json(speed_file, {"embedded_per_second": speed})
        return _read_scores(run)

    def collect(failed: dict[str, str]) -> Comparison:
        rows = [_make_row(run) for run in runs if run.state == "done" and run.title not in failed]
        rows.sort(key=lambda row: methods.index(row.method))
        return Comparison(data_set.title, budget, rows, quoted, runs, failed)

    return run_grid(runs, out, finish=finish, collect=collect, dry_run=dry_run, device=device, progress=progress)


def _make_cells(
    methods: Sequence[str], epochs: int | None, like: str | None, overrides: Sequence[str]
) -> list[GridCell]:
    """Load the recipes of the methods and change them as `compare` describes."""
    if not methods or len({Path(name).stem for name in methods}) < len(methods):
        raise RecipeError(
            f"{argument('methods')}: got {', '.join(methods) or 'none'}; expected one or more, each file name once"
        )

    def load_method(name: str) -> Recipe:
        recipe = load_recipe(name, overrides=list(overrides))
        return recipe if epochs is None else set_epochs(recipe, epochs)

    recipes = {name: load_method(name) for name in methods}
    if like is not None:
        harness = load_method(like)
        recipes = {name: apply_harness(harness, recipe) for name, recipe in recipes.items()}
    return [
        GridCell(name, Path(name).stem, recipe, "speed.json", recipe.model.embedding)
        for name, recipe in recipes.items()
    ]


def _read_scores(run: GridRun) -> Scores:
    """Read the scores on the run's data set, as the training recorded them."""
    evaluations = read_scores(run.folder)["evaluations"]
    identifier = fingerprint([run.data])
    return Scores.from_dict(next(entry for entry in evaluations if entry["fingerprint"] == identifier))


def _make_row(run: GridRun) -> ComparisonRow:
    """Read the row of a run that is done."""
    (cell,) = run.cells
    cost = count_cost(cell, run.data)
    rates = [record["images_per_second"] for record in read_log(run.folder.log) if "images_per_second" in record]
    return ComparisonRow(
        method=cell.name,
        seed=run.seed,
        scores=_read_scores(run),
        parameters=cost.parameters["total"] - cost.parameters["classifiers"],
        multiply_adds=cost.multiply_adds["total"],
        trained_per_second=statistics.median(rates),
        embedded_per_second=json.loads(run.result_path(cell).read_text(encoding="utf-8"))["embedded_per_second"],
        epochs=load_recipe(run.folder.recipe).schedule.epochs,
        minutes=sum(count_step_images(run.recipe) / rate for rate in rates) / 60,
    )
