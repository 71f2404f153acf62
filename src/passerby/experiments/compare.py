"""Comparison: train methods on one data set for the same epochs or minutes, and make tables of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from passerby.errors import RecipeError, argument
from passerby.experiments.comparison_grid import Budgets, ComparisonGrid
from passerby.experiments.comparison_tables import Comparison
from passerby.experiments.table_methods import load_rows
from passerby.experiments.tuning import parse_tuning
from passerby.out_paths import require_folder
from passerby.progress import ProgressOption


def compare(
    methods: Sequence[str],
    data: str,
    *,
    out: str | Path,
    epochs: int | None = None,
    minutes: float | None = None,
    seeds: int = 1,
    best: int = 0,
    best_seeds: int = 3,
    like: str | None = None,
    tune: Sequence[str] = (),
    tune_epochs: int | None = None,
    reference: str | None = None,
    overrides: Sequence[str] = (),
    dry_run: bool = False,
    device: str = "auto",
    progress: ProgressOption = False,
) -> Comparison:
    """Train and measure the methods that are not done, and write the tables to `out`: `comparison.md` and `.csv`.

    The tables are written after each training. If a training fails, its error is in the result and the others go on.
    The same call again keeps what is finished and resumes what was interrupted.

    Args:
        methods: Recipes, by name or file; `table5` is all rows of the paper's Table 5, see `load_rows`.
        data: Spec of one data set with queries, such as `market1501:/data/Market-1501`.
        out: Folder of the runs and the tables.
        epochs: Epochs of each training of the first table.
        minutes: Minutes of each training of the second table, on this machine. A few steps of each method are timed
            first; its schedule is as many whole epochs as fit, at least one.
        seeds: Trainings of each method, with its recipe's seed and the numbers after it.
        best: Number of methods with the highest mAP under the first seed that get `best_seeds` trainings.
        best_seeds: Trainings of these methods, and of the reference, which they are tested against seed by seed.
        like: Recipe whose images, batches, optimizer, schedule and precision all methods take; see `apply_harness`.
        tune: Settings with the values that are tried for each method, such as `lr=0.001,0.002`, each for `tune_epochs`
            on a part of the training people and evaluated on the rest of them. The test people have no part in it.
        tune_epochs: Epochs of each of these trainings; None is a quarter of `epochs`, or 4.
        reference: Method that the others are tested against; None is `like` if it is a row, otherwise the first.
        overrides: `key=value` changes of every recipe.
        dry_run: Train and write nothing; the result lists the runs and has the rows of those that are done.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: As for `train`. One line is logged for each training.

    Raises:
        PasserbyError: For a recipe, data, setting or budget that cannot be used, an `out` that holds runs of other
            recipes, and under torchrun; before anything is trained.

    Example:
        >>> plan = compare(["pcb", "osnet"], "market1501:people", out="runs/methods", epochs=12, dry_run=True)
        >>> plan.runs
        [GridRun(pcb, market1501 (synthetic), seed 0: new), GridRun(osnet, market1501 (synthetic), seed 0: new)]
        >>> plan
        Comparison(market1501 (synthetic), 12 epochs each; 0 of 2 runs done, 0 failed)
    """
    require_folder(Path(out))
    budgets = Budgets(epochs, minutes, seeds, best, best_seeds, tune_epochs)
    rows = load_rows(methods, like, overrides)
    chosen_reference = reference or (like if like in rows else next(iter(rows)))
    if chosen_reference not in rows:
        raise RecipeError(f"{argument('reference')}: got {reference!r}, expected one of {', '.join(rows)}")
    grid = ComparisonGrid(rows, data, Path(out), budgets, parse_tuning(tune), chosen_reference)
    grid.tune(dry_run=dry_run, device=device, progress=progress)
    grid.train(grid.plan(), dry_run=dry_run, device=device, progress=progress)
    if best and best_seeds > seeds:
        grid.train(grid.plan_best(), dry_run=dry_run, device=device, progress=progress)
    return grid.collect({})
