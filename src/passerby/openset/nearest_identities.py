"""Distance of each query to the nearest image of each gallery identity: the input of all open-set metrics.

The Q x G distances pass in blocks, and (Q, I) numbers are kept. Needs the extra `eval` (numba). Dimension legend of
`types`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.compiled import njit
from passerby.errors import DataError
from passerby.evaluation.score import require_no_distractors
from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.distance import Metric
from passerby.ranking.matches import IdentityIndex
from passerby.types import DISTRACTOR, BoolArray, Embeddings, IntArray, Labels, Result, as_array


@dataclass(frozen=True, repr=False)
class NearestIdentities(Result):
    """Each query against each gallery identity, without images of the query's identity in its own camera.

    Attributes:
        query_ids: (Q,) identity of each query.
        gallery_ids: (I,) identities of the gallery, ascending; all distractors are one column, the first.
        images: (I,) number of gallery images of each identity.
        distances: (Q, I) distance to the nearest image of each identity, infinity without one.
        own: (Q,) distance to the nearest image of the query's identity, infinity without one.
        ahead: (Q, I) whether the nearest image of the identity ranks ahead of that of the query's identity; equal
            distances in gallery order. False for the query's identity.
    """

    query_ids: IntArray
    gallery_ids: IntArray
    images: IntArray
    distances: NDArray[np.floating[Any]]
    own: NDArray[np.floating[Any]]
    ahead: BoolArray

    @property
    def is_identity(self) -> BoolArray:
        """(I,) false for the column of the distractors."""
        return np.asarray(self.gallery_ids != DISTRACTOR)


def find_nearest_identities(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: ArrayLike | DistanceBlocks | None = None,
    metric: Metric = "cosine",
    device: str = "auto",
) -> NearestIdentities:
    """Find the nearest image of each gallery identity for each query, in one pass over the distances.

    Args:
        query: Q embeddings, identities from 1; `Labels` when `distances` are given.
        gallery: G embeddings, or `Labels`.
        distances: (Q, G) distances, or blocks of them, in place of those between the vectors; see `passerby.score`.
        metric: `cosine` or `euclidean`; not used with `distances`.
        device: As for `passerby.score`.

    Returns:
        NearestIdentities of (Q, I) arrays.

    Raises:
        DataError: Naming the argument: no image, queries that are distractors; see `distance_blocks`.

    Example:
        >>> query, gallery = Labels([1], [0]), Labels([1, 2, 2], [1, 1, 1])
        >>> find_nearest_identities(query, gallery, distances=[[0.3, 0.7, 0.2]]).distances.tolist()
        [[0.3, 0.2]]
    """
    for name, images in (("query", query), ("gallery", gallery)):
        if not len(images):
            raise DataError(f"{name}: got no image, expected at least one")
    require_no_distractors(query)
    identities, columns, counts = np.unique(gallery.person_ids, return_inverse=True, return_counts=True)
    index = IdentityIndex.from_labels(gallery.person_ids, gallery.camera_ids)
    shape = len(query), len(identities)
    near, own, ahead = np.empty(shape, np.float32), np.empty(shape[0], np.float32), np.empty(shape, np.bool_)
    for first, block in iter_distances(query, gallery, distances, metric=metric, device=device):
        matrix = as_array(block)
        if matrix.dtype != near.dtype:
            near, own = near.astype(matrix.dtype), own.astype(matrix.dtype)
        rows = slice(first, first + len(matrix))
        for row, identity, camera in zip(matrix, query.person_ids[rows], query.camera_ids[rows], strict=True):
            row[index.split(identity, camera)[0]] = np.inf
        nearest = np.empty((len(matrix), len(identities)), dtype=np.int64)
        _find_nearest(matrix, columns, near[rows], nearest)
        own[rows], ahead[rows] = _compare_to_own(near[rows], nearest, query.person_ids[rows], identities)
    return NearestIdentities(query.person_ids, identities, counts, near, own, ahead)


def _compare_to_own(
    near: NDArray[np.floating[Any]], nearest: IntArray, query_ids: IntArray, identities: IntArray
) -> tuple[NDArray[np.floating[Any]], BoolArray]:
    """(q,) distance to the own identity, and (q, I) identities ahead of it; `nearest` are the nearest images."""
    rows = np.arange(len(near))
    column = np.minimum(np.searchsorted(identities, query_ids), len(identities) - 1)
    own = np.where(identities[column] == query_ids, near[rows, column], np.inf)
    ties = (near == own[:, None]) & (nearest < nearest[rows, column][:, None]) & np.isfinite(near)
    return own, (near < own[:, None]) | ties


@njit(nogil=True, cache=True)
def _find_nearest(block: Any, columns: Any, near: Any, nearest: Any) -> None:
    """Fill (q, I) the smallest distance of each identity and its first gallery index; infinity and -1 without one."""
    near[:] = np.inf
    nearest[:] = -1
    for row in range(block.shape[0]):
        for g in range(block.shape[1]):
            if block[row, g] < near[row, columns[g]]:
                near[row, columns[g]] = block[row, g]
                nearest[row, columns[g]] = g
