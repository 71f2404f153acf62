"""Average-linkage agglomeration of sightings on a sparse graph, under must-links and cannot-links.

Two clusters are joined while the mean log odds of their pairs are highest and at least 0, best first. Each mean is
exact: the mean of products of vectors is the product of the clusters' sums. Only pairs of clusters with an edge of
the neighbor graph between them are compared (Dhulipala, Eisenstat, Lacki, Mirrokni, Shi, "Hierarchical agglomerative
graph clustering in nearly-linear time", ICML 2021).

Must-links are applied after the first pass, not before it: a link between two crops then joins their two clusters. A
union-find over clusters and must-links keeps every join within the cannot-links
that follow from transitivity.

N sightings   F features   E edges   G groups
"""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from passerby.compiled import njit
from passerby.types import FloatArray, IntArray


class Merges(NamedTuple):
    """Joins of an agglomeration of N sightings, in their order: join j makes the node N + j.

    Attributes:
        left: (J,) node of one side: a sighting below N, an earlier join from N.
        right: (J,) node of the other side.
        log_odds: (J,) mean log odds of the pairs between the sides; infinity for a must-link.
        roots: (N,) node that contains each sighting at the end.
    """

    left: IntArray
    right: IntArray
    log_odds: NDArray[np.float64]
    roots: IntArray


def agglomerate(
    queries: FloatArray,
    keys: FloatArray,
    edges: tuple[IntArray, IntArray],
    *,
    must: IntArray,
    cannot: IntArray,
    names: IntArray | None = None,
    floor: float = 0.0,
) -> tuple[Merges, IntArray]:
    """Join sightings while the mean log odds are at least `floor`.

    Args:
        queries: (N, F) factors of the log odds: those of the pair i, j are the product of row i of `queries` and row j
            of `keys`, the same for j, i.
        keys: (N, F) the other factors.
        edges: Start of each sighting's neighbors (N + 1,) and the neighbors (E,), in both directions.
        must: (L, 2) pairs in one group, consistent with `cannot`.
        cannot: (L, 2) pairs in different groups.
        names: (N,) sightings with different numbers are in different groups; -1 for any group. Consistent with `must`.
        floor: Least log odds of a join.

    Returns:
        The joins, and (N,) the node of each sighting when the first pass ended, before must-links.

    Example:
        >>> points = np.array([[1.0], [1.0], [-1.0]], np.float32)  # log odds 1 within a side, -1 across
        >>> graph = np.array([0, 2, 4, 6]), np.array([1, 2, 0, 2, 0, 1])
        >>> none = np.empty((0, 2), np.int64)
        >>> merges, _ = agglomerate(points, points, graph, must=none, cannot=none)
        >>> merges.roots.tolist()
        [3, 3, 2]
    """
    left, right, log_odds, roots, first = _agglomerate(
        np.ascontiguousarray(queries, np.float32),
        np.ascontiguousarray(keys, np.float32),
        edges[0].astype(np.int64),
        edges[1].astype(np.int64),
        np.ascontiguousarray(must, np.int64).reshape(-1, 2),
        np.ascontiguousarray(cannot, np.int64).reshape(-1, 2),
        np.full(len(queries), -1) if names is None else np.array(names, np.int64),
        float(floor),
    )
    return Merges(left, right, log_odds, roots), first


def rate_joins(queries: FloatArray, keys: FloatArray, merges: Merges) -> NDArray[np.float64]:
    """Compute the mean log odds of the pairs between the sides of each join, as other factors give them.

    Args:
        queries: (N, F) factors of the log odds, as for `agglomerate`.
        keys: (N, F) the other factors.
        merges: Joins of N sightings.

    Returns:
        (J,) mean log odds, of must-links too.

    Example:
        >>> points = np.array([[1.0], [1.0], [-1.0]], np.float32)
        >>> merges = Merges(np.array([0, 3]), np.array([1, 2]), np.array([1.0, np.inf]), np.full(3, 4))
        >>> rate_joins(points, 2 * points, merges).tolist()
        [2.0, -2.0]
    """
    first, second = (np.array(factors, np.float32, order="C") for factors in (queries, keys))
    return np.asarray(_rate_joins(first, second, merges.left, merges.right), np.float64)


