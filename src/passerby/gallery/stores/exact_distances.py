"""Exact order of candidates by the house's distance, and the proof that no better one was left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from passerby.ranking.distance import distance_blocks
from passerby.types import FloatArray


def exact_distances(query: FloatArray, vectors: FloatArray) -> FloatArray:
    """(D,) and (N, D) unit vectors -> (N,) cosine distances, summed in float64 like every distance of this package."""
    if not len(vectors):
        return np.empty(0, np.float32)
    ((_, distances),) = distance_blocks(query[None], vectors)
    return np.array(distances[0])


def nearest_first(distances: FloatArray, ids: Sequence[str], *, top: int) -> list[int]:
    """Places of the `top` smallest distances, equal ones in the order of their ids, so that every store agrees."""
    if len(distances) > top:
        cut = np.partition(distances, top - 1)[top - 1]
        places = np.flatnonzero(distances <= cut)  # all that tie with the last
    else:
        places = np.arange(len(distances))
    return sorted(places.tolist(), key=lambda place: (distances[place], ids[place]))[:top]
