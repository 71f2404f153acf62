"""Ablation: train the grid that axes span under several seeds, and make the paper's tables of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError, explain
from passerby.evaluation.paired import PairedTest, paired_test
from passerby.evaluation.summary import Scores, value
from passerby.experiments.axes import NEEDS, GridCell, parse_axes, span_grid
from passerby.experiments.grid import GridRun, count_cost, plan_grid, run_grid
from passerby.experiments.grid_tables import TABLE_METRICS, Ablation, AblationTable, RowMetrics, TableRow
from passerby.model.convnext_ap import EmbeddingKind
from passerby.model.embed import load
from passerby.progress import ProgressOption
from passerby.recipe import Recipe
from passerby.runs.evaluate_model import evaluate_model, evaluation_options
from passerby.runs.run_folder import write_json
from passerby.types import IntArray

SeedResults = Mapping[int, tuple[IntArray, Scores]]
"""By seed: (Q,) identity of each query, and the scores with those of each query."""


@dataclass(frozen=True)
class TableLayout:
    """Selection of a grid's rows for one table.

    Attributes:
        title: Title of the table.
        axes: Axes whose levels differ between its rows; on the others, rows have the baseline's level.
        required: Axes without which the table is left out. It is also left out if the grid has none of `axes`.
    """

    title: str
    axes: Set[str]
    required: Set[str] = frozenset()

    def applies(self, axes: Mapping[str, Sequence[str]]) -> bool:
        """Return whether a grid of these axes has the table."""
        return bool(self.axes & axes.keys()) and self.required <= axes.keys()

    def includes(self, cell: GridCell, baseline: GridCell) -> bool:
        """Return whether the table has a row for the cell."""
        free = self.axes | {NEEDS[axis] for axis in self.axes & NEEDS.keys()}
        return all(level == baseline.levels[axis] for axis, level in cell.levels.items() if axis not in free)


PAPER_TABLES = (
    TableLayout("Table 2: attention (A)", {"attention"}),
    TableLayout("Table 3: parts (P) and their refinement", {"parts", "refine"}),
    TableLayout("Table 4: attention and parts (AP)", {"attention", "parts", "refine"}, {"attention", "parts"}),
)


def ablate(
    recipe: Recipe,
    data: str | Sequence[str],
    *,
    out: str | Path,
    axes: str | Mapping[str, Sequence[str]],
    seeds: int = 3,
    dry_run: bool = False,
    device: str = "auto",
    progress: ProgressOption = False,
) -> Ablation:
    """Train and evaluate the cells of an ablation that are not done, and write `tables.md`, `.csv` and `.tex` to `out`.

    The tables are written after each training. If a training fails, its error is in the result and the others go on.

    Args:
        recipe: Recipe that the axes change; its seed is the first.
        data: Spec of a data set with queries, such as `market1501:/data/Market-1501`, or several of them. Each data set
            is trained and evaluated on apart.
        out: Folder of the runs and tables.
        axes: Axes such as `attention,refine=off/staged`; see `passerby.experiments.axes.AXES`. Or levels by axis.
        seeds: Trainings of each cell, 1 or more.
        dry_run: Train and write nothing; the result lists the runs and has the tables of those that are done.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: As for `train`. One line is logged for each training.

    Raises:
        PasserbyError: For axes that make no valid recipe, data that cannot be evaluated on, an `out` that holds runs of
            other recipes, and under torchrun; before anything is trained.

    Example:
        >>> recipe = passerby.load_recipe("lab-atto")
        >>> plan = ablate(recipe, "market1501:people", out="runs/grid", axes="attention", seeds=1, dry_run=True)
        >>> plan.runs
        [GridRun(Baseline, market1501 (synthetic), seed 0: new), GridRun(A, market1501 (synthetic), seed 0: new)]
        >>> plan
        Ablation(Table 2: attention (A); 0 of 2 runs done, 0 failed)
    """
    axes = parse_axes(axes) if isinstance(axes, str) else axes
    runs = plan_grid(span_grid(recipe, axes), data, out=out, seeds=seeds)

    def finish(run: GridRun) -> Scores:
        for cell in run.cells:
            if not run.result_path(cell).is_file():
                _evaluate(run, cell, device)
        return _read_result(run.result_path(run.cells[0]))[1]

    def collect(failed: dict[str, str]) -> Ablation:
        return Ablation(make_tables(runs, axes), runs, failed)

    return run_grid(runs, out, finish=finish, collect=collect, dry_run=dry_run, device=device, progress=progress)


def _evaluate(run: GridRun, cell: GridCell, device: str) -> None:
    """Evaluate a trained run with the cell's kind of embedding, and write the scores with those of each query."""
    embedder = load(run.folder.root, device=device, embedding=cast("EmbeddingKind", cell.embedding))
    result = evaluate_model([embedder], run.data, evaluation_options(run.recipe))
    tree = {"person_ids": [sample.person_id for sample in result.query_samples], "scores": result.scores.to_dict()}
    write_json(run.result_path(cell), tree)


