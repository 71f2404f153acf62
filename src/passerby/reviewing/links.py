"""Must-links and cannot-links that follow from answers, and the answers that contradict each other.

N sightings   A answers   L pairs
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.types import IntArray, Result


class UnionFind:
    """Disjoint sets of the numbers 0 to N - 1.

    Example:
        >>> sets = UnionFind(3)
        >>> sets.join(0, 2)
        >>> sets.find(0) == sets.find(2), sets.find(0) == sets.find(1)
        (True, False)
    """

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def find(self, item: int) -> int:
        """Return the representative of the set that contains an item."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, a: int, b: int) -> None:
        """Join the sets of a and b."""
        self._parent[self.find(b)] = self.find(a)

    def roots(self) -> IntArray:
        """Return the representative of each item."""
        return np.array([self.find(item) for item in range(len(self._parent))], np.int64)


@dataclass(frozen=True, repr=False)
class Votes(Result):
    """Answers by pair of sightings.

    Attributes:
        pairs: (L, 2) pairs, the smaller index first, in ascending order.
        same: (L,) number of answers "same".
        different: (L,) number of answers "different".
        unknown: (L,) number of answers "cannot tell".
    """

    pairs: IntArray
    same: IntArray
    different: IntArray
    unknown: IntArray

    @property
    def net(self) -> IntArray:
        """(L,) answers "same" minus answers "different"."""
        return self.same - self.different


SAME, DIFFERENT, UNKNOWN = 1, -1, 0
"""Codes of answers."""


def count_votes(pairs: ArrayLike, answers: ArrayLike) -> Votes:
    """Count the answers of each pair.

    Args:
        pairs: (A, 2) indices of sightings.
        answers: (A,) `SAME`, `DIFFERENT` or `UNKNOWN`.

    Example:
        >>> votes = count_votes([[1, 0], [0, 1], [2, 0]], [SAME, DIFFERENT, SAME])
        >>> votes.pairs.tolist(), votes.net.tolist()
        ([[0, 1], [0, 2]], [0, 1])
    """
    ordered = np.sort(np.asarray(pairs, np.int64).reshape(-1, 2), axis=1)
    codes = np.asarray(answers, np.int64)
    unique, number = np.unique(ordered, axis=0, return_inverse=True)
    counts = [np.bincount(number.ravel()[codes == code], minlength=len(unique)) for code in (SAME, DIFFERENT, UNKNOWN)]
    return Votes(unique, *counts)


@dataclass(frozen=True, repr=False)
class Conflict(Result):
    """A link that contradicts others.

    Attributes:
        link: Index of the link that is not used until it is answered again.
        against: Indices of the links that together imply the opposite.
    """

    link: int
    against: tuple[int, ...]


@dataclass(frozen=True, repr=False)
class Links(Result):
    """A consistent set of links.

    Attributes:
        must: (L, 2) pairs of one person.
        cannot: (L, 2) pairs of different people.
        components: (N,) number of the set of sightings that must-links connect.
        conflicts: Links that contradict the others.
        names: (N,) number of the label of each component, -1 without one; two components with different numbers are
            different people.
    """

    must: IntArray
    cannot: IntArray
    components: IntArray
    conflicts: tuple[Conflict, ...]
    names: IntArray

    def name_groups(self, groups: IntArray) -> IntArray:
        """(G,) number of the label of each group of sightings, -1 without one."""
        names = np.full(int(groups.max(initial=-1)) + 1, -1)
        np.maximum.at(names, groups, self.names)
        return names


def are_named_apart(first: IntArray, second: IntArray) -> NDArray[np.bool_]:
    """Return where two arrays of `Links.names` are of different labels.

    Example:
        >>> are_named_apart(np.array([0, 0, 0]), np.array([0, 1, -1])).tolist()
        [False, True, False]
    """
    return np.asarray((first != second) & (first >= 0) & (second >= 0))


def resolve_links(
    count: int, pairs: IntArray, signs: ArrayLike, weights: ArrayLike, *, labels: IntArray | None = None
) -> Links:
    """Select a consistent set of links: the strongest first, as long as they do not contradict those before.

    An inconsistent set is a correlation clustering with few wrong signs. The order by weight keeps a link unless links
    of at least its weight imply the opposite, and names these.

    Labels are weaker than all links. Sightings with one label are one person, as far as no cannot-link separates them;
    the largest part keeps the label. Components with two labels are two people, unless a must-link connects the labels.

    Args:
        count: N.
        pairs: (L, 2) sightings.
        signs: (L,) positive for a must-link, negative for a cannot-link, 0 for none.
        weights: (L,) certainty of each link.
        labels: (N,) number of the label of each sighting, -1 without one.

    Example:
        >>> links = resolve_links(3, np.array([[0, 1], [1, 2], [0, 2]]), [1, 1, -1], [3.0, 2.0, 1.0])
        >>> links.conflicts
        (Conflict(link=2, against=(0, 1)),)
        >>> links = resolve_links(3, np.array([[0, 1]]), [-1], [1.0], labels=np.array([4, -1, 4]))
        >>> links.must.tolist(), links.names.tolist()
        ([[0, 2]], [0, -1, 0])
    """
    sign, weight = np.asarray(signs), np.asarray(weights, np.float64)
    sets = UnionFind(count)
    enemies: dict[int, dict[int, int]] = {}  # of a set: another set, and the link between them
    graph: dict[int, list[tuple[int, int]]] = {}  # accepted must-links: neighbor, link
    must, cannot, conflicts = [], [], []
    for link in np.lexsort((np.arange(len(sign)), -weight)).tolist():
        a, b = pairs[link].tolist()
        root_a, root_b = sets.find(a), sets.find(b)
        if sign[link] > 0:
            if root_a != root_b:
                if root_b in enemies.get(root_a, ()):
                    wall = enemies[root_a][root_b]
                    conflicts.append(Conflict(link, (wall, *_find_paths(graph, pairs[wall], (a, b)))))
                    continue
                sets.join(root_a, root_b)
                _move_enemies(enemies, root_b, sets.find(root_a))
            must.append(link)
            graph.setdefault(a, []).append((b, link))
            graph.setdefault(b, []).append((a, link))
        elif sign[link] < 0:
            if root_a == root_b:
                conflicts.append(Conflict(link, tuple(_find_path(graph, a, b))))
                continue
            cannot.append(link)
            enemies.setdefault(root_a, {}).setdefault(root_b, link)
            enemies.setdefault(root_b, {}).setdefault(root_a, link)
    named, names = (np.empty((0, 2), np.int64), np.full(count, -1))
    if labels is not None:
        named, names = _join_labels(labels, sets, enemies)
    return Links(
        np.concatenate([pairs[np.array(sorted(must), np.int64)], named]),
        pairs[np.array(sorted(cannot), np.int64)],
        np.unique(sets.roots(), return_inverse=True)[1],
        tuple(conflicts),
        names,
    )


