"""Runs of a report, loaded and evaluated as their recipes configure it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from passerby.data.datasets import load_data
from passerby.errors import DataError, argument
from passerby.model.embed import load
from passerby.progress import ProgressCallback, no_progress
from passerby.recipe import Recipe, load_recipe
from passerby.reporting.page import PageSection
from passerby.runs.evaluate_model import EvaluationResult, evaluate_model, evaluation_options, require_valid_queries
from passerby.runs.run_data import load_run_data
from passerby.runs.run_folder import RunFolder, find_run
from passerby.runtime.embedder import Embedder
from passerby.types import DEFAULT, DataSet, Sample

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ReportedRun:
    """One run, evaluated on one data set.

    Attributes:
        name: Name of the run, unique among the runs of the report.
        title: Name of the run, with the data set when the run is evaluated on several.
        folder: Folder of the run.
        embedder: Model of the run.
        recipe: Recipe of the run.
        result: Evaluation.
    """

    name: str
    title: str
    folder: RunFolder
    embedder: Embedder
    recipe: Recipe
    result: EvaluationResult

    def network_images(self, samples: Sequence[Sample]) -> Tensor:
        """Return (N, 3, H, W) normalized images, on the model's device."""
        from passerby.model.torch_encoder import TorchEncoder

        encoder = TorchEncoder(self.embedder.network, self.embedder.preprocessing, device=self.embedder.device)
        return encoder.normalize(self.read_pixels(samples))

    def read_pixels(self, samples: Sequence[Sample]) -> NDArray[np.uint8]:
        """Return (N, H, W, 3) RGB at the model's size."""
        (pixels,) = self.embedder.read_pixels(samples, batch=len(samples))
        return pixels

    def pixels(self, images: Tensor) -> NDArray[np.uint8]:
        """Return (N, H, W, 3) RGB of (N, 3, H, W) normalized images."""
        settings = self.embedder.preprocessing
        mean, std = np.array(settings.mean, np.float32), np.array(settings.std, np.float32)
        values = images.cpu().numpy().transpose(0, 2, 3, 1) * std + mean
        pixels: NDArray[np.uint8] = np.round(255 * values.clip(0, 1)).astype(np.uint8)
        return pixels


@dataclass(frozen=True)
class RunGroup:
    """Runs of one section.

    Attributes:
        runs: At least one, but after `with_networks`.
        folder: Folder for the section's plots.
        queries: Number of rank lists of each kind.
    """

    runs: tuple[ReportedRun, ...]
    folder: Path
    queries: int

    def with_networks(self) -> RunGroup:
        """Return the runs that have a PyTorch network; none of ONNX and OpenVINO files."""
        return replace(self, runs=tuple(run for run in self.runs if run.embedder.has_network))

    def labeled(self) -> Iterator[tuple[ReportedRun, str, Callable[[str], str]]]:
        """Yield each run with a suffix for its file names and a function that labels a text with the run's title.

        A single run has an empty suffix, and its texts need no label.
        """
        if len(self.runs) == 1:
            yield self.runs[0], "", lambda text: text
            return
        for number, run in enumerate(self.runs, start=1):
            yield run, f"-{number}", f"{run.title}: {{}}".format


SectionBuilder = Callable[[RunGroup], PageSection]
"""Function that writes the plots of a section and returns the section; one without content has no text and parts."""


def load_reported_runs(
    runs: Sequence[str | Path],
    data: str | None,
    *,
    device: str,
    progress: ProgressCallback = no_progress,
) -> list[ReportedRun]:
    """Load all runs and their data, then evaluate them, so that a wrong path is an error before the work starts."""
    loaded = []
    for run in runs:
        folder = find_run(run)
        embedder = load(run, device=device).use_cache()
        loaded.append((folder, embedder, load_recipe(folder.recipe)))
    names = _shortest_names(runs)
    sets_of: dict[str, list[DataSet]] = {}
    evaluated_on = []
    for folder, embedder, _ in loaded:
        own = load_run_data(folder.root, embedder.manifest) if data is None else []
        spec = data or "+".join(f"{data_set.spec} {data_set.root.resolve()}" for data_set in own)
        if spec not in sets_of:
            sets_of[spec] = [data_set for data_set in own or load_data(spec) if data_set.query]
        if not sets_of[spec]:
            named = data or embedder.manifest["data"]
            raise DataError(
                f"{folder.root}: {named} has no query split to report on; choose another with {argument('data')}"
            )
        for data_set in sets_of[spec]:
            require_valid_queries(data_set)
        evaluated_on.append(sets_of[spec])
    reported = []
    for (folder, embedder, recipe), name, sets in zip(loaded, names, evaluated_on, strict=True):
        for data_set in sets:
            result = evaluate_model([embedder], data_set, evaluation_options(recipe), progress=progress)
            title = name if len(sets) == 1 else f"{name} on {data_set.name}"
            reported.append(ReportedRun(name, title, folder, embedder, recipe, result))
    return reported


def _shortest_names(runs: Sequence[str | Path]) -> list[str]:
    """Return the shortest path ends that differ from each other; two parts for a single run, `default` as it is."""
    parts = [(DEFAULT,) if str(run) == DEFAULT else Path(run).resolve().parts[1:] for run in runs]
    if len(parts) == 1:
        return ["/".join(parts[0][-2:])]
    for count in range(1, max(map(len, parts)) + 1):
        names = ["/".join(path[-count:]) for path in parts]
        if len(set(names)) == len(names):
            return names
    raise DataError(f"report: {runs[0]} is given more than once; give each run once")
