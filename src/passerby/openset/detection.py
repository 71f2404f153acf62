"""Open-set identification: detection and identification rate (DIR) at a false alarm rate (FAR).

Metrics after Phillips, Grother and Micheals, "Evaluation Methods in Face Recognition" (Handbook of Face Recognition,
2nd edition, 2011, section 21.3.3), at rank 1. A known query is recognized when its identity is nearest of all and
closer than a threshold; an unknown query, whose identity is not enrolled, raises a false alarm when any identity is
closer than the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError
from passerby.openset.nearest_identities import NearestIdentities, find_nearest_identities
from passerby.ranking.blocks import DistanceBlocks
from passerby.ranking.distance import Metric
from passerby.text import plural
from passerby.types import BoolArray, Embeddings, IntArray, Labels, Result, to_json

FARS = (0.001, 0.01, 0.1)
"""Default false alarm rates."""


@dataclass(frozen=True, repr=False)
class DirAtFar(Result):
    """Detection and identification rate at one false alarm rate.

    Attributes:
        far: False alarm rate: fraction of unknown queries that are taken for an enrolled identity, above 0.
        rate: Detection and identification rate: fraction of known queries that are recognized, mean over the draws,
            0 to 1. NaN where the data do not resolve the false alarm rate.
        interval: 2.5 and 97.5 % quantiles over the draws (over the bootstrap, where none are drawn); NaN like `rate`.
        threshold: Distance below which a query is recognized, mean over the draws; NaN like `rate`.
        reason: Why there is no rate; empty where there is one.
    """

    far: float
    rate: float
    interval: tuple[float, float]
    threshold: float
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of `scores.json`; None where there is no rate."""
        keep = not self.reason
        return {
            "far": self.far,
            "dir": self.rate if keep else None,
            "interval": list(self.interval) if keep else None,
            "threshold": to_json(self.threshold),
            "reason": self.reason,
        }


@dataclass(frozen=True, repr=False)
class OpenSetScores(Result):
    """Open-set metrics, with the counts that they depend on.

    Attributes:
        rates: Rate at each false alarm rate.
        unknown: Fraction of the query identities that are drawn as unknown; None where the queries without a match are
            the unknown ones.
        known_queries: Number of queries whose identity is enrolled, mean over the draws.
        unknown_queries: Number of queries whose identity is not enrolled, mean over the draws.
        enrolled: Number of identities in the gallery, mean over the draws; all distractors count as one.
        repeats: Number of draws (or bootstrap replicates) behind the intervals.
    """

    rates: tuple[DirAtFar, ...]
    unknown: float | None
    known_queries: float
    unknown_queries: float
    enrolled: float
    repeats: int


