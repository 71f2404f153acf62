"""Who is this, or nobody I know? Detection and identification rate at a false alarm rate.

A rank list always has a first place; in use, many who walk by are not in the gallery. A threshold on the distance turns
them away, and some of those who are. Figures after Phillips, Grother and Micheals, "Evaluation Methods in Face
Recognition" (Handbook of Face Recognition, 2nd edition, 2011, section 21.3.3), at rank 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.openset.nearest_identities import NearestIdentities, find_nearest_identities
from passerby.ranking.blocks import DistanceBlocks
from passerby.ranking.distance import Metric
from passerby.types import BoolArray, Embeddings, FloatArray, IntArray, Labels

FARS = (0.001, 0.01, 0.1)
"""The false alarm rates that figures are given at."""


@dataclass(frozen=True)
class DirAtFar:
    """Detection and identification rate at one false alarm rate.

    Attributes:
        far: Share of unknown queries that may be taken for somebody, above 0.
        rate: Share of known queries whose own person is nearest of all and nearer than the threshold: mean over the
            draws, 0 to 1. NaN where the data cannot say.
        interval: 95 % of the draws (of the bootstrap over identities, where nobody was drawn); NaN like `rate`.
        threshold: Distance below which somebody is recognized, mean over the draws; NaN like `rate`.
        reason: Why there is no figure; empty where there is one.
    """

    far: float
    rate: float
    interval: tuple[float, float]
    threshold: float
    reason: str = ""


@dataclass(frozen=True)
class OpenSetScores:
    """Open-set figures, with what they were measured on.

    Attributes:
        rates: One for each false alarm rate asked for.
        unknown: Share of the queries' people who were drawn as unknown; None where those without a match were used.
        known_queries: Queries whose person is enrolled, mean over the draws.
        unknown_queries: Queries whose person is not, mean over the draws.
        enrolled: People in the gallery, mean over the draws; all distractors count as one.
        repeats: Draws (or bootstrap replicates) behind the intervals.
    """

    rates: tuple[DirAtFar, ...]
    unknown: float | None
    known_queries: float
    unknown_queries: float
    enrolled: float
    repeats: int

    def to_dict(self) -> dict[str, Any]:
        """A dict that `json.dumps` takes; null where there is no figure, beside the reason."""
        rates = [
            {
                "far": each.far,
                "dir": None if each.reason else each.rate,
                "interval": None if each.reason else list(each.interval),
                "threshold": None if each.reason or np.isinf(each.threshold) else each.threshold,
                "reason": each.reason,
            }
            for each in self.rates
        ]
        return {**vars(self), "rates": rates}


def open_set(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: FloatArray | DistanceBlocks | None = None,
    unknown: float | None = 0.5,
    fars: Sequence[float] = FARS,
    repeats: int = 100,
    seed: int = 0,
    metric: Metric = "cosine",
    device: str = "cpu",
) -> OpenSetScores:
    """Share of known people who are recognized while a given share of unknown ones is taken for somebody.

    Sets of this field are closed, everybody is in the gallery; so a share of the queries' people is drawn as unknown
    and removed from the gallery, again and again. Distractors and people without a query are always enrolled. A query
    whose person is enrolled in its own camera only counts as unknown: the Market rule leaves nobody to find.

    Args:
        query: Q vectors; `Labels` when `distances` are given.
        gallery: G vectors, or `Labels`.
        distances: (Q, G) distances in place of the vectors', or strips of them; see `passerby.score`.
        unknown: Share of people to draw, 0 to 1; None draws nobody and uses the queries without a match as they are.
        fars: False alarm rates, above 0, at most 1. At 1 everybody passes, and the rate is Rank-1.
        repeats: Draws of who is unknown; with None, bootstrap replicates over identities.
        seed: Seed of either.
        metric: `cosine` or `euclidean`; not used with `distances`.
        device: `cpu`, or a CUDA device for the distances.

    Returns:
        OpenSetScores. A false alarm rate of less than one query has no figure, but a reason.

    Raises:
        DataError: Naming the argument; see `find_nearest_identities` and `score_open_set`.
    """
    nearest = find_nearest_identities(query, gallery, distances=distances, metric=metric, device=device)
    return score_open_set(nearest, unknown=unknown, fars=fars, repeats=repeats, seed=seed)


def score_open_set(
    nearest: NearestIdentities,
    *,
    unknown: float | None = 0.5,
    fars: Sequence[float] = FARS,
    repeats: int = 100,
    seed: int = 0,
) -> OpenSetScores:
    """`open_set` from distances that were reduced before.

    Raises:
        DataError: For `unknown`, `fars` or `repeats` out of range; nobody left to be known or unknown.
    """
    if not len(fars) or not all(0 < far <= 1 for far in fars):
        raise DataError(f"fars: got {list(fars)}, expected false alarm rates above 0 and at most 1, such as 0.01")
    if repeats < 1:
        raise DataError(f"repeats: got {repeats}, expected at least 1")
    generator = np.random.default_rng(seed)
    if unknown is None:
        trials, weights = _bootstrap(nearest, repeats, generator)
    else:
        trials = [_Trial.of(nearest, hidden) for hidden in _hidden_people(nearest, unknown, repeats, generator)]
        weights = [np.ones(len(nearest.own))] * repeats
    return _summary(trials, weights, fars=fars, unknown=unknown, repeats=repeats)


@dataclass(frozen=True)
class _Trial:
    """One gallery: (Q,) own distance, infinite for the unknown; whether the own person is nearest; nearest of all."""

    own: NDArray[np.floating[Any]]
    right: BoolArray
    nearest: NDArray[np.floating[Any]]
    enrolled: int

    @classmethod
    def of(cls, nearest: NearestIdentities, hidden: IntArray) -> _Trial:
        """The gallery without the `hidden` people."""
        kept = ~np.isin(nearest.people, hidden)
        own = np.where(np.isin(nearest.query_ids, hidden), np.inf, nearest.own)
        right = np.isfinite(own) & ~(nearest.ahead & kept).any(axis=1)
        return cls(own, right, nearest.distances[:, kept].min(axis=1), int(kept.sum()))

    def rates(self, weights: NDArray[np.float64], fars: NDArray[np.float64]) -> NDArray[np.float64]:
        """(2, F) detection and identification rates, and the thresholds that keep the false alarm rates."""
        known = np.isfinite(self.own)
        alarms, heavy = self.nearest[~known], weights[~known]
        order = np.argsort(alarms, kind="stable")
        below = np.cumsum(heavy[order])  # weight of unknown queries up to each alarm
        if not weights[known].sum() or not heavy.sum():
            return np.full((2, len(fars)), np.nan)  # a replicate that drew one kind only
        # The first alarm too many; whoever is nearer than that is let in. 1e-9: 0.29 x 100 is 28.999999999999996.
        place = np.searchsorted(below, fars * below[-1] + 1e-9, side="right")
        thresholds = np.append(alarms[order], np.inf)[place]  # (F,)
        passed = (self.own[:, None] < thresholds) & self.right[:, None]  # (Q, F)
        return np.stack([weights[known] @ passed[known] / weights[known].sum(), thresholds])


def _hidden_people(
    nearest: NearestIdentities, share: float, repeats: int, generator: np.random.Generator
) -> list[IntArray]:
    """Who is unknown in each draw, of the people who have a query with a match."""
    people = np.unique(nearest.query_ids[np.isfinite(nearest.own)])
    count = round(share * len(people)) if 0 < share < 1 else 0
    if not 0 < count < len(people):
        raise DataError(
            f"unknown: {share} of {len(people)} people with a query and a match leaves none known or none unknown; "
            "expected a share between 0 and 1 of at least two people, or None to use queries without a match"
        )
    return [generator.choice(people, count, replace=False) for _ in range(repeats)]


def _bootstrap(
    nearest: NearestIdentities, repeats: int, generator: np.random.Generator
) -> tuple[list[_Trial], list[NDArray[np.float64]]]:
    """The gallery as it is, and how often each query counts: once, then as often as its person is drawn."""
    known = np.isfinite(nearest.own)
    if known.all() or not known.any():
        raise DataError(
            f"unknown: None uses queries without a match as they are, and {int((~known).sum())} of {len(known)} are; "
            "expected some with and some without. Draw unknown people instead, such as unknown=0.5"
        )
    people, member = np.unique(nearest.query_ids, return_inverse=True)
    times = generator.multinomial(len(people), np.full(len(people), 1 / len(people)), size=repeats)
    weights = [np.ones(len(known)), *times[:, member].astype(np.float64)]
    return [_Trial.of(nearest, np.empty(0, dtype=np.int64))] * len(weights), weights


def _summary(
    trials: list[_Trial],
    weights: list[NDArray[np.float64]],
    *,
    fars: Sequence[float],
    unknown: float | None,
    repeats: int,
) -> OpenSetScores:
    """Means and intervals over the trials; the first alone is the figure where the others are a bootstrap."""
    asked = np.asarray(fars, dtype=np.float64)
    found = np.stack([trial.rates(w, asked) for trial, w in zip(trials, weights, strict=True)])  # (R, 2, F)
    rates, thresholds = found[:1].mean(axis=0) if unknown is None else found.mean(axis=0)
    spread = found[1:] if unknown is None else found
    ends = np.nanquantile(spread[:, 0], [0.025, 0.975], axis=0)  # (2, F)
    strangers = [int(np.isinf(trial.own).sum()) for trial in trials]
    made = []
    for f, far in enumerate(fars):
        if far * min(strangers) + 1e-9 < 1:
            reason = (
                f"{100 * far:g} % of {min(strangers)} unknown queries is less than one query; "
                f"at least {int(np.ceil(1 / far - 1e-9))} are needed"
            )
            made.append(DirAtFar(far, np.nan, (np.nan, np.nan), np.nan, reason))
        else:
            interval = float(ends[0, f]), float(ends[1, f])
            made.append(DirAtFar(far, float(rates[f]), interval, float(thresholds[f])))
    return OpenSetScores(
        rates=tuple(made),
        unknown=unknown,
        known_queries=float(np.mean([len(trials[0].own) - count for count in strangers])),
        unknown_queries=float(np.mean(strangers)),
        enrolled=float(np.mean([trial.enrolled for trial in trials])),
        repeats=repeats,
    )
