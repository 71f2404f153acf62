"""Exact nearest neighbors of N vectors among themselves, without an N x N array. Needs the extra `eval` (numba).

A float32 product, of each half of the symmetric matrix once, selects a few candidates more than requested; their
distances are then summed in float64. A bound on the rounding error of the product identifies the lists that a vector
outside the candidates could belong to; these lists are computed again from all N distances. The lists are therefore
exact, ties included, at the cost of half a float32 product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.compiled import njit
from passerby.ranking.distance import Vectors
from passerby.types import IntArray, Result, as_array

_TILE = 2048  # vectors on each side of one product (16 MB)
_SPARE = 8  # candidates beyond k, so that few lists have to be computed again
_RUN = 64  # keys that are compared at once; few runs hold one that is near enough
_ROUNDING = 2.0**-24  # relative rounding error of float32


@dataclass(frozen=True, repr=False)
class Neighbors(Result):
    """Nearest neighbors of N vectors.

    Attributes:
        indices: (N, k) the k nearest vectors, nearest first, equal distances by index. A vector is its own neighbor at
            distance 0: the first of its list, except for equal vectors with a smaller index.
        farthest: (N,) float64 squared Euclidean distance to the farthest vector.
    """

    indices: IntArray
    farthest: NDArray[np.float64]


def find_neighbors(points: ArrayLike, *, k: int) -> Neighbors:
    """Find the k nearest of N vectors to each of them, itself included, by Euclidean distance.

    Args:
        points: (N, D) float32 or float64, finite.
        k: Number of neighbors, 1 to N.

    Returns:
        Neighbors with (N, k) indices.

    Example:
        >>> find_neighbors([[0.0], [1.0], [3.0]], k=2).indices.tolist()
        [[0, 1], [1, 0], [2, 1]]
    """
    vectors = as_array(points)
    assert 1 <= k <= len(vectors), (k, vectors.shape)
    count, width = vectors.shape
    kept = min(k + _SPARE, count)
    centered, scale = _center(vectors)
    halves = np.einsum("nd,nd->n", centered, centered, dtype=np.float64).astype(np.float32) / 2
    keys, candidates, farthest = _select_candidates(centered, halves, kept=kept)
    bound = halves + keys[:, -1].astype(np.float64)  # half the squared distance of the last candidate
    del centered, keys
    candidates.sort(axis=1)
    all_rows = np.arange(count, dtype=np.int64)
    squared = squared_distances(vectors, np.repeat(all_rows, kept), candidates.ravel()).reshape(count, kept)
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    indices = np.take_along_axis(candidates, order, axis=1)
    if kept < count:
        last = np.take_along_axis(squared, order[:, -1:], axis=1)[:, 0]
        is_exact = last / (2 * scale**2) < bound - (width + 8) * _ROUNDING
        for row in np.flatnonzero(~is_exact):
            distances = squared_distances(vectors, np.full(count, row), all_rows)
            indices[row] = np.argsort(distances, kind="stable")[:k]
    return Neighbors(indices, squared_distances(vectors, all_rows, farthest))


def squared_distances(points: Vectors, rows: IntArray, columns: IntArray) -> NDArray[np.float64]:
    """(M,) squared Euclidean distances of M pairs, summed in float64: equal vectors have equal distances."""
    squared = np.empty(len(rows))
    _square(points, rows, columns, squared)
    return squared


def _center(points: Vectors) -> tuple[NDArray[np.float32], float]:
    """Subtract the mean and divide by the largest length, where float32 has the best resolution; also the divisor."""
    center = points.mean(axis=0, dtype=np.float64)
    longest = 0.0
    for start in range(0, len(points), _TILE):
        tile = points[start : start + _TILE] - center
        longest = max(longest, float(np.einsum("nd,nd->n", tile, tile).max()))
    scale = np.sqrt(longest) or 1.0
    centered = np.empty(points.shape, dtype=np.float32)
    for start in range(0, len(points), _TILE):
        centered[start : start + _TILE] = (points[start : start + _TILE] - center) / scale
    return centered, scale


def _select_candidates(
    centered: NDArray[np.float32], halves: NDArray[np.float32], *, kept: int
) -> tuple[NDArray[np.float32], IntArray, IntArray]:
    """The `kept` smallest keys |b|^2 / 2 - a.b of each a, their indices, and the index of the largest key."""
    count = len(centered)
    keys, indices = np.full((count, kept), np.inf, dtype=np.float32), np.full((count, kept), -1, dtype=np.int64)
    highest, farthest = np.full(count, -np.inf, dtype=np.float32), np.zeros(count, dtype=np.int64)
    for a in range(0, count, _TILE):
        rows = slice(a, a + _TILE)
        for b in range(a, count, _TILE):
            columns = slice(b, b + _TILE)
            product = centered[rows] @ centered[columns].T
            _insert(product, halves[columns], b, keys[rows], indices[rows], highest[rows], farthest[rows])
            if b > a:
                product = np.ascontiguousarray(product.T)
                _insert(product, halves[rows], a, keys[columns], indices[columns], highest[columns], farthest[columns])
    return keys, indices, farthest


# With finite numbers in any order, minima and maxima become vector instructions.
@njit(nogil=True, cache=True, fastmath={"nnan", "nsz"})
def _insert(product: Any, halves: Any, first: Any, keys: Any, indices: Any, highest: Any, farthest: Any) -> None:
    """Insert near vectors into the sorted keys of each row, and update the farthest."""
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
                        keys[i, slot], indices[i, slot] = keys[i, slot - 1], indices[i, slot - 1]
                        slot -= 1
                    keys[i, slot], indices[i, slot] = key, first + j


# The order of a sum may change for speed. It is the same for every pair, so equal vectors have equal distances.
@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _square(points: Any, rows: Any, columns: Any, squared: Any) -> None:
    for i in range(len(rows)):
        a, b = points[rows[i]], points[columns[i]]
        total = 0.0
        for d in range(a.shape[0]):
            difference = np.float64(a[d]) - np.float64(b[d])
            total += difference * difference
        squared[i] = total