def open_set(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: ArrayLike | DistanceBlocks | None = None,
    unknown: float | None = 0.5,
    fars: Sequence[float] = FARS,
    repeats: int = 100,
    seed: int = 0,
    metric: Metric = "cosine",
    device: str = "auto",
) -> OpenSetScores:
    """Compute the detection and identification rate at given false alarm rates.

    Test sets of person re-identification are closed: every query identity is in the gallery. A fraction of the query
    identities is therefore drawn as unknown and removed from the gallery, `repeats` times. Distractors and identities
    without a query stay enrolled. A query whose identity is enrolled in its own camera only counts as unknown, because
    the Market-1501 protocol leaves no image to find.

    Args:
        query: Q embeddings; `Labels` when `distances` are given.
        gallery: G embeddings, or `Labels`.
        distances: (Q, G) distances, or blocks of them, in place of those between the vectors; see `passerby.score`.
        unknown: Fraction of identities to draw, 0 to 1; None draws none and takes the queries without a match.
        fars: False alarm rates, above 0, at most 1. At 1 there is no threshold, and the rate is Rank-1.
        repeats: Number of draws; with `unknown=None`, of bootstrap replicates over identities.
        seed: Seed of the draws or of the bootstrap.
        metric: `cosine` or `euclidean`; not used with `distances`.
        device: As for `passerby.score`.

    Returns:
        OpenSetScores. A false alarm rate of less than one query has a reason in place of a rate.

    Raises:
        DataError: Naming the argument, when it is out of range or leaves no known or no unknown query; see
            `find_nearest_identities`.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> centers = generator.standard_normal((20, 8))
        >>> query, gallery = (
        ...     passerby.Embeddings(centers + 0.1 * generator.standard_normal((20, 8)), np.arange(1, 21), [camera] * 20)
        ...     for camera in (0, 1)
        ... )
        >>> scores = passerby.open_set(query, gallery, fars=[0.1])
        >>> scores.rates[0].rate, scores.unknown_queries
        (1.0, 10.0)
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
    """Compute the metrics of `open_set` from distances that are reduced to the nearest identities.

    Args:
        nearest: Distances to the nearest image of each identity.
        unknown: As for `open_set`, likewise `fars`, `repeats` and `seed`.
        fars: False alarm rates.
        repeats: Number of draws.
        seed: Seed of the draws.

    Raises:
        DataError: For `unknown`, `fars` or `repeats` out of range, or without known or unknown queries.
    """
    if not len(fars) or not all(0 < far <= 1 for far in fars):
        raise DataError(f"fars: got {list(fars)}, expected false alarm rates above 0 and at most 1, such as 0.01")
    if repeats < 1:
        raise DataError(f"repeats: got {repeats}, expected at least 1")
    generator = np.random.default_rng(seed)
    if unknown is None:
        trials, weights = _bootstrap(nearest, repeats, generator)
    else:
        trials = [_Trial.without(nearest, hidden) for hidden in _draw_unknown(nearest, unknown, repeats, generator)]
        weights = [np.ones(len(nearest.own))] * repeats
    return _summarize(trials, weights, fars=fars, unknown=unknown, repeats=repeats)


@dataclass(frozen=True)
class _Trial:
    """One gallery: (Q,) own distance, infinite for unknown queries; own identity first; distance of the first."""

    own: NDArray[np.floating[Any]]
    own_is_first: BoolArray
    first: NDArray[np.floating[Any]]
    enrolled: int

    @classmethod
    def without(cls, nearest: NearestIdentities, hidden: IntArray) -> _Trial:
        """Remove the `hidden` identities from the gallery."""
        kept = ~np.isin(nearest.gallery_ids, hidden)
        own = np.where(np.isin(nearest.query_ids, hidden), np.inf, nearest.own)
        own_is_first = np.isfinite(own) & ~(nearest.ahead & kept).any(axis=1)
        return cls(own, own_is_first, nearest.distances[:, kept].min(axis=1), int(kept.sum()))

    def rates(self, weights: NDArray[np.float64], fars: NDArray[np.float64]) -> NDArray[np.float64]:
        """(2, F) detection and identification rates, and the largest thresholds within the false alarm rates."""
        known = np.isfinite(self.own)
        alarms, alarm_weights = self.first[~known], weights[~known]
        order = np.argsort(alarms, kind="stable")
        cumulated = np.cumsum(alarm_weights[order])  # weight of the unknown queries up to each alarm
        if not weights[known].sum() or not alarm_weights.sum():
            return np.full((2, len(fars)), np.nan)  # a replicate that drew one kind only
        # The threshold is the first alarm that exceeds the rate. 1e-9: 0.29 x 100 is 28.999999999999996.
        exceeding = np.searchsorted(cumulated, fars * cumulated[-1] + 1e-9, side="right")
        thresholds = np.append(alarms[order], np.inf)[exceeding]  # (F,)
        recognized = (self.own[:, None] < thresholds) & self.own_is_first[:, None]  # (Q, F)
        return np.stack([weights[known] @ recognized[known] / weights[known].sum(), thresholds])


def _draw_unknown(
    nearest: NearestIdentities, fraction: float, repeats: int, generator: np.random.Generator
) -> list[IntArray]:
    """Draw the unknown identities of each trial, among those that have a query with a match."""
    identities = np.unique(nearest.query_ids[np.isfinite(nearest.own)])
    count = round(fraction * len(identities)) if 0 < fraction < 1 else 0
    if not 0 < count < len(identities):
        raise DataError(
            f"unknown: {fraction} of {plural(len(identities), 'person')} with a query and a match leaves none known or "
            "none unknown; expected a fraction between 0 and 1 of at least two people, or None for queries without a "
            "match"
        )
    return [generator.choice(identities, count, replace=False) for _ in range(repeats)]


def _bootstrap(
    nearest: NearestIdentities, repeats: int, generator: np.random.Generator
) -> tuple[list[_Trial], list[NDArray[np.float64]]]:
    """Return the full gallery and the weights of the queries: 1 first, then how often their identity is drawn."""
    known = np.isfinite(nearest.own)
    if known.all() or not known.any():
        raise DataError(
            f"unknown: None uses queries without a match as they are, and {int((~known).sum())} of {len(known)} are; "
            "expected some with and some without. Draw unknown people instead, such as unknown=0.5"
        )
    identities, membership = np.unique(nearest.query_ids, return_inverse=True)
    count = len(identities)
    times = generator.multinomial(count, np.full(count, 1 / count), size=repeats)
    weights = [np.ones(len(known)), *times[:, membership].astype(np.float64)]
    return [_Trial.without(nearest, np.empty(0, dtype=np.int64))] * len(weights), weights


def _summarize(
    trials: list[_Trial],
    weights: list[NDArray[np.float64]],
    *,
    fars: Sequence[float],
    unknown: float | None,
    repeats: int,
) -> OpenSetScores:
    """Compute means and intervals over the trials; for a bootstrap, the estimate is the first trial."""
    values = np.stack([trial.rates(w, np.asarray(fars)) for trial, w in zip(trials, weights, strict=True)])  # (R, 2, F)
    rates, thresholds = values[:1].mean(axis=0) if unknown is None else values.mean(axis=0)
    replicates = values[1:] if unknown is None else values
    low, high = np.nanquantile(replicates[:, 0], [0.025, 0.975], axis=0)  # (F,)
    unknown_counts = [int(np.isinf(trial.own).sum()) for trial in trials]
    fewest = min(unknown_counts)
    results = []
    for f, far in enumerate(fars):
        if far * fewest + 1e-9 < 1:
            reason = (
                f"{100 * far:g} % of {plural(fewest, 'unknown query')} is less than one query; at least "
                f"{int(np.ceil(1 / far - 1e-9))} are needed"
            )
            results.append(DirAtFar(far, np.nan, (np.nan, np.nan), np.nan, reason))
        else:
            interval = float(low[f]), float(high[f])
            results.append(DirAtFar(far, float(rates[f]), interval, float(thresholds[f])))
    return OpenSetScores(
        rates=tuple(results),
        unknown=unknown,
        known_queries=float(np.mean([len(trials[0].own) - count for count in unknown_counts])),
        unknown_queries=float(np.mean(unknown_counts)),
        enrolled=float(np.mean([trial.enrolled for trial in trials])),
        repeats=repeats,
    )
