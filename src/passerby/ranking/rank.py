"""The nearest gallery items of each query."""

from __future__ import annotations

import numpy as np

from passerby.errors import DataError
from passerby.ranking.distance import Metric
from passerby.ranking.matches import Places
from passerby.ranking.strips import Strips, strips_of
from passerby.types import Embeddings, FloatArray, IntArray, Labels, Ranking


def rank(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: FloatArray | Strips | None = None,
    top: int = 10,
    metric: Metric = "cosine",
    drop_same_camera: bool = True,
) -> Ranking:
    """The first `top` gallery items of each query, nearest first; equal distances keep the gallery's order.

    Args:
        query: Q vectors to look for; `Labels` when `distances` are given.
        gallery: G vectors to look in, or `Labels`.
        distances: (Q, G) distances in place of the vectors', or strips of them; see `passerby.score`.
        top: Items kept per query; at most G are.
        metric: `cosine` or `euclidean`.
        drop_same_camera: Leave out the query's own person in the query's own camera, as the Market rule does.

    Returns:
        Ranking of (Q, K) arrays, K = min(top, G).

    Raises:
        DataError: Naming the argument; see `distance_blocks`, and `top` below 1.
    """
    if top < 1:
        raise DataError(f"top: got {top}, expected at least 1")
    blocks = strips_of(query, gallery, distances, metric=metric)
    kept = min(top, len(gallery))
    indices = np.full((len(query), kept), -1, dtype=np.int64)
    distances = np.full((len(query), kept), np.nan, dtype=np.float32)
    matches = np.zeros((len(query), kept), dtype=np.bool_)
    places = Places.of(gallery.person_ids, gallery.camera_ids)
    for first, block in blocks:
        for q, row in enumerate(block, start=first):
            dropped, same = places.split(query.person_ids[q], query.camera_ids[q], drop_same_camera=drop_same_camera)
            row[dropped] = np.inf
            found = _nearest(row, kept)
            indices[q, : len(found)] = found
            distances[q, : len(found)] = row[found]
            matches[q, : len(found)] = np.isin(found, same)
    return Ranking(indices, distances, matches)


def _nearest(distances: FloatArray, kept: int) -> IntArray:
    """Places of the `kept` smallest finite distances, ascending and stable, without sorting the rest."""
    last = np.partition(distances, kept - 1)[kept - 1]
    candidates = np.flatnonzero((distances <= last) & (distances < np.inf))
    return candidates[np.argsort(distances[candidates], kind="stable")][:kept]
