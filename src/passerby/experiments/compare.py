"""Compare: methods by their recipes, one data set, the same epochs or the same minutes for each; a table out.

Every training is an ordinary run under OUT/runs. What is done is not done again.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from passerby.data.datasets import load_data
from passerby.data.fingerprint import fingerprint
from passerby.errors import DataError, PasserbyError, RecipeError, TrainingError
from passerby.evaluation.serialize import scores_from_dict
from passerby.experiments.axes import with_seed
from passerby.experiments.comparison_table import Compared, to_csv, to_markdown
from passerby.experiments.harness import under, with_epochs
from passerby.experiments.speed import measure_speed
from passerby.files import write_all_atomic
from passerby.model.embed import Embedder, load
from passerby.model.info import model_info
from passerby.progress import ProgressCallback, ProgressOption, open_progress
from passerby.recipe import Recipe, load_recipe
from passerby.reporting.published import load_published_results
from passerby.reporting.reported_runs import is_rendered
from passerby.runs.evaluate import require_valid_queries
from passerby.runs.run_folder import RunFolder, write_json
from passerby.runs.train import resume, train
from passerby.training.log import read_log
from passerby.types import DataSet

logger = logging.getLogger(__name__)

_EMBEDDED, _REPEATS = 256, 3  # images, and how often, for the speed of embedding


@dataclass(frozen=True)
class Comparison:
    """What came out: a row for each method that is done, and the ones that failed with what they said."""

    rows: list[Compared]
    failed: dict[str, str]


def compare(
    data: str,
    out: str | Path,
    *,
    methods: Sequence[str],
    epochs: int | None = None,
    budget_minutes: float | None = None,
    seeds: int = 1,
    like: str | None = None,
    overrides: Sequence[str] = (),
    device: str = "auto",
    progress: ProgressOption = False,
) -> Comparison:
    """Train each method and write `comparison.md` and `comparison.csv` into `out`, anew after each training.

    Args:
        data: One data set with queries.
        out: Folder of the runs and tables.
        methods: Recipes, by name or file.
        epochs: Of every training; or
        budget_minutes: Minutes of every training on this machine: a few steps are timed first, and the schedule is as
            many whole epochs as fit, at least one.
        seeds: Trainings of each method, from its recipe's seed on.
        like: A recipe whose images, batches, optimizer, schedule and precision all of them take; see `under`.
        overrides: `key=value`, for every recipe.
        device: As for `train`.
        progress: As for `train`. One line is logged for each training.

    Raises:
        PasserbyError: For a recipe, data or budget that cannot be used; before anything is trained.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise TrainingError("compare: started by torchrun; start it alone, it trains one run after the other")
    if (epochs is None) == (budget_minutes is None):
        raise RecipeError("compare: give either epochs or budget_minutes, so that every method gets the same")
    if (budget_minutes is not None and budget_minutes <= 0) or seeds < 1 or not methods:
        raise RecipeError(
            f"compare: got {budget_minutes} minutes, {seeds} seeds, {len(methods)} methods; expected more than 0 of "
            "each"
        )
    recipes = {name: load_recipe(name, overrides=list(overrides)) for name in methods}
    if len(recipes) < len(methods):
        raise RecipeError(f"methods: {', '.join(methods)}: one of them twice; name each once")
    (tested,) = _one(data)
    if epochs is not None:
        recipes = {name: with_epochs(recipe, epochs) for name, recipe in recipes.items()}
    if like is not None:
        harness = load_recipe(like, overrides=list(overrides))
        harness = harness if epochs is None else with_epochs(harness, epochs)
        recipes = {name: under(harness, recipe) for name, recipe in recipes.items()}
    place = Path(out) / "runs" / f"{tested.name}-{fingerprint([tested])[:8]}"
    rows: dict[str, list[Compared]] = {name: [] for name in recipes}
    failed: dict[str, str] = {}
    with open_progress(progress) as report:
        for number in range(seeds):
            for name, recipe in recipes.items():
                seed = recipe.training.seed + number
                folder = RunFolder(place / Path(name).stem / f"seed-{seed}")
                try:
                    row = _run(
                        name,
                        with_seed(recipe, seed),
                        tested,
                        folder,
                        minutes=budget_minutes,
                        device=device,
                        progress=report,
                    )
                    rows[name].append(row)
                    told = f"Rank-1 {row.scores.rank1:.1%}, mAP {row.scores.mAP:.1%}, {row.minutes:.1f} min"
                except (
                    PasserbyError,
                    RuntimeError,
                    OSError,
                ) as error:  # RuntimeError: of torch
                    failed[f"{name}, seed {seed}"] = str(error)
                    told = f"failed: {error}"
                logger.info("%s, seed %d: %s", name, seed, told)
                made = [row for each in rows.values() for row in each]
                _write(made, tested, Path(out), what=_what(epochs, budget_minutes))
    return Comparison([row for each in rows.values() for row in each], failed)


