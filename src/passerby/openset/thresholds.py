"""Threshold of the distance for a stated false alarm rate in a gallery of a stated size.

The larger the gallery, the closer its nearest other identity. From the distances of a query to N other identities, the
probability over all galleries of n of them follows without drawing any: when k of them are below a threshold, a gallery
of n holds none of these with probability C(N - k, n) / C(N, n), the hypergeometric distribution.

Needs the extra `eval` (scipy).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError, argument
from passerby.extras import require_extra
from passerby.openset.nearest_identities import NearestIdentities
from passerby.text import plural
from passerby.types import BoolArray, IntArray, Result

gammaln: Any = require_extra("scipy.special").gammaln

_SEARCHED = 10  # the bootstrap searches thresholds up to this multiple of the false alarm rate


@dataclass(frozen=True, repr=False)
class Threshold(Result):
    """Threshold below which the nearest identity is recognized, and the rates at the threshold.

    Attributes:
        threshold: Distance.
        interval: 95 %, bootstrap over identities in queries and gallery; an open end is infinite.
        far: Probability that a person who is not in the gallery is taken for an identity in it.
        gallery_size: Number of identities in the gallery, n.
        rate: Detection and identification rate: fraction of images of enrolled identities that are recognized. NaN when
            no query has a match.
        rate_interval: 95 %, likewise; each replicate at its own threshold.
        extrapolated: Whether the gallery is larger than the number of identities in the data; see `compute_threshold`.
        queries: Number of query images.
        other_identities: Number of other identities that each query can be taken for, N.
        images: Mean number of gallery images of an identity; more images raise more false alarms.
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


def compute_threshold(
    nearest: NearestIdentities, far: float, *, gallery_size: int | None = None, bootstrap: int = 1000, seed: int = 0
) -> Threshold:
    """Compute the threshold at which an unknown person is taken for one of `gallery_size` identities.

    Every query is used as an unknown person against all other identities, and as a known one against its own and the
    others. Distractors are left out, because they would not be enrolled. A gallery of more identities than the N others
    in the data is treated as n / N independent galleries of N: 1 - (1 - FAR_N)^(n / N). Because queries differ, this
    tends to give too small a threshold; docs/open-set.md has a measurement.

    Args:
        nearest: Distances of images like those in use, of identities to which nothing was fitted.
        far: False alarm rate, above 0, below 1.
        gallery_size: Number of enrolled identities, n; None is N.
        bootstrap: Replicates of the intervals, at least 1.
        seed: Seed of the bootstrap.

    Returns:
        Threshold.

    Raises:
        DataError: Naming the argument; when there are too few queries for the false alarm rate, with the number needed.

    Example:
        >>> from passerby.openset.nearest_identities import find_nearest_identities
        >>> generator = np.random.default_rng(0)
        >>> ids = np.repeat(np.arange(1, 21), 2)  # 20 identities, one image in each of two cameras
        >>> vectors = generator.standard_normal((20, 8))[ids - 1] + 0.2 * generator.standard_normal((40, 8))
        >>> images = passerby.Embeddings(vectors, ids, np.tile([0, 1], 20))
        >>> result = compute_threshold(find_nearest_identities(images, images), 0.1, gallery_size=10, bootstrap=20)
        >>> result.gallery_size, result.other_identities, result.rate > 0.5
        (10, 19, True)
    """
    if not 0 < far < 1:
        raise DataError(f"{argument('far')}: got {far}, expected a false alarm rate between 0 and 1, such as 0.01")
    if bootstrap < 1:
        raise DataError(f"bootstrap: got {bootstrap}, expected at least 1 replicate")
    kept = nearest.is_identity
    if kept.sum() < 2:
        raise DataError(f"gallery: shows {plural(kept.sum(), 'person')}, expected at least 2")
    others = int(kept.sum()) - int(np.isin(nearest.query_ids, nearest.gallery_ids).any())
    size = others if gallery_size is None else gallery_size
    if size < 1:
        raise DataError(f"{argument('gallery_size')}: got {size}, expected at least 1 person")
    copies = max(1.0, size / others)
    copy_far = -np.expm1(np.log1p(-far) / copies)  # false alarm rate of one of the independent galleries
    _require_resolution(far, copy_far, size=size, others=others, queries=len(nearest.own))
    sample = _Sample.select(nearest, copy_far, size=min(size, others), copies=copies)
    threshold, rate = sample.measure(np.ones(sample.identities, dtype=np.int64))
    generator = np.random.default_rng(seed)
    draws = generator.multinomial(sample.identities, np.full(sample.identities, 1 / sample.identities), size=bootstrap)
    replicates = np.array([sample.measure(times) for times in draws])  # (R, 2)
    return Threshold(
        threshold=threshold,
        interval=_interval(replicates[:, 0], estimate=threshold, highest=np.inf),
        far=far,
        gallery_size=size,
        rate=rate,
        rate_interval=_interval(replicates[:, 1], estimate=rate, highest=1.0),
        extrapolated=size > others,
        queries=len(nearest.own),
        other_identities=others,
        images=float(nearest.images[kept].mean()),
    )


