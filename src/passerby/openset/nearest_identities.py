"""How near the nearest image of every gallery person is to each query: what open-set figures are made of.

Dimension legend of `types`; the Q x G distances pass in strips, and only (Q, I) numbers are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.evaluation.score import require_no_distractors
from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.distance import Metric
from passerby.ranking.matches import IdentityIndex
from passerby.types import DISTRACTOR, BoolArray, Embeddings, FloatArray, IntArray, Labels


@dataclass(frozen=True)
class NearestIdentities:
    """Each query against each gallery person, images of the query's person in its own camera left out.

    Attributes:
        query_ids: (Q,) person of each query.
        people: (I,) persons of the gallery, ascending; distractors, if any, are the first: one column for them all.
        images: (I,) gallery images of each.
        distances: (Q, I) distance to the nearest image of each, infinite where none is left.
        own: (Q,) distance to the nearest image of the query's own person, infinite where none is left.
        ahead: (Q, I) whether that image stands before the nearest of the query's own person in a ranked list, equal
            distances in gallery order. Never true of the own person.
    """

    query_ids: IntArray
    people: IntArray
    images: IntArray
    distances: NDArray[np.floating[Any]]
    own: NDArray[np.floating[Any]]
    ahead: BoolArray

    @property
    def strangers(self) -> BoolArray:
        """(I,) true for the people who are somebody: all but the distractors' column."""
        return np.asarray(self.people != DISTRACTOR)


def find_nearest_identities(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: FloatArray | DistanceBlocks | None = None,
    metric: Metric = "cosine",
    device: str = "cpu",
) -> NearestIdentities:
    """Pass over the distances once and keep each person's nearest image.

    Args:
        query: Q vectors to look for, people numbered from 1; `Labels` when `distances` are given.
        gallery: G vectors to look in, or `Labels`.
        distances: (Q, G) distances in place of the vectors', or strips of them; see `passerby.score`.
        metric: `cosine` or `euclidean`; not used with `distances`.
        device: `cpu`, or a CUDA device for the distances.

    Returns:
        NearestIdentities of (Q, I) arrays; nothing of Q x G is kept.

    Raises:
        DataError: Naming the argument: empty, queries that are distractors; see `distance_blocks`.
    """
    for name, each in (("query", query), ("gallery", gallery)):
        if not len(each):
            raise DataError(f"{name}: got no image, expected at least one")
    require_no_distractors(query)
    people, columns, images = np.unique(gallery.person_ids, return_inverse=True, return_counts=True)
    index = IdentityIndex.from_labels(gallery.person_ids, gallery.camera_ids)
    strips = iter_distances(query, gallery, distances, metric=metric, device=device)
    shape = len(query), len(people)
    near, own, ahead = np.empty(shape, np.float32), np.empty(shape[0], np.float32), np.empty(shape, np.bool_)
    for first, given in strips:
        strip = given if isinstance(given, np.ndarray) else given.cpu().numpy()
        if strip.dtype != near.dtype:
            near, own = near.astype(strip.dtype), own.astype(strip.dtype)
        rows = slice(first, first + len(strip))
        for row, person, camera in zip(strip, query.person_ids[rows], query.camera_ids[rows], strict=True):
            row[index.split(person, camera)[0]] = np.inf
        where = np.empty((len(strip), len(people)), dtype=np.int64)
        _nearest(strip, columns, near[rows], where)
        own[rows], ahead[rows] = _against_own(near[rows], where, _column_of(query.person_ids[rows], people))
    return NearestIdentities(query.person_ids, people, images, near, own, ahead)


def _against_own(
    near: NDArray[np.floating[Any]], where: IntArray, column: IntArray
) -> tuple[NDArray[np.floating[Any]], BoolArray]:
    """(q,) distance to the own person, and (q, I) who stands before; `where` is the place of each nearest image."""
    rows, there = np.arange(len(near)), column >= 0
    own = np.where(there, near[rows, column], np.inf)
    place = where[rows, column][:, None]
    ahead = (near < own[:, None]) | ((near == own[:, None]) & (where < place) & np.isfinite(near))
    return own, ahead


def _column_of(person_ids: IntArray, people: IntArray) -> IntArray:
    """(q,) place of each person among `people`, -1 for who is not there."""
    column = np.minimum(np.searchsorted(people, person_ids), len(people) - 1)
    return np.where(people[column] == person_ids, column, -1)


@njit(nogil=True, cache=True)
def _nearest(strip: Any, columns: Any, near: Any, where: Any) -> None:
    """Fill (q, I) the smallest distance in each column's group and its first place; infinite and -1 for none."""
    near[:] = np.inf
    where[:] = -1
    for row in range(strip.shape[0]):
        for g in range(strip.shape[1]):
            if strip[row, g] < near[row, columns[g]]:
                near[row, columns[g]] = strip[row, g]
                where[row, columns[g]] = g
