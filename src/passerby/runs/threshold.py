"""Find the distance threshold of a false alarm rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from passerby.errors import DataError
from passerby.model.embed import load
from passerby.openset.nearest_identities import find_nearest_identities
from passerby.openset.thresholds import Threshold, compute_threshold
from passerby.progress import ProgressOption, open_progress
from passerby.recipe import load_recipe
from passerby.runs.draw import IMAGES, draw_training, embed_groups
from passerby.runs.evaluate_model import evaluation_options, require_valid_queries
from passerby.runs.run_data import load_run_data
from passerby.runs.run_folder import find_run
from passerby.types import DataSet, Result, Sample

Split = Literal["train", "query and gallery"]


@dataclass(frozen=True)
class MeasuredThreshold(Result):
    """A threshold and the data that it was measured on.

    Attributes:
        data: The data set.
        split: Its images.
        trained_on: Whether the network was trained on them. It separates them better than others, so that on other
            data more false alarms occur than stated.
        identities: Number of identities among the queries.
        threshold: The threshold with its rates and intervals.
    """

    data: DataSet
    split: Split
    trained_on: bool
    identities: int
    threshold: Threshold

    def __repr__(self) -> str:
        measured = self.threshold
        rates = f"FAR {100 * measured.far:g} %, DIR {100 * measured.rate:.1f} %"
        return f"MeasuredThreshold({self.data.title}: distance {measured.threshold:.4f}, {rates})"

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable dict."""
        names = ("split", "trained_on", "identities")
        conditions = {"data": self.data.spec, "title": self.data.title, **{name: getattr(self, name) for name in names}}
        return {**conditions, "metric": "cosine", **self.threshold.to_dict()}


def find_threshold(
    run: str | Path,
    data: str | None = None,
    *,
    far: float,
    gallery_size: int | None = None,
    images: int = IMAGES,
    bootstrap: int = 1000,
    seed: int = 0,
    device: str = "auto",
    progress: ProgressOption = False,
) -> list[MeasuredThreshold]:
    """Find the cosine distance at which an unknown person is recognized as enrolled with probability `far`.

    Args:
        run: Folder of a finished run, or `default`.
        data: Data sets whose queries and galleries are used. None uses the training images of the run's own data,
            which gives a threshold that is too optimistic; do not choose it on the data that metrics are reported on.
            Required for `default`.
        far: False alarm rate, above 0 and below 1.
        gallery_size: Number of identities that will be enrolled; None is as many as the data have.
        images: Largest number of training images, of all data sets together.
        bootstrap: Replicates of the intervals.
        seed: Seed of the draw of training images and of the bootstrap.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        One threshold for each data set.

    Raises:
        PasserbyError: If there is no finished run, or the data are too few for `far`; see `compute_threshold`.

    Example:
        >>> passerby.find_threshold("runs/m", far=0.2)
        [MeasuredThreshold(market1501 (synthetic): distance ..., FAR 20 %, DIR ... %)]
    """
    folder = find_run(run)
    embedder = load(folder.root, device=device).use_cache()
    sets = load_run_data(folder.root, embedder.manifest, data)
    pairs: list[tuple[Sequence[Sample], Sequence[Sample]]]
    if data is None:
        pairs = [(samples, samples) for samples in draw_training(sets, images, seed=seed)]
    else:
        pairs = [_require_queries(data_set) for data_set in sets]
    groups = [samples for query, gallery in pairs for samples in ((query,) if query is gallery else (query, gallery))]
    options = evaluation_options(load_recipe(folder.recipe))
    with open_progress(progress) as report:
        embedded = iter(embed_groups(embedder, groups, options, progress=report))
    results = []
    for data_set, (query, gallery) in zip(sets, pairs, strict=True):
        vectors = next(embedded)
        nearest = find_nearest_identities(vectors, vectors if query is gallery else next(embedded))
        results.append(
            MeasuredThreshold(
                data=data_set,
                split="train" if data is None else "query and gallery",
                trained_on=data is None,
                identities=len(set(nearest.query_ids.tolist())),
                threshold=compute_threshold(nearest, far, gallery_size=gallery_size, bootstrap=bootstrap, seed=seed),
            )
        )
    return results


def _require_queries(data: DataSet) -> tuple[Sequence[Sample], Sequence[Sample]]:
    """Return query and gallery of a data set that has both."""
    if not data.query or not data.gallery:
        raise DataError(f"{data.title}: {data.root} has no query or no gallery split; give data with both")
    require_valid_queries(data)
    return data.query, data.gallery
