"""Size of a data set: identities, images and cameras of each split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from passerby.data.datasets import load_data
from passerby.types import DISTRACTOR, DataSet, Result, Sample


@dataclass(frozen=True, repr=False)
class Statistics(Result):
    """Counts of one data set. Distractors count as gallery images and not as identities; junk is counted apart.

    Attributes:
        data: Name and variant of the data set.
        identities: Identities of all splits.
        images: Images of all splits, each once.
        cameras: Cameras of all splits.
        train_identities: Identities of the train split.
        train_images: Images of the train split.
        query_identities: Identities of the query split.
        query_images: Images of the query split.
        gallery_identities: Identities of the gallery.
        gallery_images: Images of the gallery.
        tracks: Tracks of all splits, 0 for a data set of single images.
        distractors: Gallery images that match no query.
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
    tracks: int
    distractors: int
    junk: int


def stats(spec: str) -> list[Statistics]:
    """Count identities, images and cameras of the data sets of a spec.

    Args:
        spec: As for `load_data`.

    Returns:
        One result for each part of the spec.

    Raises:
        DataError: As `load_data`.

    Example:
        >>> (counts,) = stats("market1501:people")
        >>> counts.train_identities, counts.train_images, counts.cameras
        (12, 48, 2)
    """
    return [_count(data) for data in load_data(spec)]


def _count(data: DataSet) -> Statistics:
    samples = (*data.train, *data.query, *data.gallery)
    return Statistics(
        data=data.title,
        identities=_count_identities(samples),
        images=len({(sample.path, sample.key) for sample in samples}),
        cameras=len({sample.camera_id for sample in samples}),
        train_identities=_count_identities(data.train),
        train_images=len(data.train),
        query_identities=_count_identities(data.query),
        query_images=len(data.query),
        gallery_identities=_count_identities(data.gallery),
        gallery_images=len(data.gallery),
        tracks=len({sample.track for sample in samples} - {None}),
        distractors=data.distractors,
        junk=data.junk,
    )


def _count_identities(samples: Iterable[Sample]) -> int:
    return len({sample.person_id for sample in samples} - {DISTRACTOR})
