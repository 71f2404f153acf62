"""k-reciprocal encoding (Zhong et al. 2017, sections 3.2 and 3.3): each image as a sparse row of weighted neighbors.

The sets of all images are stored one after the other in `members`; the set of image i is
`members[starts[i] : starts[i + 1]]`. Needs the extra `eval` (numba and scipy).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passerby.compiled import njit
from passerby.extras import require_extra
from passerby.ranking.distance import Vectors
from passerby.ranking.neighbors import Neighbors, squared_distances
from passerby.types import IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

sparse: Any = require_extra("scipy.sparse")


def encode_neighbors(vectors: Vectors, neighbors: Neighbors, *, half: int, power: int) -> csr_array:
    """Weight the expanded reciprocal neighbors of each image by exp(-distance), normalized to sum 1.

    Args:
        vectors: (N, D) vectors.
        neighbors: The k1 + 1 nearest neighbors of each.
        half: k1 / 2, rounded: number of neighbors of a neighbor that may be added.
        power: Exponent of the squared Euclidean distance, which is divided by the largest of each image first.

    Returns:
        (N, N) sparse rows of float32.
    """
    count, k = neighbors.indices.shape
    mutual = _find_reciprocal(neighbors.indices, k)
    closer = _find_reciprocal(neighbors.indices, min(half + 1, k))
    sizes, empty = np.empty(count, dtype=np.int64), np.empty(0, dtype=np.int64)
    _expand(mutual, closer, sizes, empty, empty)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    members = np.empty(starts[-1], dtype=np.int64)
    _expand(mutual, closer, sizes, starts, members)
    owners = np.repeat(np.arange(count), sizes)
    largest = np.where(neighbors.farthest > 0, neighbors.farthest, 1)  # of equal images every distance is 0
    weights = np.exp(-((squared_distances(vectors, owners, members) / largest[owners]) ** power))
    weights /= np.add.reduceat(weights, starts[:-1])[owners]
    rows: csr_array = sparse.csr_array((weights.astype(np.float32), members, starts), shape=(count, count))
    return rows


def average_neighbors(weights: csr_array, near: IntArray) -> csr_array:
    """Replace each row by the mean row of its first k2 neighbors, `near` (N, k2): local query expansion."""
    count, k2 = near.shape
    mean = np.full(near.size, 1 / k2, dtype=np.float32)
    selection = sparse.csr_array((mean, near.reshape(-1), np.arange(0, near.size + 1, k2)), shape=(count, count))
    averaged: csr_array = sparse.csr_array(selection @ weights)
    return averaged


@njit(nogil=True, cache=True)
def subtract_overlap(block: Any, first: Any, weights: Any, inverted: Any, fraction: Any) -> None:
    """Subtract `fraction` times the Jaccard similarity from a block of (q, G) distances, in place.

    Rows that sum to 1 overlap by s, the sum of minima, and their Jaccard similarity is s / (2 - s). Only gallery items
    with a common neighbor are visited: `inverted` lists them for each neighbor, so the size of the gallery has no
    effect.

    Args:
        block: (q, G) float32, of the queries from `first` on.
        first: First query of the block.
        weights: (starts, members, weights) of all images, queries first.
        inverted: (starts, items, weights): for each image, the gallery items that have it among their members.
        fraction: Fraction of the Jaccard distance in the result, 0 to 1.
    """
    starts, members, values = weights
    lists, items, item_values = inverted
    overlap = np.zeros(block.shape[1], dtype=np.float32)
    for row in range(block.shape[0]):
        begin, end = starts[first + row], starts[first + row + 1]
        for m in range(begin, end):
            for p in range(lists[members[m]], lists[members[m] + 1]):
                overlap[items[p]] += min(values[m], item_values[p])
        for m in range(begin, end):
            for p in range(lists[members[m]], lists[members[m] + 1]):
                common = overlap[items[p]]  # 0 after its first use
                block[row, items[p]] -= np.float32(fraction) * common / (np.float32(2) - common)
                overlap[items[p]] = 0


@njit(nogil=True, cache=True)
def _find_reciprocal(indices: Any, k: Any) -> Any:
    """Select those of the first k neighbors of each image that have it among their own first k."""
    starts = np.zeros(len(indices) + 1, dtype=np.int64)
    members = np.empty(len(indices) * k, dtype=np.int64)
    count = 0
    for i in range(len(indices)):
        for a in range(k):
            j = indices[i, a]
            for b in range(k):
                if indices[j, b] == i:
                    members[count] = j
                    count += 1
                    break
        starts[i + 1] = count
    return starts, members[:count].copy()


@njit(nogil=True, cache=True)
def _expand(mutual: Any, closer: Any, sizes: Any, out_starts: Any, out: Any) -> None:
    """Add the closer reciprocal set of each member when more than 2/3 of it are members already.

    With an empty `out`, only the sizes are counted. An image with more than k1 copies may not be among its own
    neighbors; its set is then the image itself.
    """
    (starts, members), (near_starts, near) = mutual, closer
    member_of = np.full(len(sizes), -1, dtype=np.int64)  # the last image whose set holds it
    added_to = np.full(len(sizes), -1, dtype=np.int64)
    for i in range(len(sizes)):
        for m in range(starts[i], starts[i + 1]):
            member_of[members[m]] = i
        size = 0
        for source in range(starts[i] - 1, starts[i + 1]):
            if source < starts[i]:  # the set itself comes first
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
                    if added_to[j] != i:
                        added_to[j] = i
                        if len(out):
                            out[out_starts[i] + size] = j
                        size += 1
        if size == 0:
            if len(out):
                out[out_starts[i]] = i
            size = 1
        sizes[i] = size
