"""Rank lists: the nearest gallery items of each query. Needs the extra `eval` (numba)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from passerby.compiled import njit
from passerby.errors import DataError
from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.distance import Metric
from passerby.ranking.matches import IdentityIndex
from passerby.types import Embeddings, FloatArray, Labels, Ranking, as_array


def rank(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: ArrayLike | DistanceBlocks | None = None,
    top: int = 10,
    metric: Metric = "cosine",
    drop_same_camera: bool = True,
    device: str = "auto",
) -> Ranking:
    """Find the first `top` gallery items of each query, nearest first; equal distances keep the gallery's order.

    Args:
        query: Q embeddings; `Labels` when `distances` are given.
        gallery: G embeddings, or `Labels`.
        distances: (Q, G) distances, or blocks of them, in place of those between the vectors; see `passerby.score`.
        top: Number of items per query; at most G are returned.
        metric: `cosine` or `euclidean`; not used with `distances`.
        drop_same_camera: Leave out items of the query's identity in the query's own camera, as the Market-1501
            protocol does.
        device: As for `passerby.score`.

    Returns:
        Ranking of (Q, K) arrays, K = min(top, G).

    Raises:
        DataError: Naming the argument; see `distance_blocks`; for `top` below 1.

    Example:
        >>> query = passerby.Embeddings([[1.0, 0.0]], [1], [0])
        >>> gallery = passerby.Embeddings([[0.0, 1.0], [1.0, 0.1], [1.0, 0.5]], [1, 2, 1], [1, 1, 1])
        >>> ranking = passerby.rank(query, gallery, top=2)
        >>> ranking.indices.tolist(), ranking.matches.tolist()
        ([[1, 2]], [[False, True]])
    """
    blocks = iter_distances(query, gallery, distances, metric=metric, device=device)
    ranking, recorded = record_ranking(query, gallery, blocks, top=top, drop_same_camera=drop_same_camera)
    for _ in recorded:
        pass
    return ranking


def record_ranking(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    blocks: DistanceBlocks,
    *,
    top: int,
    drop_same_camera: bool = True,
) -> tuple[Ranking, Iterator[tuple[int, FloatArray]]]:
    """Record rank lists while blocks of distances pass on to another reader, so that they are computed once.

    Args:
        query: Labels or embeddings of the Q queries.
        gallery: Labels or embeddings of the G items.
        blocks: Distances; see `iter_distances`.
        top: As for `rank`, likewise `drop_same_camera`.
        drop_same_camera: Leave out items of the query's identity in the query's own camera.

    Returns:
        The ranking, complete when the iterator has ended, and an iterator of the same blocks, in which items that the
        ranking leaves out are at infinity.

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

    def record() -> Iterator[tuple[int, FloatArray]]:
        for first, block in blocks:
            rows = slice(first, first + len(block))
            for q, row in enumerate(block, start=first):
                dropped, _ = index.split(query.person_ids[q], query.camera_ids[q], drop_same_camera=drop_same_camera)
                row[dropped] = np.inf
            items = ranking.indices[rows]
            _select_nearest(as_array(block), items, ranking.distances[rows])
            identities = query.person_ids[rows, None]
            ranking.matches[rows] = (items >= 0) & (gallery.person_ids[items] == identities) & (identities > 0)
            yield first, block

    return ranking, record()


@njit(nogil=True, cache=True)
def _select_nearest(block: Any, indices: Any, distances: Any) -> None:
    """Fill (q, K) indices and distances of the K smallest finite numbers of each row; -1 and NaN where there are fewer.

    By insertion, which is fast because few items enter the list after the first ones. Equal distances keep their order.
    """
    k = indices.shape[1]
    for row in range(block.shape[0]):
        nearest, items = np.full(k, np.inf, dtype=block.dtype), indices[row]
        items[:] = -1
        for g in range(block.shape[1]):
            value = block[row, g]
            if value < nearest[k - 1]:
                slot = k - 1
                while slot > 0 and nearest[slot - 1] > value:
                    nearest[slot], items[slot] = nearest[slot - 1], items[slot - 1]
                    slot -= 1
                nearest[slot], items[slot] = value, g
        for slot in range(k):
            distances[row, slot] = nearest[slot] if items[slot] >= 0 else np.nan
