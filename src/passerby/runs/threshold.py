"""Threshold: the distance at which a run recognizes people, measured on whom the user names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from passerby.data.datasets import load_data
from passerby.errors import DataError
from passerby.model.embed import load
from passerby.model.weights import model_folder
from passerby.openset.nearest_identities import find_nearest_identities
from passerby.openset.thresholds import Threshold, compute_threshold
from passerby.progress import ProgressOption, open_progress
from passerby.runs.calibrate import IMAGES, draw_training, embed_groups
from passerby.runs.evaluate import require_valid_queries
from passerby.types import DataSet, Sample

Split = Literal["train", "query and gallery"]


@dataclass(frozen=True)
class MeasuredThreshold:
    """A threshold and the people that it was measured on.

    Attributes:
        data: The data set.
        split: Which of its images.
        trained_on: Whether the network was trained on these people: then it tells them apart better than others, and
            the threshold lets in more strangers than it says.
        identities: People among the queries.
        threshold: The figures.
    """

    data: DataSet
    split: Split
    trained_on: bool
    identities: int
    threshold: Threshold

    def to_dict(self) -> dict[str, Any]:
        """A dict that `json.dumps` takes."""
        return {
            "data": self.data.spec,
            "title": self.data.title,
            "split": self.split,
            "trained_on": self.trained_on,
            "identities": self.identities,
            "metric": "cosine",
            **self.threshold.to_dict(),
        }


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
    """The cosine distance at which an unknown person is taken for one of `gallery_size` with probability `far`.

    Args:
        run: The folder of a finished run, or `default` for the package's own model.
        data: Data sets whose queries and galleries are used. None uses the *training* people of the run's own data: a
            threshold must not be chosen on the people that figures are reported on, but it is over-optimistic.
        far: Above 0, below 1.
        gallery_size: People that will be enrolled; None is as many as the data show.
        images: At most so many training images, shared by the data sets: whole people, drawn with `seed`.
        bootstrap: Replicates of the intervals.
        seed: Of the draw and the bootstrap.
        device: `auto`, `cpu`, `cuda` or `mps`.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        One for each data set.

    Raises:
        PasserbyError: When there is no finished run, or the data cannot tell; see `compute_threshold`.
    """
    root = model_folder(run)
    embedder = load(root, device=device)
    sets = load_data(data or embedder.manifest["data"])
    sides: list[tuple[Sequence[Sample], Sequence[Sample]]]
    if data is None:
        sides = [(samples, samples) for samples in draw_training(sets, images, seed=seed)]
    else:
        sides = [_query_and_gallery(each) for each in sets]
    groups = [samples for query, gallery in sides for samples in ((query,) if query is gallery else (query, gallery))]
    with open_progress(progress) as report:
        embedded = iter(embed_groups(root, embedder, groups, progress=report))
    results = []
    for each, (query, gallery) in zip(sets, sides, strict=True):
        vectors = next(embedded)
        nearest = find_nearest_identities(vectors, vectors if query is gallery else next(embedded))
        results.append(
            MeasuredThreshold(
                data=each,
                split="train" if data is None else "query and gallery",
                trained_on=data is None,
                identities=len(set(nearest.query_ids.tolist())),
                threshold=compute_threshold(nearest, far, gallery_size=gallery_size, bootstrap=bootstrap, seed=seed),
            )
        )
    return results


def _query_and_gallery(data: DataSet) -> tuple[Sequence[Sample], Sequence[Sample]]:
    if not data.query or not data.gallery:
        raise DataError(f"{data.title}: {data.root} has no query or no gallery split; give data with both")
    require_valid_queries(data)
    return data.query, data.gallery
