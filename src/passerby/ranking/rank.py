"""The nearest gallery items of each query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import njit

from passerby.errors import DataError
from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.distance import Metric
from passerby.ranking.matches import IdentityIndex
from passerby.types import Embeddings, FloatArray, Labels, Ranking


def rank(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: FloatArray | DistanceBlocks | None = None,
    top: int = 10,
    metric: Metric = "cosine",
    drop_same_camera: bool = True,
    device: str = "cpu",
) -> Ranking:
    """The first `top` gallery items of each query, nearest first; equal distances keep the gallery's order.

    Args:
        query: Q vectors to look for; `Labels` when `distances` are given.
        gallery: G vectors to look in, or `Labels`.
        distances: (Q, G) distances in place of the vectors', or strips of them; see `passerby.score`.
        top: Items kept per query; at most G are.
        metric: `cosine` or `euclidean`.
        drop_same_camera: Leave out the query's own person in the query's own camera, as the Market rule does.
        device: `cpu`, or a CUDA device for the distances.

    Returns:
        Ranking of (Q, K) arrays, K = min(top, G).

    Raises:
        DataError: Naming the argument; see `distance_blocks`, and `top` below 1.
    """
    strips = iter_distances(query, gallery, distances, metric=metric, device=device)
    ranking, passing = record_ranking(query, gallery, strips, top=top, drop_same_camera=drop_same_camera)
    for _ in passing:
        pass
    return ranking


def record_ranking(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    strips: DistanceBlocks,
    *,
    top: int,
    drop_same_camera: bool = True,
) -> tuple[Ranking, Iterator[tuple[int, FloatArray]]]:
    """Blocks that fill rank lists as they pass, for those who score them too: distances can cost more than both.

    Returns:
        The ranking, complete once the iterator has ended, and the iterator of the same strips; what the lists leave
        out is at infinity in them.

    Raises:
        DataError: For `top` below 1.
    """
    if top < 1:
        raise DataError(f"top: got {top}, expected at least 1")
    shape = len(query), min(top, len(gallery))
    ranking = Ranking(
        np.full(shape, -1, dtype=np.int64), np.full(shape, np.nan, dtype=np.float32), np.zeros(shape, dtype=np.bool_)
    )
    index = IdentityIndex.from_labels(gallery.person_ids, gallery.camera_ids)

    def passing() -> Iterator[tuple[int, FloatArray]]:
        for first, strip in strips:
            rows = slice(first, first + len(strip))
            for q, row in enumerate(strip, start=first):
                dropped, _ = index.split(query.person_ids[q], query.camera_ids[q], drop_same_camera=drop_same_camera)
                row[dropped] = np.inf
            found, near = ranking.indices[rows], ranking.distances[rows]
            nearest(strip if isinstance(strip, np.ndarray) else strip.cpu().numpy(), found, near)
            people = query.person_ids[rows, None]
            ranking.matches[rows] = (found >= 0) & (gallery.person_ids[found] == people) & (people > 0)
            yield first, strip

    return ranking, passing()


@njit(nogil=True, cache=True)
def nearest(strip: Any, places: Any, distances: Any) -> None:
    """Fill (q, K) places and distances of the K smallest finite numbers of each row; -1 and NaN where there are fewer.

    By insertion: after the first few hardly any item gets in. Equal distances keep their order.
    """
    k = places.shape[1]
    for row in range(strip.shape[0]):
        near, found = np.full(k, np.inf, dtype=strip.dtype), places[row]
        found[:] = -1
        for g in range(strip.shape[1]):
            value = strip[row, g]
            if value < near[k - 1]:
                place = k - 1
                while place > 0 and near[place - 1] > value:
                    near[place], found[place] = near[place - 1], found[place - 1]
                    place -= 1
                near[place], found[place] = value, g
        for place in range(k):
            distances[row, place] = near[place] if found[place] >= 0 else np.nan
