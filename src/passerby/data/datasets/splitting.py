"""Splits that a data set does not bring along: which people train, which image of a person is the query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from passerby.types import DISTRACTOR, Sample


def permuted(ids: Iterable[int]) -> list[int]:
    """The sorted ids in the order of `numpy.random.default_rng(0).permutation`: random, and the same everywhere."""
    ordered = sorted(ids)
    return [ordered[place] for place in np.random.default_rng(0).permutation(len(ordered))]


def first_per_camera(samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Split test images: the first of each person in each camera is a query, the rest is the gallery (in order)."""
    seen: set[tuple[int, int]] = set()
    query, gallery = [], []
    for sample in samples:
        place = (sample.person_id, sample.camera_id)
        if sample.person_id == DISTRACTOR or place in seen:
            gallery.append(sample)
        else:
            query.append(sample)
        seen.add(place)
    return tuple(query), tuple(gallery)
