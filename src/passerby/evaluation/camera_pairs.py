"""Rank-1 by pair of cameras: each query is searched in each other camera separately. Needs the extra `eval` (numba)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.compiled import njit
from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.distance import Metric
from passerby.types import DISTRACTOR, Embeddings, IntArray, Labels, Result, as_array


@dataclass(frozen=True, repr=False)
class CameraPairs(Result):
    """Rank-1 of the queries of one camera among the gallery images of another.

    Attributes:
        query_cameras: (A,) camera ids of the queries, ascending.
        gallery_cameras: (B,) camera ids of the gallery, ascending.
        rank1: (A, B) fraction of valid queries whose nearest image of that camera has their identity, 0 to 1; NaN where
            no query is valid, which includes the same camera on both sides.
        valid: (A, B) number of queries with an image of their identity in that camera.
    """

    query_cameras: IntArray
    gallery_cameras: IntArray
    rank1: NDArray[np.float64]
    valid: IntArray

    def busiest(self, count: int) -> CameraPairs:
        """Select the `count` query and gallery cameras with the most valid queries, in the order of their ids."""
        rows, columns = (np.sort(np.argsort(-self.valid.sum(axis=axis), kind="stable")[:count]) for axis in (1, 0))
        both = np.ix_(rows, columns)
        return CameraPairs(self.query_cameras[rows], self.gallery_cameras[columns], self.rank1[both], self.valid[both])


def score_camera_pairs(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: ArrayLike | DistanceBlocks | None = None,
    metric: Metric = "cosine",
    device: str = "auto",
) -> CameraPairs:
    """Compute Rank-1 for each pair of cameras; at equal distances the earlier gallery item is first.

    Args:
        query: Q embeddings; `Labels` when `distances` are given.
        gallery: G embeddings, or `Labels`.
        distances: (Q, G) distances, or blocks of them, in place of those between the vectors; infinity excludes an
            item.
        metric: `cosine` or `euclidean`; not used with `distances`.
        device: As for `passerby.score`.

    Returns:
        CameraPairs of (A, B) arrays.

    Raises:
        DataError: Naming the argument; see `distance_blocks`.

    Example:
        >>> query, gallery = Labels([1, 2], [0, 0]), Labels([1, 2], [1, 1])
        >>> score_camera_pairs(query, gallery, distances=[[0.1, 0.9], [0.2, 0.8]]).rank1.tolist()
        [[0.5]]
    """
    gallery_cameras, columns = np.unique(gallery.camera_ids, return_inverse=True)
    query_cameras, rows = np.unique(query.camera_ids, return_inverse=True)
    own = np.minimum(np.searchsorted(gallery_cameras, query_cameras), len(gallery_cameras) - 1)
    own = np.where(gallery_cameras[own] == query_cameras, own, -1)  # (A,) column of the same camera, -1 without one
    counts = np.zeros((2, len(query_cameras), len(gallery_cameras)), dtype=np.int64)  # valid, correct
    for first, block in iter_distances(query, gallery, distances, metric=metric, device=device):
        queries = slice(first, first + len(block))
        _count(as_array(block), query.person_ids[queries], rows[queries], own, gallery.person_ids, columns, counts)
    valid, correct = counts
    rank1 = np.divide(correct, valid, out=np.full(valid.shape, np.nan), where=valid > 0)
    return CameraPairs(query_cameras, gallery_cameras, rank1, valid)


@njit(nogil=True, cache=True)
def _count(
    block: Any, identities: Any, rows: Any, own: Any, gallery_identities: Any, columns: Any, counts: Any
) -> None:
    """Add the queries of a block to (2, A, B) counts of valid queries and of those with a match at rank 1."""
    cameras = counts.shape[2]
    for q in range(block.shape[0]):
        nearest = np.full(cameras, np.inf, dtype=block.dtype)
        is_match = np.zeros(cameras, dtype=np.bool_)
        has_match = np.zeros(cameras, dtype=np.bool_)
        for g in range(block.shape[1]):
            camera, distance = columns[g], block[q, g]
            if distance == np.inf:
                continue
            same = gallery_identities[g] == identities[q] and identities[q] != DISTRACTOR
            has_match[camera] |= same
            if distance < nearest[camera]:
                nearest[camera], is_match[camera] = distance, same
        for camera in range(cameras):
            if has_match[camera] and camera != own[rows[q]]:
                counts[0, rows[q], camera] += 1
                counts[1, rows[q], camera] += is_match[camera]