def _join_labels(labels: IntArray, sets: UnionFind, enemies: dict[int, dict[int, int]]) -> tuple[IntArray, IntArray]:
    """Join the sets that share a label; return (M, 2) links that do, and (N,) the names of the sets."""
    kept: list[int] = []  # of each label: a sighting of its largest part
    links: list[tuple[int, int]] = []
    order = np.flatnonzero(labels >= 0)[np.argsort(labels[labels >= 0], kind="stable")]
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []:
        parts: list[list[int]] = []
        for sighting in members.tolist():
            root = sets.find(sighting)
            for part in parts:
                other = sets.find(part[0])
                if root == other or root not in enemies.get(other, ()):
                    part.append(sighting)
                    if root != other:
                        links.append((part[0], sighting))
                        sets.join(other, root)
                        _move_enemies(enemies, root, sets.find(other))
                    break
            else:
                parts.append([sighting])
        kept.append(max(parts, key=len)[0])
    roots = sets.roots()
    one = UnionFind(len(kept))  # labels that must-links connect
    owner: dict[int, int] = {}
    for number, sighting in enumerate(kept):
        one.join(owner.setdefault(int(roots[sighting]), number), number)
    names = np.array([one.find(owner[root]) if root in owner else -1 for root in roots.tolist()], np.int64)
    return np.array(links, np.int64).reshape(-1, 2), names


def find_ties(votes: Votes, links: Links) -> IntArray:
    """Find the pairs about which as many answers are "same" as "different", and that no other answers decide.

    Args:
        votes: Answers by pair.
        links: The links that follow from them.

    Returns:
        Indices of pairs.

    Example:
        >>> votes = count_votes([[0, 1], [0, 1]], [SAME, DIFFERENT])
        >>> find_ties(votes, resolve_links(2, votes.pairs, votes.net, [0.0])).tolist()
        [0]
    """
    ties = np.flatnonzero((votes.same > 0) & (votes.net == 0))
    walls = {frozenset(pair) for pair in links.components[links.cannot].tolist()}
    ends = (frozenset(pair) for pair in links.components[votes.pairs[ties]].tolist())
    apart = are_named_apart(*links.names[votes.pairs[ties]].T)
    open_ = [len(sides) == 2 and sides not in walls and not named for sides, named in zip(ends, apart, strict=True)]
    return np.asarray(ties[np.array(open_, bool)], np.int64)


def _move_enemies(enemies: dict[int, dict[int, int]], old: int, new: int) -> None:
    """Rename a set in the cannot-links of the others after a join."""
    if old == new:
        return
    for other, link in enemies.pop(old, {}).items():
        del enemies[other][old]
        enemies[other].setdefault(new, link)
        enemies.setdefault(new, {}).setdefault(other, link)


def _find_path(graph: dict[int, list[tuple[int, int]]], start: int, end: int) -> list[int]:
    """Return the links of a shortest path of must-links, empty without one."""
    previous: dict[int, tuple[int, int]] = {start: (start, -1)}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        if node == end:
            break
        for neighbor, link in graph.get(node, ()):
            if neighbor not in previous:
                previous[neighbor] = node, link
                queue.append(neighbor)
    path = []
    while end != start and end in previous:
        end, link = previous[end]
        path.append(link)
    return path[::-1]


def _find_paths(graph: dict[int, list[tuple[int, int]]], wall: NDArray[np.int64], ends: Sequence[int]) -> list[int]:
    """Return the must-links that connect the ends of a link with those of a cannot-link between the same sets."""
    c, d = wall.tolist()
    straight = [_find_path(graph, ends[0], c), _find_path(graph, ends[1], d)]
    if (ends[0] != c and not straight[0]) or (ends[1] != d and not straight[1]):
        straight = [_find_path(graph, ends[0], d), _find_path(graph, ends[1], c)]
    return [link for path in straight for link in path]


def number_groups(labels: IntArray) -> IntArray:
    """Number labels from 0 in the order of first appearance.

    Example:
        >>> number_groups(np.array([7, 3, 7])).tolist()
        [0, 1, 0]
    """
    _, first, numbers = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers]
