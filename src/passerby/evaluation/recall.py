"""Precision at each level of recall: how much a reader of the lists wades through to find everybody."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.distance import Metric
from passerby.ranking.matches import IdentityIndex, rank_matches
from passerby.types import Embeddings, FloatArray, Labels

LEVELS = np.linspace(0, 1, 101)
"""Of recall, at which precision is given."""


def precision_at_recall(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: FloatArray | DistanceBlocks | None = None,
    metric: Metric = "cosine",
    device: str = "cpu",
) -> NDArray[np.float64]:
    """Interpolated precision at `LEVELS` of recall, averaged over the valid queries under the Market rule.

    The interpolated precision at a recall is the highest at that recall or a higher one, of one query's list (TREC;
    Manning et al., Introduction to Information Retrieval, 8.4).

    Args:
        query: Q vectors to look for; `Labels` when `distances` are given.
        gallery: G vectors to look in, or `Labels`.
        distances: (Q, G) distances in place of the vectors', or strips of them; infinity takes an item out.
        metric: `cosine` or `euclidean`; not used with `distances`.
        device: `cpu`, or a CUDA device for the distances.

    Returns:
        (101,) 0 to 1, never rising.

    Raises:
        DataError: When no query is valid; see also `distance_blocks`.
    """
    index = IdentityIndex.from_labels(gallery.person_ids, gallery.camera_ids)
    total, valid = np.zeros(len(LEVELS)), 0
    for first, given in iter_distances(query, gallery, distances, metric=metric, device=device):
        strip = given if isinstance(given, np.ndarray) else given.cpu().numpy()
        for q, row in enumerate(strip, start=first):
            dropped, matches = index.split(int(query.person_ids[q]), int(query.camera_ids[q]))
            matches = matches[row[matches] < np.inf]
            if len(matches):
                row[dropped] = np.inf
                ranks = np.sort(rank_matches(strip, np.full(len(matches), q - first), matches))
                total += _interpolated(np.arange(1, len(ranks) + 1) / ranks)
                valid += 1
    if not valid:
        raise DataError(f"query: none of {len(query)} queries has a match in another camera; there is no precision")
    return total / valid


def _interpolated(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """(T,) precision at each match to (101,) interpolated precision at the levels."""
    best = np.maximum.accumulate(precision[::-1])[::-1]
    needed = np.ceil(LEVELS * len(precision) - 1e-9).astype(np.int64)  # matches that reach the level
    found: NDArray[np.float64] = best[np.maximum(needed, 1) - 1]
    return found
