"""Ablate: a recipe, data sets and axes in; the grid trained under several seeds, and the paper's tables of it, out.

Every training is an ordinary run under OUT/runs, so it can be resumed, evaluated and looked at like any other. What is
done is not done again.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from passerby.data.datasets import load_data
from passerby.data.fingerprint import fingerprint
from passerby.data.training_set import join_training
from passerby.errors import DataError, PasserbyError, RecipeError, TrainingError
from passerby.evaluation.paired import PairedTest, paired_test
from passerby.evaluation.serialize import scores_from_dict, scores_to_dict
from passerby.experiments.ablation_tables import FIGURES, AblationTable, Measured, Row, to_csv, to_latex, to_markdown
from passerby.experiments.axes import NEEDS, Cell, grid, with_seed
from passerby.files import write_all_atomic
from passerby.model.convnext_ap import EmbeddingKind
from passerby.model.embed import load
from passerby.model.info import ModelInfo, model_info
from passerby.model.methods import build_model
from passerby.progress import ProgressCallback, ProgressOption, open_progress
from passerby.recipe import Recipe, load_recipe
from passerby.runs.evaluate import EvaluationResult, evaluate_network, evaluation_arguments, require_valid_queries
from passerby.runs.run_folder import RunFolder, write_json
from passerby.runs.train import resume, train
from passerby.types import DataSet, IntArray, Scores

logger = logging.getLogger(__name__)

TABLES = {
    "Table 2: attention (A)": {"attention"},
    "Table 3: parts (P) and their refinement": {"parts", "refine"},
    "Table 4: attention and parts (AP)": {"attention", "parts", "refine"},
}
"""The paper's tables, by the axes that they show; other axes get a table each, and many together one of all."""


@dataclass(frozen=True)
class Training:
    """One run of the grid: the cells that it serves (more than one where they differ in the evaluation alone)."""

    cells: tuple[Cell, ...]
    data: DataSet
    seed: int
    recipe: Recipe
    folder: RunFolder

    @property
    def title(self) -> str:
        """What progress and failures call it."""
        return f"{self.cells[0].name}, {self.data.title}, seed {self.seed}"

    @property
    def state(self) -> str:
        """`done`, `begun` or `new`."""
        if all(self.figures(cell).is_file() for cell in self.cells):
            return "done"
        return "begun" if self.folder.manifest.is_file() else "new"

    def figures(self, cell: Cell) -> Path:
        """Where the figures of each query are kept for a cell."""
        return self.folder.root / f"queries-{cell.embedding}.json"


@dataclass(frozen=True)
class Ablation:
    """What came out: the tables, and the trainings that failed with what they said."""

    tables: list[AblationTable]
    failed: dict[str, str]


def plan(
    recipe: Recipe, data: Sequence[str], out: str | Path, *, axes: Mapping[str, Sequence[str]], seeds: int = 3
) -> list[Training]:
    """Every training of the grid, seed by seed, so that after the first all rows have a figure.

    Args:
        recipe: What the axes change; its seed is the first.
        data: Specs of one data set each, with queries.
        out: Where the runs are or will be.
        axes: Levels by axis, as `parse_axes` makes them.
        seeds: Trainings of each cell.

    Raises:
        PasserbyError: For a cell that makes no recipe, data that cannot be evaluated on, or a run of something else.
    """
    if seeds < 1:
        raise RecipeError(f"seeds: got {seeds}, expected 1 or more")
    by_run: dict[str, list[Cell]] = {}
    for cell in grid(recipe, axes):
        by_run.setdefault(cell.slug, []).append(cell)
    found = []
    for number in range(seeds):
        for each in _data_sets(data):
            for slug, cells in by_run.items():
                seed = recipe.training.seed + number
                root = Path(out) / "runs" / f"{each.name}-{fingerprint([each])[:8]}" / slug / f"seed-{seed}"
                training = Training(tuple(cells), each, seed, with_seed(cells[0].recipe, seed), RunFolder(root))
                _require_same(training)
                found.append(training)
    return found


