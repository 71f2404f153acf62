"""Splits for data sets without one: training identities and query images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from passerby.types import DISTRACTOR, Sample


def permute_ids(ids: Iterable[int], *, seed: int = 0) -> list[int]:
    """Return the sorted ids in the order of `numpy.random.default_rng(seed).permutation`."""
    ordered = sorted(ids)
    return [ordered[index] for index in np.random.default_rng(seed).permutation(len(ordered))]


def group_by_person(samples: Iterable[Sample]) -> dict[int, list[Sample]]:
    """Return the images of each identity, identities and images in order of first appearance."""
    groups: dict[int, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.person_id, []).append(sample)
    return groups


def split_queries(samples: Sequence[Sample]) -> tuple[tuple[Sample, ...], tuple[Sample, ...]]:
    """Split test images, in order: the first of an identity in a camera is a query, the others are the gallery."""
    seen: set[tuple[int, int]] = set()
    query, gallery = [], []
    for sample in samples:
        key = (sample.person_id, sample.camera_id)
        if sample.person_id == DISTRACTOR or key in seen:
            gallery.append(sample)
        else:
            query.append(sample)
        seen.add(key)
    return tuple(query), tuple(gallery)
