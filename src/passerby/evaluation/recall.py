"""Interpolated precision at each level of recall."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError
from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.distance import Metric
from passerby.ranking.matches import IdentityIndex, rank_matches
from passerby.text import plural
from passerby.types import Embeddings, Labels, as_array

LEVELS = np.linspace(0, 1, 101)
"""Levels of recall."""


def precision_at_recall(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: ArrayLike | DistanceBlocks | None = None,
    metric: Metric = "cosine",
    device: str = "auto",
) -> NDArray[np.float64]:
    """Compute interpolated precision at `LEVELS` of recall, mean over the valid queries of the Market-1501 protocol.

    The interpolated precision at a recall is the highest precision at that recall or a higher one, in the list of one
    query (TREC; Manning et al., Introduction to Information Retrieval, 8.4).

    Args:
        query: Q embeddings; `Labels` when `distances` are given.
        gallery: G embeddings, or `Labels`.
        distances: (Q, G) distances, or blocks of them, in place of those between the vectors; infinity excludes an
            item.
        metric: `cosine` or `euclidean`; not used with `distances`.
        device: As for `passerby.score`.

    Returns:
        (101,) 0 to 1, not increasing.

    Raises:
        DataError: When no query is valid; see also `distance_blocks`.

    Example:
        >>> query, gallery = Labels([1], [0]), Labels([1, 2, 1], [1, 1, 1])
        >>> precision_at_recall(query, gallery, distances=[[0.1, 0.2, 0.3]])[[0, 50, 100]].round(2)
        array([1.  , 1.  , 0.67])
    """
    index = IdentityIndex.from_labels(gallery.person_ids, gallery.camera_ids)
    total, valid = np.zeros(len(LEVELS)), 0
    for first, block in iter_distances(query, gallery, distances, metric=metric, device=device):
        matrix = as_array(block)
        for q, row in enumerate(matrix, start=first):
            dropped, matches = index.split(int(query.person_ids[q]), int(query.camera_ids[q]))
            matches = matches[row[matches] < np.inf]
            if len(matches):
                row[dropped] = np.inf
                ranks = np.sort(rank_matches(matrix, np.full(len(matches), q - first), matches))
                total += _interpolate(np.arange(1, len(ranks) + 1) / ranks)
                valid += 1
    if not valid:
        raise DataError(
            f"query: none of {plural(len(query), 'query')} has a match in another camera; there is no precision"
        )
    return total / valid


def _interpolate(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,) precision at each match -> (101,) interpolated precision at the levels."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    needed = np.ceil(LEVELS * len(precision) - 1e-9).astype(np.int64)  # matches that reach the level
    return np.asarray(best[np.maximum(needed, 1) - 1])