def _interval(replicates: NDArray[np.float64], *, estimate: float, highest: float) -> tuple[float, float]:
    """95 % of the replicates, shifted so that their median is the estimate.

    A sample with replacement has fewer distinct identities, and a gallery of fewer holds fewer near ones; without the
    shift the interval covered the threshold of 3,000 simulated identities in 58 % of 60 samples of 100, with it in
    98 %.
    """
    if np.isnan(estimate):
        return np.nan, np.nan
    low, median, high = np.quantile(replicates[~np.isnan(replicates)], [0.025, 0.5, 0.975], method="inverted_cdf")
    shift = estimate - median if np.isfinite(estimate) and np.isfinite(median) else 0.0
    return float(max(0.0, low + shift)), float(min(highest, high + shift))


def _require_resolution(far: float, copy_far: float, *, size: int, others: int, queries: int) -> None:
    """Raise DataError when a false alarm of one query against its nearest identity exceeds the requested rate."""
    needed = int(np.ceil(min(size, others) / others / copy_far - 1e-9))
    if needed > queries:
        raise DataError(
            f"{argument('far')}: {far:g} in a gallery of {plural(size, 'person')} is less than one of "
            f"{plural(queries, 'query')} against {plural(others, 'person')}; {needed - queries} more are needed, "
            f"{needed} in all. Give more images, or a larger {argument('far')}"
        )