class _Clusters(NamedTuple):
    """Clusters by root; a root is one of the members.

    Attributes:
        parent: (N,) union-find of clusters.
        closure: (N,) union-find of clusters and must-links.
        names: (N,) name of each closure, -1 without one.
        queries: (N, F) sum of the factors of each root.
        keys: (N, F) likewise.
        size: (N,) members.
        version: (N,) number of joins, which invalidates pairs on the heap.
        node: (N,) node of the tree of joins.
        member_next: (N,) chain of members.
        member_last: (N,) its end.
    """

    parent: Any
    closure: Any
    names: Any
    queries: Any
    keys: Any
    size: Any
    version: Any
    node: Any
    member_next: Any
    member_last: Any


class _Walls(NamedTuple):
    """Cannot-links of each closure: a chain of link ends.

    Attributes:
        first: (N,) first link of each closure, -1 without one.
        last: (N,) last link.
        following: (2 C,) next link.
        other: (2 C,) sighting on the other side.
    """

    first: Any
    last: Any
    following: Any
    other: Any


@njit(nogil=True, cache=True)
def _find(parent: Any, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@njit(nogil=True, cache=True, fastmath={"reassoc", "contract"})
def _mean_product(a: Any, b: Any, count: float) -> Any:
    total = np.float32(0.0)
    for f in range(a.shape[0]):
        total += a[f] * b[f]
    return total / count


@njit(nogil=True, cache=True)
def _agglomerate(
    queries: Any, keys: Any, starts: Any, neighbors: Any, must: Any, cannot: Any, names: Any, floor: float
) -> tuple[Any, Any, Any, Any, Any]:
    n = len(queries)
    clusters = _Clusters(
        np.arange(n),
        np.arange(n),
        names,
        queries.copy(),
        keys.copy(),
        np.ones(n),
        np.zeros(n, np.int64),
        np.arange(n),
        np.full(n, -1),
        np.arange(n),
    )
    walls = _build_walls(cannot, n)
    for m in range(len(must)):
        _join_closures(clusters, walls, must[m, 0], must[m, 1])
    left, right, log_odds = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n)
    joins = _join_near(clusters, walls, starts, neighbors, floor, left, right, log_odds, 0)
    first_pass = _list_nodes(clusters)
    for m in range(len(must)):
        a, b = _find(clusters.parent, must[m, 0]), _find(clusters.parent, must[m, 1])
        if a != b:
            left[joins], right[joins], log_odds[joins] = clusters.node[a], clusters.node[b], np.inf
            _join(clusters, a, b, n + joins)
            joins += 1
    joins = _join_near(clusters, walls, starts, neighbors, floor, left, right, log_odds, joins)
    return left[:joins].copy(), right[:joins].copy(), log_odds[:joins].copy(), _list_nodes(clusters), first_pass


@njit(nogil=True, cache=True)
def _build_walls(cannot: Any, n: int) -> Any:
    walls = _Walls(np.full(n, -1), np.full(n, -1), np.full(2 * len(cannot), -1), np.empty(2 * len(cannot), np.int64))
    for c in range(len(cannot)):
        for side in range(2):
            link, owner = 2 * c + side, cannot[c, side]
            walls.other[link] = cannot[c, 1 - side]
            walls.following[link] = walls.first[owner]
            if walls.first[owner] < 0:
                walls.last[owner] = link
            walls.first[owner] = link
    return walls


