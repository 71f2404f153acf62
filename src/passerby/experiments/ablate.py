"""Ablation: train the grid that axes span under several seeds, and make the paper's tables of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from passerby.evaluation.summary import Scores, value
from passerby.experiments.axes import NEEDS, GridCell, parse_axes, span_grid
from passerby.experiments.grid import GridRun, count_cost, plan_grid, run_grid
from passerby.experiments.grid_tables import TABLE_METRICS, Ablation, AblationTable, RowMetrics, TableRow
from passerby.experiments.query_results import SeedResults, compare_rows, read_result, write_result
from passerby.out_paths import require_folder
from passerby.progress import ProgressOption
from passerby.recipe import Recipe
from passerby.types import IntArray


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
    require_folder(Path(out))
    axes = parse_axes(axes) if isinstance(axes, str) else axes
    runs = plan_grid(span_grid(recipe, axes), data, out=out, seeds=seeds)

    def finish(run: GridRun) -> Scores:
        for cell in run.cells:
            if not run.result_path(cell).is_file():
                write_result(run, run.result_path(cell), embedding=cell.embedding, device=device)
        return read_result(run.result_path(run.cells[0]))[1]

    def collect(failed: dict[str, str]) -> Ablation:
        return Ablation(make_tables(runs, axes), runs, failed)

    return run_grid(runs, out, finish=finish, collect=collect, dry_run=dry_run, device=device, progress=progress)


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
                seeds[run.seed] = read_result(run.result_path(cell))
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
    return RowMetrics(metrics, compare_rows(results, baseline, TABLE_METRICS))
