"""Proposals: the sightings with the best scores, where each part of a gallery has a score of its own.

A store finds the best by cosine similarity, without reading a stored vector.

Q queries   D embedding width   N sightings
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.gallery.filters import Filter
from passerby.types import FloatArray

Key = int | str
"""Key of a sighting in its store, between `propose` and `read_proposed`."""
Proposal = tuple[Sequence[Key], FloatArray]
"""Keys and approximate cosine distances of one query's candidates, nearest first."""


@dataclass(frozen=True, eq=False)
class ScoredPart:
    """A part of a gallery; the score of its sightings is `factors` x cosine similarity to `directions` + `offsets`.

    Attributes:
        where: Sightings of the part.
        directions: (Q, D) float32 of any length above 0.
        factors: (Q,) above 0.
        offsets: (Q,).
        near: (Q, D) float32 points near which the part's vectors with the best scores lie. A store may then search only
            the cells near them, if this misses few of the best. None compares with every sighting of the part.
    """

    where: Filter
    directions: FloatArray
    factors: NDArray[np.float64]
    offsets: NDArray[np.float64]
    near: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Candidates:
    """Proposed sightings as they are stored: their vectors, and metadata that are converted where they are needed.

    Attributes:
        keys: N keys; those of removed sightings are missing.
        ids: N ids.
        cameras: N cameras.
        vectors: (N, D) vectors.
        records: N records of the store.
        to_info: Converts a record to the arguments of `SightingInfo`.
    """

    keys: Sequence[Key]
    ids: Sequence[str]
    cameras: Sequence[str]
    vectors: FloatArray
    records: Sequence[Any]
    to_info: Callable[[Any], dict[str, Any]]


def merge_proposals(
    parts: Sequence[ScoredPart], proposals: Sequence[Sequence[Proposal]], *, count: int
) -> list[list[tuple[int, Key]]]:
    """Merge each part's proposals by score.

    Args:
        parts: P parts, at least one.
        proposals: For each part the proposals of each query.
        count: Largest number of keys per query.

    Returns:
        For each query the number of the part and the key of its best proposals, best first.
    """
    merged = []
    for number, of_parts in enumerate(zip(*proposals, strict=True)):
        scores = np.concatenate(
            [
                (1 - distances) * part.factors[number] + part.offsets[number]
                for part, (_, distances) in zip(parts, of_parts, strict=True)
            ]
        )
        best = np.argsort(-scores, kind="stable")[:count]
        starts = np.cumsum([0, *(len(keys) for keys, _ in of_parts)])
        places = np.searchsorted(starts, best, side="right") - 1
        found = zip(places.tolist(), (best - starts[places]).tolist(), strict=True)
        merged.append([(place, of_parts[place][0][index]) for place, index in found])
    return merged