def ablate(
    recipe: Recipe,
    data: Sequence[str],
    out: str | Path,
    *,
    axes: Mapping[str, Sequence[str]],
    seeds: int = 3,
    device: str = "auto",
    progress: ProgressOption = False,
) -> Ablation:
    """Train what `plan` lists and is not done, evaluate it, and write `tables.md`, `.csv` and `.tex` into `out`.

    The tables are written anew after each training. One that fails is named, and the others go on.

    Args:
        recipe: As for `plan`.
        data: As for `plan`.
        out: As for `plan`.
        axes: As for `plan`.
        seeds: As for `plan`.
        device: As for `train`.
        progress: As for `train`. One line is logged for each training.

    Raises:
        PasserbyError: As `plan`, before anything is trained.
    """
    if os.environ.get("WORLD_SIZE", "1") != "1":
        raise TrainingError("ablate: started by torchrun; start it alone, it trains one run after the other")
    trainings = plan(recipe, data, out, axes=axes, seeds=seeds)
    failed: dict[str, str] = {}
    tables: list[AblationTable] = []
    infos: dict[str, ModelInfo] = {}
    with open_progress(progress) as report:
        for number, training in enumerate(trainings, 1):
            state, started = training.state, time.monotonic()
            try:
                if state != "done":
                    _run(training, device=device, progress=report)
                told = _tell(training) + (", was done" if state == "done" else f", {time.monotonic() - started:.0f} s")
            except (PasserbyError, RuntimeError, OSError) as error:  # RuntimeError: out of memory, and torch's others
                failed[training.title] = str(error)
                told = f"failed: {error}"
            logger.info("[%d/%d] %s: %s", number, len(trainings), training.title, told)
            if state != "done" or number == len(trainings):
                tables = make_tables(trainings, axes, infos)
                write_tables(tables, Path(out))
    return Ablation(tables, failed)


def _data_sets(specs: Sequence[str]) -> list[DataSet]:
    """One data set for each spec, checked before anything is trained."""
    found = []
    for spec in specs:
        sets = load_data(spec)
        if len(sets) != 1:
            raise DataError(f"data {spec!r}: {len(sets)} data sets joined; an ablation takes one with each --data")
        if not sets[0].query:
            raise DataError(f"data {spec!r}: has no query split, so nothing can be compared on it")
        require_valid_queries(sets[0])
        found.extend(sets)
    if not found:
        raise DataError("data: got none, expected at least one data set")
    if len({fingerprint([each]) for each in found}) < len(found):
        raise DataError(f"data: {', '.join(specs)}: the same data set twice; give each once")
    return found


def _require_same(training: Training) -> None:
    """Raise TrainingError when the folder holds a run of another recipe."""
    folder = training.folder
    if folder.manifest.is_file() and load_recipe(folder.recipe) != training.recipe:
        raise TrainingError(
            f"{folder.root}: holds a run of another recipe; give another --out, or the settings that it was made with"
        )


def _run(training: Training, *, device: str, progress: ProgressCallback) -> None:
    """Train or resume one run, and keep every query's figures for each cell that it serves."""
    folder, recipe = training.folder, training.recipe
    if not folder.model.is_file():
        begun = folder.manifest.is_file()
        if begun:
            resume(folder.root, device=device, progress=progress)
        else:
            train(recipe, training.data.spec, folder.root, device=device, progress=progress)
    for cell in training.cells:
        result = _evaluate(training, cell, device)
        people = result.query.person_ids.tolist()
        write_json(training.figures(cell), {"person_ids": people, "scores": scores_to_dict(result.scores)})


def _evaluate(training: Training, cell: Cell, device: str) -> EvaluationResult:
    """The finished run with the cell's kind of embedding."""
    recipe = training.recipe
    embedder = load(training.folder.root, device=device, embedding=cast("EmbeddingKind", cell.embedding))
    return evaluate_network([embedder], training.data, **evaluation_arguments(recipe))


def _tell(training: Training) -> str:
    """The figures of a training in a few words."""
    _, scores = _read(training, training.cells[0])
    return f"Rank-1 {scores.rank1:.1%}, mAP {scores.mAP:.1%}"