@dataclass(frozen=True)
class _Sample:
    """Distances that can be measured with each identity counted any number of times, as query and in the gallery.

    M cells are the (query, other identity) that are near enough to matter, by query and then by distance.
    """

    far: float
    size: int
    copies: float
    identities: int
    of_query: IntArray  # (Q,) identity
    of_column: IntArray  # (I,) identity
    cell_query: IntArray  # (M,)
    cell_identity: IntArray  # (M,)
    cell_distance: NDArray[np.floating[Any]]  # (M,)
    by_distance: IntArray  # (M,) order of the cells
    own: NDArray[np.floating[Any]]  # (Q,)
    near: IntArray  # queries whose own identity is near enough to be recognized
    ahead: NDArray[np.float32]  # (near, I) 1 where another identity ranks ahead of it

    @classmethod
    def select(cls, nearest: NearestIdentities, far: float, *, size: int, copies: float) -> _Sample:
        """Select the cells up to the distance at which `_SEARCHED` times the false alarm rate is reached."""
        kept = nearest.is_identity
        columns = nearest.gallery_ids[kept]
        identities = np.union1d(columns, nearest.query_ids)
        others = nearest.distances[:, kept].copy()  # (Q, I)
        others[nearest.query_ids[:, None] == columns] = np.inf
        counts = len(columns) - np.isin(nearest.query_ids, columns).astype(np.int64)  # (Q,) other identities
        limit = _find_limit(others, min(1.0, _SEARCHED * far), size=size, counts=counts)
        query, column = np.nonzero(others < limit)
        distance = others[query, column]
        order = np.lexsort((distance, query))
        query, column, distance = query[order], column[order], distance[order]
        near = np.flatnonzero(nearest.own < limit)
        of_column = np.searchsorted(identities, columns)
        return cls(
            far=far,
            size=size,
            copies=copies,
            identities=len(identities),
            of_query=np.searchsorted(identities, nearest.query_ids),
            of_column=of_column,
            cell_query=query,
            cell_identity=of_column[column],
            cell_distance=distance,
            by_distance=np.argsort(distance, kind="stable"),
            own=nearest.own,
            near=near,
            ahead=nearest.ahead[np.ix_(near, np.flatnonzero(kept))].astype(np.float32),
        )

    def measure(self, times: IntArray) -> tuple[float, float]:
        """Threshold and detection and identification rate, with identity i counted `times[i]` times."""
        in_gallery = np.zeros(self.identities, dtype=np.int64)
        in_gallery[self.of_column] = times[self.of_column]
        others = (in_gallery.sum() - in_gallery)[self.of_query]  # (Q,) identities that each could be taken for
        weight = times[self.of_query]  # (Q,)
        # Along the cells of a query, k counts the identities so far; each cell adds its part of the probability.
        count = in_gallery[self.cell_identity]
        running = np.cumsum(count)
        starts = np.searchsorted(self.cell_query, np.arange(len(others)))
        k = running - np.concatenate([[0], running])[starts][self.cell_query]
        alarm = _AlarmTable(others, self.size)
        part = alarm(self.cell_query, k) - alarm(self.cell_query, k - count)
        alarms = np.cumsum((part * weight[self.cell_query])[self.by_distance])
        exceeding = int(np.searchsorted(alarms, self.far * weight.sum() * (1 + 1e-9), side="right"))
        threshold = float(self.cell_distance[self.by_distance[exceeding]]) if exceeding < len(alarms) else np.inf
        return threshold, self._measure_rate(threshold, weight, in_gallery, others)

    def _measure_rate(self, threshold: float, weight: IntArray, in_gallery: IntArray, others: IntArray) -> float:
        """Fraction of known queries that are closer than the threshold and than the n - 1 other identities."""
        known = weight[np.isfinite(self.own)].sum()
        if not known:
            return np.nan
        passed = weight[self.near] * (self.own[self.near] < threshold)
        if not passed.sum():
            return 0.0
        ahead = np.rint(self.ahead @ in_gallery[self.of_column].astype(np.float32)).astype(np.int64)
        first = 1 - _AlarmTable(others, self.size - 1)(self.near, ahead)
        if self.copies > 1:
            first = np.full(len(first), np.average(first, weights=passed) ** self.copies)
        return float(passed @ first / known)


class _AlarmTable:
    """1 - C(N - k, n) / C(N, n) for many k, tabulated because N takes few values."""

    def __init__(self, others: IntArray, size: int) -> None:
        values, self._row = np.unique(others, return_inverse=True)  # self._row: (Q,)
        n = np.minimum(size, values)[:, None]
        k = np.arange(values[-1] + 1)
        left = np.maximum(values[:, None] - k, n)
        log_none = gammaln(left + 1) - gammaln(left - n + 1) - gammaln(values[:, None] + 1)
        log_none += gammaln(values[:, None] - n + 1)
        self._table = np.where(values[:, None] - k < n, 1.0, -np.expm1(log_none))  # (values, N + 1)

    def __call__(self, queries: IntArray, k: IntArray) -> NDArray[np.float64]:
        """Probability that a gallery of n holds one of the k identities, for each of these queries."""
        return np.asarray(self._table[self._row[queries], k], dtype=np.float64)


def _find_limit(others: NDArray[np.floating[Any]], far: float, *, size: int, counts: IntArray) -> float:
    """Find a distance at which at least `far` of the queries raise an alarm, by bisection; infinity without one."""
    finite: BoolArray = np.isfinite(others)
    if far >= 1 or not finite.any():
        return np.inf
    alarm = _AlarmTable(counts, size)
    queries = np.arange(len(others))

    def rate(distance: float) -> float:
        return float(alarm(queries, (others < distance).sum(axis=1)).mean())

    low, high = float(others.min()), float(others[finite].max())
    if rate(high) < far:
        return np.inf
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if rate(middle) < far else (low, middle)
    return high
