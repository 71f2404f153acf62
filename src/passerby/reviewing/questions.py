"""Choose the pair of sightings to ask about next: the answer that is expected to change the groups most.

A question is about two sets of sightings A and B: two groups, or the two sides of a join. With p the probability that
the present state of A and B (apart, or together) is wrong, the value is

    p * 2 |A| |B| / (|A| + |B|),

the expected sum over sightings of the change of B-cubed recall or precision by a merge or a split of two persons.
Every group is compared with its alternatives, by merging with a near group and by splitting at a join, as in LCA (local
clusterings and their alternatives), a method of animal re-identification. An answer that distances contradict may be
wrong, and p is the posterior of that: it is asked again while its value is highest. No question is implied by others: a
pair within one must-link component, or between groups with a cannot-link or with two labels. Two sets with an answer
"cannot tell" are asked about after all questions that are worth asking.

N sightings   G groups   L answered pairs
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from passerby.reviewing.agglomeration import rate_joins
from passerby.reviewing.identities import Grouping, SightingGraph, group_means
from passerby.reviewing.links import are_named_apart, find_ties
from passerby.reviewing.row_blocks import iter_blocks
from passerby.types import IntArray, Result

Reason = Literal["merge", "split", "confirm", "contradiction"]
CANDIDATES = 8
"""Nearest groups that each group may be asked about."""
UNKNOWN_FACTOR = 0.25
"""Factor of the value for each answer "cannot tell" between two sets."""
WORTH = 0.2
"""Value, in sightings, from which a question is asked before those that were answered "cannot tell".