def _read_result(path: Path) -> tuple[IntArray, Scores]:
    """Return (Q,) identity of each query, and the scores with those of each query."""
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return np.asarray(tree["person_ids"], dtype=np.int64), Scores.from_dict(tree["scores"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({explain(error)}); delete it and repeat the command") from None


def make_tables(runs: Sequence[GridRun], axes: Mapping[str, Sequence[str]]) -> list[AblationTable]:
    """Make the paper's tables, one for each other axis, and one of the whole grid if none shows all of it.

    Args:
        runs: Runs of `plan_grid`, finished or not.
        axes: Levels by axis.

    Raises:
        DataError: For a result that cannot be read.
    """
    results: dict[tuple[str, str], dict[int, tuple[IntArray, Scores]]] = {}
    for run in runs:
        for cell in run.cells:
            seeds = results.setdefault((cell.name, run.label), {})
            if run.result_path(cell).is_file():
                seeds[run.seed] = _read_result(run.result_path(cell))
    labels = list(dict.fromkeys(run.label for run in runs))
    cells = list({cell.name: cell for run in runs for cell in run.cells}.values())
    rows = {}
    for cell in cells:
        measured = {}
        for label in labels:
            if by_seed := results[cell.name, label]:
                baseline = {} if cell is cells[0] else results[cells[0].name, label]
                measured[label] = _make_metrics(by_seed, baseline)
        cost = count_cost(cell, runs[0].data)
        rows[cell.name] = TableRow(cell.name, measured, cost.multiply_adds["total"], cost.parameters["total"])
    in_paper = {axis for layout in PAPER_TABLES for axis in layout.axes}
    layouts = [*PAPER_TABLES, *(TableLayout(f"Axis: {axis}", {axis}) for axis in axes if axis not in in_paper)]
    tables = [
        AblationTable(layout.title, labels, [rows[cell.name] for cell in cells if layout.includes(cell, cells[0])])
        for layout in layouts
        if layout.applies(axes)
    ]
    if all(len(table.rows) < len(cells) for table in tables):
        tables.append(AblationTable("The whole grid", labels, list(rows.values())))
    return tables


def _make_metrics(results: SeedResults, baseline: SeedResults) -> RowMetrics:
    """Collect the metrics of each seed; test them over the seeds that both rows have, if there are two identities."""
    metrics = {metric: [value(scores, metric) for _, scores in results.values()] for metric in TABLE_METRICS}
    seeds = sorted(results.keys() & baseline.keys())
    if not seeds:
        return RowMetrics(metrics)
    identities, scores = results[seeds[0]]
    valid = scores.first_match > 0
    tests: dict[str, PairedTest] = {}
    for metric in TABLE_METRICS if len(np.unique(identities[valid])) >= 2 else ():
        if metric == "mAP" or scores.protocol != "single-gallery-shot":  # its Rank-1 has no per-query values
            row, first = (
                np.stack([_score_queries(side[seed][1], metric)[valid] for seed in seeds])
                for side in (results, baseline)
            )  # (S, Q) each
            tests[metric] = paired_test(row, first, identities[valid])
    return RowMetrics(metrics, tests)


def _score_queries(scores: Scores, metric: str) -> NDArray[np.float64]:
    """Return (Q,) a metric of each query: average precision, or whether the first match has rank 1."""
    return scores.average_precision if metric == "mAP" else (scores.first_match == 1).astype(np.float64)
