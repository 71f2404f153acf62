"""The distance to ask for, so that few unknown people are taken for somebody in a gallery of a stated size.

The larger the gallery, the nearer the nearest stranger in it. From the distances of a query to N other people the
chance over all galleries of n of them is known without drawing any: when k of them are nearer than a threshold, a
gallery of n holds none of these with probability C(N - k, n) / C(N, n), the hypergeometric distribution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from passerby.errors import DataError
from passerby.openset.nearest_identities import NearestIdentities
from passerby.types import BoolArray, IntArray

_BEYOND = 10  # the bootstrap looks for thresholds up to this many times the false alarm rate


@dataclass(frozen=True)
class Threshold:
    """Whoever is nearer than `threshold`, and nearest of all, is recognized.

    Attributes:
        threshold: Distance.
        interval: 95 %, bootstrap over identities, as queries and as gallery alike; infinite where an end is open.
        far: Chance that a person who is not in the gallery is taken for somebody in it.
        gallery_size: People in the gallery, n.
        rate: Detection and identification rate: share of images of people in the gallery that are recognized. NaN when
            no query has a match.
        rate_interval: 95 %, likewise; each replicate at a threshold of its own.
        extrapolated: Whether the gallery is larger than the people that the data show; see `compute_threshold`.
        queries: Images that were looked for.
        other_identities: Other people that each could be taken for, N.
        images: Gallery images of each, on average; more images make more false alarms.
    """

    threshold: float
    interval: tuple[float, float]
    far: float
    gallery_size: int
    rate: float
    rate_interval: tuple[float, float]
    extrapolated: bool
    queries: int
    other_identities: int
    images: float

    def to_dict(self) -> dict[str, Any]:
        """A dict that `json.dumps` takes; null where there is no number."""
        pairs = {name: [_finite(end) for end in getattr(self, name)] for name in ("interval", "rate_interval")}
        return {**vars(self), **pairs, "rate": _finite(self.rate), "threshold": _finite(self.threshold)}


def compute_threshold(
    nearest: NearestIdentities, far: float, *, gallery_size: int | None = None, bootstrap: int = 1000, seed: int = 0
) -> Threshold:
    """The threshold at which an unknown person is taken for one of `gallery_size` people with probability `far`.

    Every query stands for an unknown person against all others, and for a known one against its own and the others.
    Distractors are nobody who would be enrolled, and are left out. A gallery of more people than the N others that the
    data show is taken to be n / N galleries of N, alike and independent: 1 - (1 - FAR_N)^(n / N). As queries differ,
    that tends to a threshold that is too near; docs/open-set.md has what one data set says.

    Args:
        nearest: Of images like those that the threshold is for, and of people that nothing was fitted to.
        far: Above 0, below 1.
        gallery_size: People enrolled, n; None is N.
        bootstrap: Replicates of the intervals, at least 1.
        seed: Of the bootstrap.

    Raises:
        DataError: Naming the argument; when there are too few queries for so small a chance, with the number needed.
    """
    if not 0 < far < 1:
        raise DataError(f"far: got {far}, expected a false alarm rate between 0 and 1, such as 0.01")
    if bootstrap < 1:
        raise DataError(f"bootstrap: got {bootstrap}, expected at least 1 replicate")
    kept = nearest.strangers
    if kept.sum() < 2:
        raise DataError(f"gallery: shows {kept.sum()} people, expected at least 2: somebody to be taken for another")
    shown = int(kept.sum()) - int(np.isin(nearest.query_ids, nearest.people).any())
    size = shown if gallery_size is None else gallery_size
    if size < 1:
        raise DataError(f"gallery_size: got {size}, expected at least 1 person")
    blocks = max(1.0, size / shown)
    block_far = -np.expm1(np.log1p(-far) / blocks)  # of one of these galleries
    _refuse_unresolved(far, block_far, size=size, shown=shown, queries=len(nearest.own))
    field = _Field.of(nearest, block_far, size=min(size, shown), blocks=blocks)
    threshold, rate = field.measure(np.ones(field.identities, dtype=np.int64))
    generator = np.random.default_rng(seed)
    draws = generator.multinomial(field.identities, np.full(field.identities, 1 / field.identities), size=bootstrap)
    found = np.array([field.measure(times) for times in draws])  # (R, 2)
    return Threshold(
        threshold=threshold,
        interval=_interval(found[:, 0], around=threshold, highest=np.inf),
        far=far,
        gallery_size=size,
        rate=rate,
        rate_interval=_interval(found[:, 1], around=rate, highest=1.0),
        extrapolated=size > shown,
        queries=len(nearest.own),
        other_identities=shown,
        images=float(nearest.images[kept].mean()),
    )


def _interval(found: NDArray[np.float64], *, around: float, highest: float) -> tuple[float, float]:
    """95 % of the replicates, moved so that their median is the estimate.

    People drawn with replacement are fewer, and a gallery of fewer holds fewer strangers who are near; without the move
    the interval covered the threshold of 3,000 simulated people in 58 % of 60 samples of 100, with it in 98 %.
    """
    if np.isnan(around):
        return np.nan, np.nan
    low, middle, high = np.quantile(found[~np.isnan(found)], [0.025, 0.5, 0.975], method="inverted_cdf")
    move = around - middle if np.isfinite(around) and np.isfinite(middle) else 0.0
    return float(max(0.0, low + move)), float(min(highest, high + move))


def _refuse_unresolved(far: float, block_far: float, *, size: int, shown: int, queries: int) -> None:
    """One query taken for its nearest stranger must not be more than was asked for."""
    needed = int(np.ceil(min(size, shown) / shown / block_far - 1e-9))
    if needed > queries:
        raise DataError(
            f"far: {far:g} in a gallery of {size} people is less than one of {queries} queries against {shown} people; "
            f"{needed - queries} more are needed, {needed} in all. Give more images, or ask for a larger far"
        )


@dataclass(frozen=True)
class _Field:
    """What can be measured again with each identity counted any number of times, as query and in the gallery.

    M cells are the (query, other person) that are near enough to matter, by query and then by distance.
    """

    far: float
    size: int
    blocks: float
    identities: int
    of_query: IntArray  # (Q,) identity
    of_person: IntArray  # (I,) identity
    cell_query: IntArray  # (M,)
    cell_person: IntArray  # (M,) identity
    cell_distance: NDArray[np.floating[Any]]  # (M,)
    by_distance: IntArray  # (M,) order of the cells
    own: NDArray[np.floating[Any]]  # (Q,)
    near: IntArray  # queries whose own person is near enough to be recognized
    ahead: NDArray[np.float32]  # (near, I) 1 where another person stands before it

    @classmethod
    def of(cls, nearest: NearestIdentities, far: float, *, size: int, blocks: float) -> _Field:
        kept = nearest.strangers
        people = nearest.people[kept]
        identities = np.union1d(people, nearest.query_ids)
        others = nearest.distances[:, kept].copy()  # (Q, I)
        others[nearest.query_ids[:, None] == people] = np.inf
        limit = _limit(others, min(1.0, _BEYOND * far), size=size, shown=_shown(nearest.query_ids, people))
        query, column = np.nonzero(others < limit)
        distance = others[query, column]
        order = np.lexsort((distance, query))
        query, column, distance = query[order], column[order], distance[order]
        near = np.flatnonzero(nearest.own < limit)
        of_person = np.searchsorted(identities, people)
        return cls(
            far=far,
            size=size,
            blocks=blocks,
            identities=len(identities),
            of_query=np.searchsorted(identities, nearest.query_ids),
            of_person=of_person,
            cell_query=query,
            cell_person=of_person[column],
            cell_distance=distance,
            by_distance=np.argsort(distance, kind="stable"),
            own=nearest.own,
            near=near,
            ahead=nearest.ahead[np.ix_(near, np.flatnonzero(kept))].astype(np.float32),
        )

    def measure(self, times: IntArray) -> tuple[float, float]:
        """Threshold and detection and identification rate, identity i counting `times[i]` times."""
        in_gallery = np.zeros(self.identities, dtype=np.int64)
        in_gallery[self.of_person] = times[self.of_person]
        others = (in_gallery.sum() - in_gallery)[self.of_query]  # (Q,) people that each could be taken for
        weight = times[self.of_query]  # (Q,)
        # Along the cells of a query, k counts the people so far; each adds its part of the chance.
        count = in_gallery[self.cell_person]
        running = np.cumsum(count)
        starts = np.searchsorted(self.cell_query, np.arange(len(others)))
        before = np.concatenate([[0], running])[starts]
        k = running - before[self.cell_query]
        chance = _Chance(others, self.size)
        part = chance(self.cell_query, k) - chance(self.cell_query, k - count)
        alarms = np.cumsum((part * weight[self.cell_query])[self.by_distance])
        place = int(np.searchsorted(alarms, self.far * weight.sum() * (1 + 1e-9), side="right"))
        threshold = float(self.cell_distance[self.by_distance[place]]) if place < len(alarms) else np.inf
        return threshold, self._rate(threshold, weight, in_gallery, others)

    def _rate(self, threshold: float, weight: IntArray, in_gallery: IntArray, others: IntArray) -> float:
        """Share of known queries that are nearer than the threshold and nearer than the n - 1 other people."""
        known = weight[np.isfinite(self.own)].sum()
        if not known:
            return np.nan
        passed = self.own[self.near] < threshold
        heavy = weight[self.near] * passed
        if not heavy.sum():
            return 0.0
        ahead = np.rint(self.ahead @ in_gallery[self.of_person].astype(np.float32)).astype(np.int64)
        first = 1 - _Chance(others, self.size - 1)(self.near, ahead)
        if self.blocks > 1:
            first = np.full(len(first), np.average(first, weights=heavy) ** self.blocks)
        return float(heavy @ first / known)


class _Chance:
    """1 - C(N - k, n) / C(N, n) for many k: N takes few values, so every answer is made once."""

    def __init__(self, others: IntArray, size: int) -> None:
        values, self._row = np.unique(others, return_inverse=True)  # self._row: (Q,)
        n = np.minimum(size, values)[:, None]
        k = np.arange(values[-1] + 1)
        left = np.maximum(values[:, None] - k, n)
        log_none = gammaln(left + 1) - gammaln(left - n + 1) - gammaln(values[:, None] + 1)
        log_none += gammaln(values[:, None] - n + 1)
        self._table = np.where(values[:, None] - k < n, 1.0, -np.expm1(log_none))  # (values, N + 1)

    def __call__(self, queries: IntArray, k: IntArray) -> NDArray[np.float64]:
        """Chance that a gallery of n holds one of the k people, for each of these queries."""
        return np.asarray(self._table[self._row[queries], k], dtype=np.float64)


def _shown(query_ids: IntArray, people: IntArray) -> IntArray:
    """(Q,) people of the gallery that each query is not."""
    return len(people) - np.isin(query_ids, people).astype(np.int64)


def _limit(others: NDArray[np.floating[Any]], far: float, *, size: int, shown: IntArray) -> float:
    """A distance at which at least `far` of the queries raise an alarm, found by halving; infinite if there is none."""
    finite: BoolArray = np.isfinite(others)
    if far >= 1 or not finite.any():
        return np.inf
    chance = _Chance(shown, size)
    queries = np.arange(len(others))
    low, high = float(others.min()), float(others[finite].max())
    if chance(queries, (others < high).sum(axis=1)).mean() < far:
        return np.inf
    for _ in range(30):
        middle = (low + high) / 2
        if chance(queries, (others < middle).sum(axis=1)).mean() < far:
            low = middle
        else:
            high = middle
    return high


def _finite(number: float) -> float | None:
    return number if np.isfinite(number) else None
