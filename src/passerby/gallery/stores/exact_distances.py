"""Exact distances of candidates and their order, equal in all stores. D embedding width, N vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from passerby.ranking.distance import distance_blocks
from passerby.types import FloatArray


def exact_distances(query: FloatArray, vectors: FloatArray) -> FloatArray:
    """Compute (N,) cosine distances of a (D,) and (N, D) unit vectors, summed in float64."""
    if not len(vectors):
        return np.empty(0, np.float32)
    ((_, distances),) = distance_blocks(query[None], vectors)
    return np.array(distances[0])


def nearest_first(distances: FloatArray, ids: Sequence[str], *, top: int) -> list[int]:
    """Return the indices of the `top` smallest distances, equal distances in the order of their ids."""
    if len(distances) > top:
        cut = np.partition(distances, top - 1)[top - 1]
        indices = np.flatnonzero(distances <= cut)  # with all that tie with the last
    else:
        indices = np.arange(len(distances))
    return sorted(indices.tolist(), key=lambda index: (distances[index], ids[index]))[:top]
