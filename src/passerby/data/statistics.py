"""How big a data set is, as the paper's Table 1 counts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from passerby.data.datasets import load_data
from passerby.types import DISTRACTOR, DataSet, Sample


@dataclass(frozen=True)
class Statistics:
    """One row. Distractors are counted among the gallery's images and not among its identities; junk nowhere else.

    Attributes:
        data: Name and variant of the data set.
        identities: People in any split.
        images: Images in any split, each once.
        cameras: Cameras of any split.
        train_identities: People to learn from; the others likewise.
        train_images: Images to learn from; the others likewise.
        query_identities: See above.
        query_images: See above.
        gallery_identities: See above.
        gallery_images: See above.
        distractors: Gallery images that match nobody.
        junk: Images that the reader dropped.
    """

    data: str
    identities: int
    images: int
    cameras: int
    train_identities: int
    train_images: int
    query_identities: int
    query_images: int
    gallery_identities: int
    gallery_images: int
    distractors: int
    junk: int


def statistics(spec: str) -> list[Statistics]:
    """One row for each data set of the spec. Raises DataError as `load_data` does."""
    return [describe(data) for data in load_data(spec)]


def describe(data: DataSet) -> Statistics:
    """Count one data set."""
    every = (*data.train, *data.query, *data.gallery)
    return Statistics(
        data=data.title,
        identities=_people(every),
        images=len({(sample.path, sample.key) for sample in every}),
        cameras=len({sample.camera_id for sample in every}),
        train_identities=_people(data.train),
        train_images=len(data.train),
        query_identities=_people(data.query),
        query_images=len(data.query),
        gallery_identities=_people(data.gallery),
        gallery_images=len(data.gallery),
        distractors=data.distractors,
        junk=data.junk,
    )


def _people(samples: Iterable[Sample]) -> int:
    return len({sample.person_id for sample in samples} - {DISTRACTOR})
