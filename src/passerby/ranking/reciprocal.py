"""Each image described by its reciprocal neighbors (Zhong et al. 2017, section 3.2 and 3.3), as a sparse row.

Sets of all images lie one after the other in `members`; image i's are `members[starts[i] : starts[i + 1]]`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from scipy.sparse import csr_array

from passerby.ranking.distance import Vectors
from passerby.ranking.neighbors import Neighbors, squared_distances
from passerby.types import IntArray


def describe(vectors: Vectors, found: Neighbors, *, half: int, power: int) -> csr_array:
    """Weights of each image's expanded reciprocal neighbors: exp(-distance), summing to 1.

    Args:
        vectors: (N, D).
        found: Their k1 + 1 nearest.
        half: k1 / 2, rounded: neighbors of neighbors that may join.
        power: Of the squared Euclidean distance; every image's distances are divided by its largest.

    Returns:
        (N, N) sparse rows of float32.
    """
    count, k = found.indices.shape
    mutual, closer = _reciprocal(found.indices, k), _reciprocal(found.indices, min(half + 1, k))
    sizes, nothing = np.empty(count, dtype=np.int64), np.empty(0, dtype=np.int64)
    _expand(mutual, closer, sizes, nothing, nothing)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    members = np.empty(starts[-1], dtype=np.int64)
    _expand(mutual, closer, sizes, starts, members)
    owners = np.repeat(np.arange(count), sizes)
    largest = np.where(found.farthest > 0, found.farthest, 1)  # all images alike: every distance is 0
    weights = np.exp(-((squared_distances(vectors, owners, members) / largest[owners]) ** power))
    weights /= np.add.reduceat(weights, starts[:-1])[owners]
    return csr_array((weights.astype(np.float32), members, starts), shape=(count, count))


def average_neighbors(weights: csr_array, near: IntArray) -> csr_array:
    """Local query expansion: each image gets the mean description of its first k2 neighbors, `near` (N, k2)."""
    count, k2 = near.shape
    mean = np.full(near.size, 1 / k2, dtype=np.float32)
    chosen = csr_array((mean, near.reshape(-1), np.arange(0, near.size + 1, k2)), shape=(count, count))
    return csr_array(chosen @ weights)


@njit(nogil=True, cache=True)
def subtract_overlap(strip: Any, first: Any, weights: Any, inverted: Any, share: Any) -> None:
    """Subtract `share` times the Jaccard similarity from a strip of (q, G) distances, in place.

    Rows that sum to 1 overlap by s = sum of minima, and their Jaccard similarity is s / (2 - s). Only gallery items
    with a neighbor in common are touched: `inverted` lists them for each neighbor, however large the gallery is.

    Args:
        strip: (q, G) float32, of the queries from `first` on.
        first: The strip's first query.
        weights: (starts, members, weights) of all images, queries first.
        inverted: (starts, items, weights): for each image, the gallery items that have it among their members.
        share: Of the Jaccard distance in the result.
    """
    starts, members, values = weights
    lists, items, others = inverted
    overlap = np.zeros(strip.shape[1], dtype=np.float32)
    for row in range(strip.shape[0]):
        begin, end = starts[first + row], starts[first + row + 1]
        for m in range(begin, end):
            for p in range(lists[members[m]], lists[members[m] + 1]):
                overlap[items[p]] += min(values[m], others[p])
        for m in range(begin, end):
            for p in range(lists[members[m]], lists[members[m] + 1]):
                common = overlap[items[p]]  # 0 once it has been used
                strip[row, items[p]] -= np.float32(share) * common / (np.float32(2) - common)
                overlap[items[p]] = 0


@njit(nogil=True, cache=True)
def _reciprocal(places: Any, k: Any) -> Any:
    """Those of each image's first k neighbors that have it among their own first k."""
    starts = np.zeros(len(places) + 1, dtype=np.int64)
    members = np.empty(len(places) * k, dtype=np.int64)
    count = 0
    for i in range(len(places)):
        for a in range(k):
            j = places[i, a]
            for b in range(k):
                if places[j, b] == i:
                    members[count] = j
                    count += 1
                    break
        starts[i + 1] = count
    return starts, members[:count].copy()


@njit(nogil=True, cache=True)
def _expand(mutual: Any, closer: Any, sizes: Any, out_starts: Any, out: Any) -> None:
    """Add the closer reciprocal set of each member when more than 2/3 of it are members already.

    With an empty `out` only the sizes are counted. An image that has more than k1 copies may not be among its own
    neighbors: then it is described by itself.
    """
    (starts, members), (near_starts, near) = mutual, closer
    member_of = np.full(len(sizes), -1, dtype=np.int64)  # the image whose set it was last put in
    joined = np.full(len(sizes), -1, dtype=np.int64)
    for i in range(len(sizes)):
        for m in range(starts[i], starts[i + 1]):
            member_of[members[m]] = i
        size = 0
        for source in range(starts[i] - 1, starts[i + 1]):
            if source < starts[i]:  # first the set itself, or the image when the set is empty
                begin, end, kept = starts[i], starts[i + 1], True
            else:
                begin, end = near_starts[members[source]], near_starts[members[source] + 1]
                common = 0
                for n in range(begin, end):
                    common += member_of[near[n]] == i
                kept = 3 * common > 2 * (end - begin)
            if kept:
                for n in range(begin, end):
                    j = members[n] if source < starts[i] else near[n]
                    if joined[j] != i:
                        joined[j] = i
                        if len(out):
                            out[out_starts[i] + size] = j
                        size += 1
        if size == 0:
            if len(out):
                out[out_starts[i]] = i
            size = 1
        sizes[i] = size