Of 0.02 to 0.4 chosen on drawn vectors."""


@dataclass(frozen=True, repr=False)
class Question(Result):
    """A pair of sightings to ask about.

    Attributes:
        first: Index of a sighting.
        second: Index of the other one.
        reason: `merge`: two groups that may be one person. `split`: two parts of a group that may be two persons.
            `confirm`: an answer that distances make improbable. `contradiction`: answers that contradict each other.
        probability: Probability that both show one person, 0 to 1.
        value: Expected change of the groups, in sightings.
        members: Sightings of the two sets that the answer decides about.
    """

    first: int
    second: int
    reason: Reason
    probability: float
    value: float
    members: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())


def _sigmoid(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-np.clip(values, -40, 40))))


def _gain(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return 2 * a * b / (a + b)


def choose_questions(graph: SightingGraph, grouping: Grouping, *, count: int = 20) -> list[Question]:
    """Choose questions that can be answered in any order: no two are about the same group.

    Args:
        graph: Sightings.
        grouping: Present groups.
        count: Largest number of questions.

    Returns:
        Questions: contradictions, then the others by value, at last those that were answered "cannot tell".

    Example:
        >>> from passerby.reviewing.evidence import PairModel
        >>> from passerby.reviewing.identities import group_sightings
        >>> from passerby.reviewing.links import count_votes
        >>> vectors = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float32)
        >>> graph = SightingGraph.build(vectors, np.zeros(3, np.int64))
        >>> grouping = group_sightings(graph, count_votes([], []), PairModel(10.0, -9.0, np.zeros((1, 1))))
        >>> [(question.first, question.second) for question in choose_questions(graph, grouping)]
        [(0, 1)]
    """
    proposals = _Proposals(graph, grouping)
    questions: list[Question] = []
    used: set[int] = set()
    for question in proposals.walk():
        groups = {int(grouping.groups[question.first]), int(grouping.groups[question.second])}
        if not groups & used:
            used |= groups
            questions.append(question)
        if len(questions) == count:
            break
    return questions


class _QuestionKind(NamedTuple):
    """Proposals of one kind: value, sets, probability of one person, answers "cannot tell"."""

    value: NDArray[np.float64]  # (K,)
    what: IntArray  # (K,) or (K, 2)
    probability: NDArray[np.float64]  # (K,)
    undecided: IntArray  # (K,)


class _Proposals:
    """Questions of all kinds, by value."""

    def __init__(self, graph: SightingGraph, grouping: Grouping) -> None:
        self._graph, self._grouping = graph, grouping
        self._sizes = np.bincount(grouping.groups).astype(np.float64)
        order = np.argsort(grouping.groups, kind="stable")
        self._members = np.split(order, np.cumsum(self._sizes.astype(int))[:-1])
        pairs, votes = grouping.votes.pairs, grouping.votes
        self._asked = {(int(a), int(b)) for a, b in pairs[votes.same + votes.different + votes.unknown > 0]}
        self._undecided = pairs[votes.unknown > 0]  # (X, 2) pairs answered "cannot tell"
        self._undecided_groups = Counter(tuple(sorted(pair)) for pair in grouping.groups[self._undecided].tolist())

    def walk(self) -> Iterator[Question]:
        """Yield contradictions, then the others by value, those answered "cannot tell" last."""
        conflicts = list(self._contradictions())
        yield from (question for question, undecided in conflicts if not undecided)
        kinds = [self._merges(), self._splits(), self._confirmations()]
        value = np.concatenate([kind.value for kind in kinds])
        undecided = np.concatenate([kind.undecided for kind in kinds])
        number = np.concatenate([np.full(len(kind.value), k) for k, kind in enumerate(kinds)])
        index = np.concatenate([np.arange(len(kind.value)) for kind in kinds])
        makers = (self._make_merge, self._make_split, self._make_confirmation)
        turn = np.where(undecided > 0, 1, np.where(value < WORTH, 2, 0))
        value = value * UNKNOWN_FACTOR**undecided
        for best in np.lexsort((-value, turn)).tolist():
            if turn[best] and conflicts:
                yield from (question for question, undecided in conflicts if undecided)
                conflicts = []
            kind, row = kinds[number[best]], index[best]
            question = makers[number[best]](kind.what[row], float(kind.probability[row]), float(value[best]))
            if question is not None:
                yield question
        yield from (question for question, undecided in conflicts if undecided)

    def _merges(self) -> _QuestionKind:
        """Each possible merge, by its pair of groups."""
        queries, keys = self._grouping.model.factor(self._graph.vectors, self._graph.cameras)
        groups = self._grouping.groups
        q, k = group_means(queries, groups), group_means(keys, groups)
        count = len(q)
        walls = groups[self._grouping.links.cannot]
        walls = np.concatenate([walls, walls[:, ::-1]])
        walls = walls[np.argsort(walls[:, 0], kind="stable")]
        names = self._grouping.links.name_groups(groups)
        top = min(CANDIDATES, count - 1)
        values, pairs, probabilities = [], [], []
        for rows in iter_blocks(np.arange(count if top > 0 else 0), count):
            log_odds = q[rows] @ k.T
            low, high = np.searchsorted(walls[:, 0], [rows[0], rows[-1] + 1])
            log_odds[walls[low:high, 0] - rows[0], walls[low:high, 1]] = -np.inf
            log_odds[are_named_apart(names[rows, None], names)] = -np.inf
            log_odds[np.arange(len(rows)), rows] = -np.inf
            nearest = np.argpartition(-log_odds, top - 1, axis=1)[:, :top]
            p = _sigmoid(np.take_along_axis(log_odds, nearest, axis=1).astype(np.float64))
            ends = np.repeat(rows, top)
            values.append(p.ravel() * _gain(self._sizes[ends], self._sizes[nearest.ravel()]))
            pairs.append(np.stack([ends, nearest.ravel()], axis=1))
            probabilities.append(p.ravel())
        if not values:
            return _QuestionKind(np.empty(0), np.empty((0, 2), np.int64), np.empty(0), np.empty(0, np.int64))
        both = np.sort(np.concatenate(pairs), axis=1)
        both, first = np.unique(both, axis=0, return_index=True)
        p, value = np.concatenate(probabilities)[first], np.concatenate(values)[first]
        keep = p > 1e-12  # pairs with a cannot-link are at 0
        undecided = np.zeros(len(both), np.int64)
        if self._undecided_groups:
            undecided = np.array([self._undecided_groups.get((a, b), 0) for a, b in both.tolist()], np.int64)
        return _QuestionKind(value[keep], both[keep], p[keep], undecided[keep])

    def _make_merge(self, pair: IntArray, p: float, value: float) -> Question | None:
        a, b = (self._members[group] for group in pair.tolist())
        return self._represent(a, b, "merge", p, value)

    def _splits(self) -> _QuestionKind:
        """Each join by distances, rated by the one of calibration and fitted model that doubts it more."""
        merges, count = self._grouping.merges, len(self._graph)
        sizes = np.ones(count + len(merges.left))
        for j, (a, b) in enumerate(zip(merges.left.tolist(), merges.right.tolist(), strict=True)):
            sizes[count + j] = sizes[a] + sizes[b]
        joins = np.flatnonzero(np.isfinite(merges.log_odds))
        factors = self._grouping.model.factor(self._graph.vectors, self._graph.cameras)
        p = _sigmoid(np.minimum(merges.log_odds, rate_joins(*factors, merges))[joins])
        value = (1 - p) * _gain(sizes[merges.left[joins]], sizes[merges.right[joins]])
        return _QuestionKind(value, joins, p, self._count_undecided()[joins])

    def _count_undecided(self) -> IntArray:
        """(J,) number of pairs answered "cannot tell" that each join brings together."""
        merges, count = self._grouping.merges, len(self._graph)
        counts = np.zeros(len(merges.left), np.int64)
        if not len(self._undecided):
            return counts
        parents = np.full(count + len(merges.left), -1)
        for sides in (merges.left, merges.right):
            parents[sides] = count + np.arange(len(sides))
        for first, second in self._undecided.tolist():
            above, node = {first}, first
            while (node := int(parents[node])) >= 0:
                above.add(node)
            node = second
            while node >= 0 and node not in above:
                node = int(parents[node])
            if node >= count:
                counts[node - count] += 1
        return counts

    def _make_split(self, join: int, p: float, value: float) -> Question | None:
        merges = self._grouping.merges
        a, b = (self._leaves(int(side[join])) for side in (merges.left, merges.right))
        components = self._grouping.links.components
        if np.intersect1d(components[a], components[b]).size:  # an answer has confirmed the join
            return None
        return self._represent(a, b, "split", p, value)

    def _leaves(self, node: int) -> IntArray:
        count, merges, stack, leaves = len(self._graph), self._grouping.merges, [node], []
        while stack:
            node = stack.pop()
            if node < count:
                leaves.append(node)
            else:
                stack += [int(merges.left[node - count]), int(merges.right[node - count])]
        return np.array(leaves)

    def _confirmations(self) -> _QuestionKind:
        """Each answer that may be wrong, by its pair."""
        grouping = self._grouping
        sign = np.sign(grouping.votes.net)
        p = _sigmoid(grouping.posteriors)
        wrong = np.where(sign > 0, 1 - p, np.where(sign < 0, p, 0))
        parts = np.bincount(grouping.clusters).astype(np.float64)[grouping.clusters[grouping.votes.pairs]]
        groups = self._sizes[grouping.groups[grouping.votes.pairs]]
        sizes = np.where(sign[:, None] > 0, parts, groups)
        value = wrong * _gain(sizes[:, 0], sizes[:, 1])
        return _QuestionKind(value, np.arange(len(sign)), p, grouping.votes.unknown)

    def _make_confirmation(self, pair: int, p: float, value: float) -> Question | None:
        first, second = self._grouping.votes.pairs[pair].tolist()
        return self._ask((first, second), "confirm", p, value)

    def _contradictions(self) -> Iterator[tuple[Question, bool]]:
        """Yield the least certain answer of each contradiction, and whether it was answered "cannot tell" since."""
        grouping = self._grouping
        count = len(grouping.votes.pairs)
        certainty = np.abs(grouping.posteriors)
        unknown = grouping.votes.unknown
        chosen = find_ties(grouping.votes, grouping.links).tolist()
        for conflict in grouping.links.conflicts:
            answered = [link for link in (conflict.link, *conflict.against) if link < count]
            chosen.append(min(answered, key=lambda link: (unknown[link] > 0, certainty[link])))
        for link in dict.fromkeys(chosen):
            first, second = grouping.votes.pairs[link].tolist()
            p = float(_sigmoid(grouping.posteriors[link]))
            yield self._ask((first, second), "contradiction", p, np.inf), bool(unknown[link])

    def _ask(self, pair: tuple[int, int], reason: Reason, p: float, value: float) -> Question:
        return Question(*pair, reason, p, value, ((pair[0],), (pair[1],)))

    def _represent(self, a: IntArray, b: IntArray, reason: Reason, p: float, value: float) -> Question | None:
        """Ask about the most typical sightings of two sets that were not asked about."""
        first, second = (self._by_typicality(members) for members in (a, b))
        for total in range(min(6, len(first) + len(second) - 1)):
            for i in range(total + 1):
                if i < len(first) and total - i < len(second):
                    one, other = int(first[i]), int(second[total - i])
                    if (min(one, other), max(one, other)) not in self._asked:
                        return Question(one, other, reason, p, value, (tuple(first.tolist()), tuple(second.tolist())))
        return None

    def _by_typicality(self, members: IntArray) -> IntArray:
        vectors = self._graph.vectors[members]
        return members[np.argsort(-(vectors @ vectors.sum(axis=0)), kind="stable")]
