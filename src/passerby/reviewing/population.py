"""Number of people among sightings, with an interval, from answers about sampled sightings.

The number of people is the sum over sightings of f, which is 1 for the first sighting of a person in a fixed order and
0 for the others. With an expectation m of f from the present groups, and a sighting i that is drawn with probability q,

    Z = sum of m + (f(i) - m(i)) / q(i)

is an unbiased estimate for any m and any q above 0 where f may differ from m: the difference estimator of survey
sampling (Särndal, Swensson, Wretman 1992) with importance weights. f(i) is settled by questions about i and the
people whom it may show before, the most probable first. The mean of several Z, from the same or from other
groups, has the interval of their spread. Perez, Sheldon, Van Horn, Maji, "Human-in-the-loop visual re-ID for population
size estimation" (ECCV 2024) sample pairs for the sum of 1 / (number of sightings of the person) instead.

N sightings   G groups   U drawn units
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError
from passerby.extras import require_extra
from passerby.reviewing.identities import Grouping, SightingGraph, group_means
from passerby.reviewing.links import are_named_apart
from passerby.reviewing.row_blocks import iter_blocks
from passerby.text import plural
from passerby.types import IntArray, Result

UNIFORM = 0.1
"""Fraction of the draws that are uniform, so that no error of the model gets a very small probability."""
LEAST_PROBABILITY = 0.01
"""Probability of one person below which no question is asked about a drawn sighting and a group."""
MAX_QUESTIONS = 12
"""Largest number of different questions about one drawn sighting."""
CERTAIN = 0.98
"""Posterior probability of an answer below which it is asked again."""


@dataclass(frozen=True)
class PopulationEstimate(Result):
    """Number of people.

    Attributes:
        people: Estimate.
        low: Lower end of the interval.
        high: Upper end of the interval.
        level: Probability that the interval is made for.
        units: Number of drawn sightings it rests on.
    """

    people: float
    low: float
    high: float
    level: float
    units: int


class SurveyFrame(NamedTuple):
    """Expectations and probabilities for drawing units.

    Attributes:
        expected: (N,) m, expectation of f.
        chances: (N,) q, sum 1; 0 where answers have settled f.
    """

    expected: NDArray[np.float64]
    chances: NDArray[np.float64]


class SurveyState(NamedTuple):
    """Settled values of f of the drawn units, and open questions.

    Attributes:
        values: (U,) f by the answers so far: 0 where must-links connect the unit with an earlier sighting, else 1.
        pairs: (U, 2) the question that is open about each unit, -1 where none is.
        probabilities: (U,) probability of one person for each of these.
    """

    values: NDArray[np.float64]
    pairs: IntArray
    probabilities: NDArray[np.float64]


def make_frame(graph: SightingGraph, grouping: Grouping) -> SurveyFrame:
    """Compute the expectations of f and the probabilities of drawing, proportional to the standard deviation of f.

    Args:
        graph: Sightings, in the fixed order.
        grouping: Present groups.

    Example:
        >>> from passerby.reviewing.evidence import PairModel
        >>> from passerby.reviewing.identities import group_sightings
        >>> from passerby.reviewing.links import count_votes
        >>> graph = SightingGraph.build(np.eye(3, dtype=np.float32), np.zeros(3, np.int64))
        >>> grouping = group_sightings(graph, count_votes([], []), PairModel(10.0, -5.0, np.zeros((1, 1))))
        >>> make_frame(graph, grouping).expected.round(2).tolist()
        [1.0, 0.99, 0.99]
    """
    groups, first = grouping.groups, _first_members(grouping.groups)
    expected = np.empty(len(groups))
    leads = first[groups] == np.arange(len(groups))
    for rows, p in _earlier_probabilities(graph, grouping):
        expected[first[rows]] = np.prod(1 - p, axis=1)
    within = 1 - _own_probabilities(graph, grouping, np.flatnonzero(~leads))
    lone = float(np.mean(expected[leads])) if leads.any() else 1.0
    expected[~leads] = within * lone  # a sighting that is elsewhere is a new person as often as a group is
    settled = _first_members(grouping.links.components)[grouping.links.components] < np.arange(len(groups))
    expected[settled] = 0.0
    spread = np.where(settled, 0, np.sqrt(np.clip(expected * (1 - expected), 1e-4, None)))
    spread[:1] = 0.0  # the first of all
    expected[:1] = 1.0
    possible = spread > 0
    if not possible.any():
        return SurveyFrame(expected, np.zeros(len(groups)))
    chances = (1 - UNIFORM) * spread / spread.sum() + UNIFORM * possible / possible.sum()
    return SurveyFrame(expected, chances / chances.sum())


def draw_units(frame: SurveyFrame, count: int, generator: np.random.Generator) -> IntArray:
    """Draw sightings with replacement.

    Example:
        >>> frame = SurveyFrame(np.array([1.0, 0.5]), np.array([0.0, 1.0]))
        >>> draw_units(frame, 3, np.random.default_rng(0)).tolist()
        [1, 1, 1]
    """
    if not frame.chances.any():
        return np.empty(0, np.int64)
    return np.asarray(generator.choice(len(frame.chances), size=count, p=frame.chances), np.int64)


def settle_units(graph: SightingGraph, grouping: Grouping, units: IntArray) -> SurveyState:
    """Compute f of drawn sightings from the answers, and the open question about each.

    Args:
        graph: Sightings, in the fixed order.
        grouping: Groups under all answers given so far.
        units: (U,) drawn sightings.

    Returns:
        Values and open questions; without an open question the value is final.

    Example:
        >>> from passerby.reviewing.evidence import PairModel
        >>> from passerby.reviewing.identities import group_sightings
        >>> from passerby.reviewing.links import SAME, count_votes
        >>> graph = SightingGraph.build(np.eye(3, dtype=np.float32), np.zeros(3, np.int64))
        >>> votes = count_votes([[0, 2]] * 4, [SAME] * 4)
        >>> grouping = group_sightings(graph, votes, PairModel(10.0, -5.0, np.zeros((1, 1))))
        >>> settle_units(graph, grouping, np.array([2])).values.tolist()
        [0.0]
    """
    components, groups = grouping.links.components, grouping.groups
    earliest, first = _first_members(components), _first_members(groups)
    asked = _count_questions(grouping)
    doubts = _find_doubts(grouping)
    members = [*np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])]
    values, chances = np.empty(len(units)), np.zeros(len(units))
    pairs = np.full((len(units), 2), -1)
    leading = np.unique(groups[units[first[groups[units]] == units]])
    best: dict[int, tuple[int, float]] = {}  # by group: the earlier group that is most probably the same person
    for rows, p in _earlier_probabilities(graph, grouping, leading):
        best.update(
            zip(rows.tolist(), zip(p.argmax(axis=1).tolist(), p.max(axis=1).tolist(), strict=True), strict=True)
        )
    own = dict(zip(units.tolist(), _own_probabilities(graph, grouping, units), strict=True))
    for u, unit in enumerate(units.tolist()):
        if unit in doubts:
            pairs[u], chances[u] = doubts[unit][0], doubts[unit][1]
            values[u] = float(earliest[components[unit]] == unit)
            continue
        if earliest[components[unit]] < unit:
            values[u] = 0.0
            continue
        values[u] = 1.0
        group = int(groups[unit])
        if first[group] < unit:
            other, chance = group, float(own[unit])
        else:
            other, chance = best[group]
        if chance >= LEAST_PROBABILITY and asked.get(unit, 0) < MAX_QUESTIONS:
            pair = _choose_earlier(graph, grouping, unit, members[other])
            if pair is not None:
                pairs[u], chances[u] = pair, chance
    return SurveyState(values, pairs, chances)


def estimate_population(
    totals: ArrayLike, expected: ArrayLike, chances: ArrayLike, values: ArrayLike, *, level: float = 0.9
) -> PopulationEstimate:
    """Estimate the number of people from settled units.

    Args:
        totals: (U,) sum of the expectations in the frame that each unit was drawn from.
        expected: (U,) expectation of each unit in its frame.
        chances: (U,) probability of drawing it.
        values: (U,) f.
        level: Probability that the interval is made for, between 0 and 1.

    Returns:
        Mean of Z, with the interval of Student's distribution.

    Raises:
        DataError: For fewer than two units, or a level outside its range.
        MissingExtraError: Without the extra `eval`.

    Example:
        >>> estimate_population([9.5, 9.5], [0.5, 0.5], [0.5, 0.5], [1, 0]).people
        9.5
    """
    z = np.asarray(totals, np.float64) + (np.asarray(values) - np.asarray(expected)) / np.asarray(chances)
    if len(z) < 2:
        raise DataError(
            f"population: {plural(len(z), 'sighting')} of a survey with all answers, expected at least 2; answer its "
            "questions (`passerby review GALLERY --survey 100`)"
        )
    if not 0 < level < 1:
        raise DataError(f"population: level {level}, expected a probability between 0 and 1")
    quantile = float(require_extra("scipy.stats").t.ppf((1 + level) / 2, len(z) - 1))
    mean, margin = float(z.mean()), quantile * float(z.std(ddof=1)) / np.sqrt(len(z))
    return PopulationEstimate(mean, max(mean - margin, 1.0), mean + margin, level, len(z))


def _first_members(groups: IntArray) -> IntArray:
    """(G,) smallest index in each group."""
    return np.asarray(np.unique(groups, return_index=True)[1], np.int64)


def _earlier_probabilities(
    graph: SightingGraph, grouping: Grouping, rows: IntArray | None = None
) -> Iterator[tuple[IntArray, NDArray[np.float64]]]:
    """Yield (R, G) probabilities that groups are the person of groups that begin earlier, in blocks of rows."""
    queries, keys = grouping.model.factor(graph.vectors, graph.cameras)
    groups, first = grouping.groups, _first_members(grouping.groups)
    q, k = group_means(queries, groups), group_means(keys, groups)
    names = grouping.links.name_groups(groups)
    by_row: dict[int, list[int]] = {}
    for a, b in groups[grouping.links.cannot].tolist():
        by_row.setdefault(a, []).append(b)
        by_row.setdefault(b, []).append(a)
    for part in iter_blocks(np.arange(len(q)) if rows is None else rows, len(k)):
        p = (q[part] @ k.T).astype(np.float64)
        np.clip(p, -40, 40, out=p)
        np.negative(p, out=p)
        np.exp(p, out=p)
        p += 1
        np.reciprocal(p, out=p)
        p[first[None, :] >= first[part][:, None]] = 0
        for row, group in enumerate(part.tolist()):
            p[row, by_row.get(group, [])] = 0
            p[row, are_named_apart(names[group], names)] = 0
        yield part, p


def _own_probabilities(graph: SightingGraph, grouping: Grouping, units: IntArray) -> NDArray[np.float64]:
    """(U,) probability that each sighting is the person of the other members of its group; 0 for one that is alone."""
    queries, keys = grouping.model.factor(graph.vectors, graph.cameras)
    means, sizes = group_means(keys, grouping.groups), grouping.sizes
    own = grouping.groups[units]
    total = np.einsum("uf,uf->u", queries[units], means[own]).astype(np.float64) * sizes[own]
    itself = np.einsum("uf,uf->u", queries[units], keys[units])
    log_odds = (total - itself) / np.maximum(sizes[own] - 1, 1)
    return np.where(sizes[own] > 1, 1 / (1 + np.exp(-np.clip(log_odds, -40, 40))), 0.0)


def _count_questions(grouping: Grouping) -> dict[int, int]:
    sightings, counts = np.unique(grouping.votes.pairs, return_counts=True)
    return dict(zip(sightings.tolist(), counts.tolist(), strict=True))


def _find_doubts(grouping: Grouping) -> dict[int, tuple[tuple[int, int], float]]:
    """The answer about each sighting that is least certain, if its posterior is below `CERTAIN`.

    A pair that was also answered "cannot tell" is not asked again.
    """
    doubts: dict[int, tuple[tuple[int, int], float]] = {}
    p = 1 / (1 + np.exp(-np.clip(grouping.posteriors, -40, 40)))
    certainty = np.maximum(p, 1 - p)
    answered = grouping.votes.same + grouping.votes.different
    for link in np.argsort(-certainty, kind="stable").tolist():
        if certainty[link] < CERTAIN and 0 < answered[link] < MAX_QUESTIONS and not grouping.votes.unknown[link]:
            pair = (int(grouping.votes.pairs[link, 0]), int(grouping.votes.pairs[link, 1]))
            for sighting in pair:
                doubts[sighting] = pair, float(p[link])
    return doubts


def _choose_earlier(
    graph: SightingGraph, grouping: Grouping, unit: int, members: Sequence[int] | IntArray
) -> tuple[int, int] | None:
    """Choose the most typical member before the unit that it was not compared with."""
    votes = grouping.votes.pairs
    compared = {int(a if b == unit else b) for a, b in votes[(votes == unit).any(axis=1)]}
    earlier = np.array([m for m in np.asarray(members).tolist() if m < unit and m not in compared], np.int64)
    if not len(earlier):
        return None
    center = graph.vectors[np.asarray(members)].sum(axis=0)
    return int(earlier[(graph.vectors[earlier] @ center).argmax()]), unit