def _what(epochs: int | None, minutes: float | None) -> str:
    if minutes is not None:
        return f"{minutes:g} minutes of training each, in whole epochs"
    return "1 epoch each" if epochs == 1 else f"{epochs} epochs each"


def _one(spec: str) -> list[DataSet]:
    sets = load_data(spec)
    if len(sets) != 1 or not sets[0].query:
        raise DataError(f"data {spec!r}: {len(sets)} data sets; a comparison needs one, with a query split")
    require_valid_queries(sets[0])
    return sets


def _run(
    name: str,
    recipe: Recipe,
    data: DataSet,
    folder: RunFolder,
    *,
    minutes: float | None,
    device: str,
    progress: ProgressCallback,
) -> Compared:
    """Train or resume one method, measure it, and read its row."""
    speeds = folder.root / "speed.json"
    if folder.manifest.is_file():
        _require_same(folder, recipe, any_length=minutes is not None)
        if not folder.model.is_file():
            resume(folder.root, device=device, progress=progress)
    else:
        if minutes is not None:
            recipe = with_epochs(recipe, _fitting(recipe, data, minutes, device=device))
        train(recipe, data.spec, folder.root, device=device, progress=progress)
    embedder = load(folder.root, device=device)
    if not speeds.is_file():
        write_json(speeds, {"embedded_per_second": _embedding_speed(embedder, data)})
    info = model_info(embedder.network, size=embedder.preprocessing.size)
    rates = [record["images_per_second"] for record in read_log(folder.log) if "images_per_second" in record]
    batch = recipe.batches.persons * recipe.batches.images * recipe.optimizer.accumulate
    recorded = json.loads(folder.scores.read_text(encoding="utf-8"))["evaluations"]
    (scores,) = [scores_from_dict(entry) for entry in recorded if entry["fingerprint"] == fingerprint([data])][:1]
    return Compared(
        method=name,
        seed=recipe.training.seed,
        scores=scores,
        parameters=info.parameters["total"] - info.parameters["classifiers"],
        multiply_adds=info.multiply_adds["total"],
        trained_per_second=statistics.median(rates),
        embedded_per_second=json.loads(speeds.read_text(encoding="utf-8"))["embedded_per_second"],
        epochs=load_recipe(folder.recipe).schedule.epochs,
        minutes=sum(batch / rate for rate in rates) / 60,
    )


def _require_same(folder: RunFolder, recipe: Recipe, *, any_length: bool) -> None:
    """Raise TrainingError when the folder holds a run of another recipe; a budget's length is found, not given."""
    held = load_recipe(folder.recipe)
    wanted = with_epochs(recipe, held.schedule.epochs) if any_length else recipe
    if held != wanted:
        raise TrainingError(
            f"{folder.root}: holds a run of another recipe; give another --out, or the settings that it was made with"
        )


def _fitting(recipe: Recipe, data: DataSet, minutes: float, *, device: str) -> int:
    """Whole epochs that fit the minutes, by the speed of a few steps."""
    rate, images = measure_speed(recipe, data.spec, device=device)
    epochs = int(60 * minutes * rate / images)
    if epochs < 1:
        raise RecipeError(
            f"{recipe.name}: {minutes:g} minutes are less than one epoch of {images:,} images at {rate:.0f} images/s "
            f"here; give at least {images / rate / 60:.1f}"
        )
    return epochs


def _embedding_speed(embedder: Embedder, data: DataSet) -> float:
    """Images a second, decoding and mirroring included: the median of a few rounds."""
    images = [*data.query, *data.gallery][:_EMBEDDED]
    spent = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        embedder.embed(images)
        spent.append(time.perf_counter() - began)
    return len(images) / statistics.median(spent)


def _write(rows: Sequence[Compared], data: DataSet, out: Path, *, what: str) -> None:
    quoted = [] if is_rendered(data) or data.variant else load_published_results(data.name)
    files = {
        out / "comparison.md": to_markdown(rows, quoted, data=data.title, what=what),
        out / "comparison.csv": to_csv(rows, quoted),
    }
    write_all_atomic({path: text.encode() for path, text in files.items()})