def _read(training: Training, cell: Cell) -> tuple[IntArray, Scores]:
    """(Q,) person of each query, and the scores with each query's."""
    path = training.figures(cell)
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return np.asarray(tree["person_ids"], dtype=np.int64), scores_from_dict(tree["scores"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read ({error}); delete it, and it will be made again") from None


def write_tables(tables: Sequence[AblationTable], out: Path) -> None:
    """Write the tables as Markdown, CSV and LaTeX, all or none."""
    writers = {"tables.md": to_markdown, "tables.csv": to_csv, "tables.tex": to_latex}
    write_all_atomic({out / name: write(tables).encode() for name, write in writers.items()})


def make_tables(
    trainings: Sequence[Training], axes: Mapping[str, Sequence[str]], infos: dict[str, ModelInfo]
) -> list[AblationTable]:
    """The tables of all that is done: the paper's, one for each other axis, and the grid if none shows it whole."""
    cells = list({cell.name: cell for training in trainings for cell in training.cells}.values())
    rows = {cell.name: _row(cell, cells[0], trainings, infos) for cell in cells}
    data = list(dict.fromkeys(training.data.title for training in trainings))
    others = {f"Axis: {axis}": {axis} for axis in axes if not any(axis in shown for shown in TABLES.values())}
    tables = []
    for title, shown in {**TABLES, **others}.items():
        if not shown & axes.keys() or (title.startswith("Table 4") and not {"attention", "parts"} <= axes.keys()):
            continue
        free = shown | {NEEDS[axis] for axis in shown if axis in NEEDS and axis not in TABLES}
        kept = [cell for cell in cells if _beside(cell, cells[0], free)]
        tables.append(AblationTable(title, data, [rows[cell.name] for cell in kept]))
    if all(len(table.rows) < len(cells) for table in tables):
        tables.append(AblationTable("The whole grid", data, list(rows.values())))
    return tables


def _beside(cell: Cell, baseline: Cell, free: set[str]) -> bool:
    """Whether a cell differs from the baseline on these axes alone."""
    return all(level == baseline.levels[axis] for axis, level in cell.levels.items() if axis not in free)


def _row(cell: Cell, baseline: Cell, trainings: Sequence[Training], infos: dict[str, ModelInfo]) -> Row:
    measured: dict[str, Measured] = {}
    for title in dict.fromkeys(training.data.title for training in trainings):
        ours, theirs = (
            {t.seed: _read(t, each) for t in trainings if t.data.title == title and _has(t, each)}
            for each in (cell, baseline)
        )
        if ours:
            figures = {
                "rank1": [scores.rank1 for _, scores in ours.values()],
                "mAP": [scores.mAP for _, scores in ours.values()],
            }
            measured[title] = Measured(figures, {} if cell.name == baseline.name else _tests(ours, theirs))
    if cell.name not in infos:
        infos[cell.name] = _info(cell, trainings[0].data)
    info = infos[cell.name]
    return Row(cell.name, measured, info.multiply_adds["total"], info.parameters["total"])


def _has(training: Training, cell: Cell) -> bool:
    return any(each.name == cell.name for each in training.cells) and training.figures(cell).is_file()


def _tests(
    ours: Mapping[int, tuple[IntArray, Scores]], theirs: Mapping[int, tuple[IntArray, Scores]]
) -> dict[str, PairedTest]:
    """Each figure against the baseline's, over the seeds that both have; none where there is none."""
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return {}
    people, scores = ours[seeds[0]]
    valid = scores.first_match > 0
    if len(np.unique(people[valid])) < 2:
        return {}
    found = {}
    for figure in FIGURES:
        if figure == "rank1" and scores.protocol == "single-gallery-shot":
            continue  # a mean over drawn galleries, of which single queries' figures are not kept
        sides = [np.stack([_per_query(each[seed][1], figure)[valid] for seed in seeds]) for each in (ours, theirs)]
        found[figure] = paired_test(sides[0], sides[1], people[valid])
    return found


def _per_query(scores: Scores, figure: str) -> NDArray[np.float64]:
    """(Q,) each query's share in a figure, NaN or 0 where it is not valid."""
    return scores.average_precision if figure == "mAP" else (scores.first_match == 1).astype(np.float64)


def _info(cell: Cell, data: DataSet) -> ModelInfo:
    """What the cell's network costs, counted without its weights."""
    model = cell.recipe.model.model_dump(mode="json") | {"pretrained": False, "weights": None}
    with torch.device("meta"):
        network = build_model(**model | {"embedding": cell.embedding}, identities=join_training([data]).identities)
    return model_info(network, size=cell.recipe.images.size)
