"""What a report is about: runs, loaded and evaluated as their recipes say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from passerby.data.datasets import load_data
from passerby.errors import DataError
from passerby.model.embed import Embedder, load
from passerby.progress import ProgressCallback, no_progress
from passerby.recipe import Recipe, load_recipe
from passerby.runs.evaluate import EvaluationResult, evaluate_network, evaluation_arguments, require_valid_queries
from passerby.runs.run_folder import RunFolder
from passerby.types import DataSet


@dataclass(frozen=True)
class ReportedRun:
    """One run on one data set.

    Attributes:
        name: What the page calls it.
        folder: Where it is.
        embedder: Its model.
        recipe: What made it.
        result: Its evaluation.
    """

    name: str
    folder: RunFolder
    embedder: Embedder
    recipe: Recipe
    result: EvaluationResult


def load_reported_runs(
    runs: Sequence[str | Path],
    data: str | None,
    *,
    device: str,
    progress: ProgressCallback = no_progress,
) -> list[ReportedRun]:
    """Load every run before any is evaluated: a wrong path is told at once."""
    loaded = []
    for path in map(Path, runs):
        folder = RunFolder(path)
        embedder = load(path, device=device)
        loaded.append((folder, embedder, load_recipe(folder.recipe)))
    names = _names([folder.root for folder, _, _ in loaded])
    known: dict[str, list[DataSet]] = {}
    found = []
    for (folder, embedder, recipe), name in zip(loaded, names, strict=True):
        spec = data or str(embedder.manifest["data"])
        sets = known.setdefault(spec, load_data(spec) if spec not in known else [])
        tested = [each for each in sets if each.query]
        if not tested:
            raise DataError(f"{folder.root}: {spec} has no query split to report on; name another with --data")
        for each in tested:
            require_valid_queries(each)
            arguments = evaluation_arguments(recipe)
            result = evaluate_network([embedder], each, **arguments, progress=progress)
            title = name if len(tested) == 1 else f"{name} on {each.name}"
            found.append(ReportedRun(title, folder, embedder, recipe, result))
    return found


def _names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, and as many before it as tell the runs apart; one run has two."""
    parts = [folder.resolve().parts[1:] for folder in folders]
    for count in range(2 if len(parts) == 1 else 1, max(map(len, parts)) + 1):
        names = ["/".join(each[-count:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    raise DataError(f"report: {folders[0]} is given more than once; name each run once")


def is_rendered(data: DataSet) -> bool:
    """Whether nobody in the data set exists."""
    return data.name == "synth" or (data.root / "synth.json").is_file()
