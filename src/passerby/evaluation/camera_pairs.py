"""Which pair of cameras fails: each query searched in each other camera on its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.distance import Metric
from passerby.types import DISTRACTOR, Embeddings, FloatArray, IntArray, Labels


@dataclass(frozen=True)
class CameraPairs:
    """Rank-1 of the queries of one camera in the images of another alone.

    Attributes:
        query_cameras: (A,) camera ids of the queries, ascending.
        gallery_cameras: (B,) camera ids of the gallery, ascending.
        rank1: (A, B) share of valid queries whose nearest image of that camera shows their person, 0 to 1; NaN where
            no query is valid: within one camera always, as the Market rule counts no match there.
        valid: (A, B) queries whose person that camera saw.
    """

    query_cameras: IntArray
    gallery_cameras: IntArray
    rank1: NDArray[np.float64]
    valid: IntArray

    def busiest(self, count: int) -> CameraPairs:
        """The `count` query cameras and gallery cameras with the most valid queries, in the order of their ids."""
        rows, columns = (np.sort(np.argsort(-self.valid.sum(axis=axis), kind="stable")[:count]) for axis in (1, 0))
        both = np.ix_(rows, columns)
        return CameraPairs(self.query_cameras[rows], self.gallery_cameras[columns], self.rank1[both], self.valid[both])


def score_camera_pairs(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: FloatArray | DistanceBlocks | None = None,
    metric: Metric = "cosine",
    device: str = "cpu",
) -> CameraPairs:
    """Rank-1 by camera pair; at equal distances the earlier gallery item is the nearer.

    Args:
        query: Q vectors to look for; `Labels` when `distances` are given.
        gallery: G vectors to look in, or `Labels`.
        distances: (Q, G) distances in place of the vectors', or strips of them; infinity takes an item out.
        metric: `cosine` or `euclidean`; not used with `distances`.
        device: `cpu`, or a CUDA device for the distances.

    Raises:
        DataError: Naming the argument; see `distance_blocks`.
    """
    theirs, ours = np.unique(gallery.camera_ids, return_inverse=True)
    cameras, rows = np.unique(query.camera_ids, return_inverse=True)
    own = np.searchsorted(theirs, cameras)  # where a query camera stands among the gallery's, if it does
    own = np.where((own < len(theirs)) & (theirs[np.minimum(own, len(theirs) - 1)] == cameras), own, -1)
    counts = np.zeros((2, len(cameras), len(theirs)), dtype=np.int64)  # valid, found
    for first, given in iter_distances(query, gallery, distances, metric=metric, device=device):
        strip = given if isinstance(given, np.ndarray) else given.cpu().numpy()
        these = slice(first, first + len(strip))
        _count(strip, query.person_ids[these], rows[these], own, gallery.person_ids, ours, counts)
    valid, found = counts
    rank1 = np.divide(found, valid, out=np.full(valid.shape, np.nan), where=valid > 0)
    return CameraPairs(cameras, theirs, rank1, valid)


@njit(nogil=True, cache=True)
def _count(strip: Any, people: Any, rows: Any, own: Any, gallery_people: Any, cameras: Any, counts: Any) -> None:
    """Add a strip's queries to (2, A, B) counts of valid ones and of those found at rank 1."""
    columns = counts.shape[2]
    for q in range(strip.shape[0]):
        nearest = np.full(columns, np.inf, dtype=strip.dtype)
        right = np.zeros(columns, dtype=np.bool_)
        seen = np.zeros(columns, dtype=np.bool_)
        for g in range(strip.shape[1]):
            camera, distance = cameras[g], strip[q, g]
            if distance == np.inf:
                continue
            same = gallery_people[g] == people[q] and people[q] != DISTRACTOR
            seen[camera] |= same
            if distance < nearest[camera]:
                nearest[camera], right[camera] = distance, same
        for camera in range(columns):
            if seen[camera] and camera != own[rows[q]]:
                counts[0, rows[q], camera] += 1
                counts[1, rows[q], camera] += right[camera]