@njit(nogil=True, cache=True)
def _join_closures(clusters: Any, walls: Any, x: int, y: int) -> bool:
    """Join the closures of x and y unless a cannot-link or two names separate them; return whether they are one."""
    closure, names = clusters.closure, clusters.names
    a, b = _find(closure, x), _find(closure, y)
    if a == b:
        return True
    if names[a] >= 0 and names[b] >= 0 and names[a] != names[b]:
        return False
    link = walls.first[a]
    while link >= 0:
        if _find(closure, walls.other[link]) == b:
            return False
        link = walls.following[link]
    closure[b] = a
    names[a] = max(names[a], names[b])
    if walls.first[b] >= 0:
        if walls.first[a] < 0:
            walls.first[a] = walls.first[b]
        else:
            walls.following[walls.last[a]] = walls.first[b]
        walls.last[a] = walls.last[b]
    return True


@njit(nogil=True, cache=True)
def _join_near(
    clusters: Any,
    walls: Any,
    starts: Any,
    neighbors: Any,
    floor: float,
    left: Any,
    right: Any,
    log_odds: Any,
    joins: int,
) -> int:
    """Join clusters, nearest first, from join number `joins`; return the number of joins."""
    n = len(clusters.parent)
    mark = np.full(n, -1)  # cluster a marks those that it has been compared with
    heap = [(0.0, 0, 0, 0, 0) for _ in range(0)]
    for a in range(n):
        if clusters.parent[a] == a:
            _push(clusters, a, True, heap, floor, starts, neighbors, mark, a)
    while heap:
        value, a, b, version_a, version_b = heapq.heappop(heap)
        if clusters.parent[a] != a or clusters.parent[b] != b:
            continue
        if clusters.version[a] != version_a or clusters.version[b] != version_b:
            continue
        if not _join_closures(clusters, walls, a, b):
            continue
        left[joins], right[joins], log_odds[joins] = clusters.node[a], clusters.node[b], -value
        _join(clusters, a, b, n + joins)
        joins += 1
        _push(clusters, a, False, heap, floor, starts, neighbors, mark, n + joins)
    return joins


@njit(nogil=True, cache=True)
def _join(clusters: Any, a: int, b: int, node: int) -> None:
    clusters.parent[b] = a
    clusters.queries[a] += clusters.queries[b]
    clusters.keys[a] += clusters.keys[b]
    clusters.size[a] += clusters.size[b]
    clusters.version[a] += 1
    clusters.member_next[clusters.member_last[a]] = b
    clusters.member_last[a] = clusters.member_last[b]
    clusters.node[a] = node


@njit(nogil=True, cache=True)
def _push(
    clusters: Any, a: int, once: bool, heap: Any, floor: float, starts: Any, neighbors: Any, mark: Any, stamp: int
) -> None:
    """Push the pairs of cluster a and its neighbors; with `once` only those of higher number."""
    member = a
    while member >= 0:
        for e in range(starts[member], starts[member + 1]):
            b = _find(clusters.parent, neighbors[e])
            if b == a or mark[b] == stamp or (once and b < a):
                continue
            mark[b] = stamp
            pairs = clusters.size[a] * clusters.size[b]
            value = _mean_product(clusters.queries[a], clusters.keys[b], pairs)
            if value >= floor:
                heapq.heappush(heap, (-value, a, b, clusters.version[a], clusters.version[b]))
        member = clusters.member_next[member]


@njit(nogil=True, cache=True)
def _list_nodes(clusters: Any) -> Any:
    """(N,) node of the tree that contains each sighting."""
    nodes = np.empty(len(clusters.parent), np.int64)
    for i in range(len(nodes)):
        nodes[i] = clusters.node[_find(clusters.parent, i)]
    return nodes


@njit(nogil=True, cache=True)
def _rate_joins(queries: Any, keys: Any, left: Any, right: Any) -> Any:
    """`rate_joins`; the sums of a node replace the factors of its first sighting."""
    count = len(queries)
    rows = np.arange(count + len(left))  # row of the sums of each node
    size, means = np.ones(count), np.empty(len(left))
    for j in range(len(left)):
        a, b = rows[left[j]], rows[right[j]]
        means[j] = _mean_product(queries[a], keys[b], size[a] * size[b])
        queries[a] += queries[b]
        keys[a] += keys[b]
        size[a] += size[b]
        rows[count + j] = a
    return means
