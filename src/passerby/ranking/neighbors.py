"""The nearest of N vectors to each of them, and the distance of the farthest; no N x N array exists.

A float32 product, each half of the symmetric matrix once, picks a few candidates more than asked for; their distances
are then summed again in float64. A bound on what rounding can do to the product says where a vector that was not picked
could belong in the list: those lists are made again, from all N distances. So lists are exact, ties included, at the
price of half a float32 product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from passerby.ranking.distance import Vectors
from passerby.types import IntArray

_TILE = 2048  # vectors on each side of one product (16 MB)
_SPARE = 8  # candidates beyond k, so that rounding rarely leaves a list in doubt
_RUN = 64  # keys that are compared at once; few runs hold one that is near enough
_ROUNDING = 2.0**-24  # of float32, relative


@dataclass(frozen=True)
class Neighbors:
    """Who is nearest to each of N vectors.

    Attributes:
        indices: (N, k) the k nearest, nearest first, equal distances by place. A vector is its own neighbor, at
            distance 0, and first in its list but for equal vectors before it.
        farthest: (N,) float64 squared Euclidean distance to the farthest vector.
    """

    indices: IntArray
    farthest: NDArray[np.float64]


def find_neighbors(points: Vectors, *, k: int) -> Neighbors:
    """The k nearest of each vector among all of them, itself included, by Euclidean distance.

    Args:
        points: (N, D) float32 or float64, finite.
        k: Neighbors of each, 1 to N.

    Returns:
        Neighbors of (N, k) places.
    """
    assert 1 <= k <= len(points), (k, points.shape)
    count, width = points.shape
    kept = min(k + _SPARE, count)
    centered, scale = _centered(points)
    halves = np.einsum("nd,nd->n", centered, centered, dtype=np.float64).astype(np.float32) / 2
    keys, places, farthest = _candidates(centered, halves, kept=kept)
    worst = halves + keys[:, -1].astype(np.float64)  # half the squared distance of the last candidate
    del centered, keys
    places.sort(axis=1)
    all_rows = np.arange(count, dtype=np.int64)
    squared = squared_distances(points, np.repeat(all_rows, kept), places.ravel()).reshape(count, kept)
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    found = np.take_along_axis(places, order, axis=1)
    if kept < count:
        last = np.take_along_axis(squared, order[:, -1:], axis=1)[:, 0]
        sure = last / (2 * scale**2) < worst - (width + 8) * _ROUNDING
        for row in np.flatnonzero(~sure):
            found[row] = np.argsort(squared_distances(points, np.full(count, row), all_rows), kind="stable")[:k]
    return Neighbors(found, squared_distances(points, all_rows, farthest))


def squared_distances(points: Vectors, rows: IntArray, columns: IntArray) -> NDArray[np.float64]:
    """(M,) squared Euclidean distances of M pairs, summed in float64: equal vectors are at equal distances."""
    squared = np.empty(len(rows))
    _square(points, rows, columns, squared)
    return squared


def _centered(points: Vectors) -> tuple[NDArray[np.float32], float]:
    """The cloud around its mean, shrunk to length 1 at most, where float32 resolves most; and by how much."""
    center = points.mean(axis=0, dtype=np.float64)
    longest = 0.0
    for start in range(0, len(points), _TILE):
        some = points[start : start + _TILE] - center
        longest = max(longest, float(np.einsum("nd,nd->n", some, some).max()))
    scale = np.sqrt(longest) or 1.0
    centered = np.empty(points.shape, dtype=np.float32)
    for start in range(0, len(points), _TILE):
        centered[start : start + _TILE] = (points[start : start + _TILE] - center) / scale
    return centered, scale


def _candidates(
    centered: NDArray[np.float32], halves: NDArray[np.float32], *, kept: int
) -> tuple[NDArray[np.float32], IntArray, IntArray]:
    """The `kept` smallest keys |b|^2 / 2 - a.b of each a with their places, and the place of its largest."""
    count = len(centered)
    keys, places = np.full((count, kept), np.inf, dtype=np.float32), np.full((count, kept), -1, dtype=np.int64)
    highest, farthest = np.full(count, -np.inf, dtype=np.float32), np.zeros(count, dtype=np.int64)
    for a in range(0, count, _TILE):
        ours = slice(a, a + _TILE)
        for b in range(a, count, _TILE):
            others = slice(b, b + _TILE)
            product = centered[ours] @ centered[others].T
            _keep(product, halves[others], b, keys[ours], places[ours], highest[ours], farthest[ours])
            if b > a:
                product = np.ascontiguousarray(product.T)
                _keep(product, halves[ours], a, keys[others], places[others], highest[others], farthest[others])
    return keys, places, farthest


# Finite numbers only, in any order: minima and maxima become vector instructions.
@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def _keep(product: Any, halves: Any, first: Any, keys: Any, places: Any, highest: Any, farthest: Any) -> None:
    """Put what is near enough among each row's sorted keys, and remember the farthest."""
    width = halves.shape[0]
    for i in range(product.shape[0]):
        row = product[i]
        for start in range(0, width, _RUN):
            stop = min(start + _RUN, width)
            low, high = np.float32(np.inf), np.float32(-np.inf)
            for j in range(start, stop):
                key = halves[j] - row[j]
                low, high = min(low, key), max(high, key)
            if high > highest[i]:
                highest[i] = high
                for j in range(start, stop):
                    if halves[j] - row[j] == high:
                        farthest[i] = first + j
            if low >= keys[i, -1]:
                continue
            for j in range(start, stop):
                key = halves[j] - row[j]
                if key < keys[i, -1]:
                    slot = keys.shape[1] - 1
                    while slot > 0 and keys[i, slot - 1] > key:
                        keys[i, slot], places[i, slot] = keys[i, slot - 1], places[i, slot - 1]
                        slot -= 1
                    keys[i, slot], places[i, slot] = key, first + j


# Sums in whatever order is fast; the same for every pair, so that equal vectors stay at equal distances.
@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _square(points: Any, rows: Any, columns: Any, squared: Any) -> None:
    for i in range(len(rows)):
        a, b = points[rows[i]], points[columns[i]]
        total = 0.0
        for d in range(a.shape[0]):
            apart = np.float64(a[d]) - np.float64(b[d])
            total += apart * apart
        squared[i] = total
