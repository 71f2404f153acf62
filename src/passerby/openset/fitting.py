"""Fit a calibration to counted pairs. Needs the extra `eval` (scipy and scikit-learn)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError, argument
from passerby.extras import require_extra
from passerby.openset.calibration import QUANTILES, Calibration, CalibrationMethod, FittedOn
from passerby.ranking.distance import Metric

if TYPE_CHECKING:
    from passerby.evaluation.pair_histogram import PairHistogram


def fit_calibration(
    pairs: PairHistogram, fitted_on: FittedOn, *, method: CalibrationMethod = "logistic", metric: Metric = "cosine"
) -> Calibration:
    """Fit the likelihood ratio of same to different identity; both kinds of pairs have the same total weight.

    Args:
        pairs: Counted pairs. Use identities on which no result is reported.
        fitted_on: Description of the pairs, stored in the calibration.
        method: `logistic`: the log ratio is linear in the distance and does not increase (Platt 1999, with his
            smoothed targets). `isotonic`: the log ratio decreases in steps (Zadrozny and Elkan 2002) that are joined
            through their centers (Oron and Flournoy 2017); one pair of either kind is added at both ends, so that no
            probability is 0 or 1.
        metric: Metric of the counted distances.

    Returns:
        Calibration without `identification` and `cameras`.

    Raises:
        DataError: When there is no pair of one kind, or for an unknown method.

    Example:
        >>> from passerby.evaluation.pair_histogram import PairHistogram
        >>> pairs = PairHistogram(0.0, 1.0, same=[80, 15, 5, 0], different=[0, 50, 350, 600])
        >>> facts = FittedOn("example", identities=10, images=40, same=100, different=1000, trained_on=False)
        >>> fit_calibration(pairs, facts).probability([0.1, 0.5, 0.9]).round(2)
        array([0.99, 0.39, 0.  ])
    """
    if method not in get_args(CalibrationMethod):
        raise DataError(
            f"{argument('method')}: got {method!r}, expected one of {', '.join(get_args(CalibrationMethod))}"
        )
    pairs.require_both()
    reference = _find_quantiles(pairs)
    used = np.flatnonzero(pairs.same + pairs.different)
    x, same, different = pairs.centers[used], pairs.same[used].astype(float), pairs.different[used].astype(float)
    if method == "isotonic":
        return Calibration(method, metric, *_fit_steps(x, same, different), fitted_on, reference=reference)
    offset, slope = fit_logistic_line(x, same, different, decreasing=True)
    ends = np.unique(x[[0, -1]])  # beyond the observed distances the ratio is constant
    return Calibration(method, metric, ends, offset + slope * ends, fitted_on, reference=reference)


def fit_logistic_line(
    x: NDArray[np.float64], same: NDArray[np.float64], different: NDArray[np.float64], *, decreasing: bool = False
) -> tuple[float, float]:
    """Fit the log ratio of same to different as a line in x, by balanced logistic regression.

    Targets are Platt's (n + 1) / (n + 2), so that pairs without overlap have a finite slope.

    Args:
        x: (B,) positions of the pairs.
        same: (B,) counts at each position, sum above 0.
        different: (B,) likewise.
        decreasing: Whether the slope is bounded by 0.

    Returns:
        Offset and slope.
    """
    targets = [(counts.sum() + 1) / (counts.sum() + 2) for counts in (same, different)]
    a, b = same / same.sum() / 2, different / different.sum() / 2
    positive, negative = a * targets[0] + b * (1 - targets[1]), a * (1 - targets[0]) + b * targets[1]  # weights, sum 1
    center = float((a + b) @ x)
    deviation = float(np.sqrt((a + b) @ (x - center) ** 2))
    if deviation > 0:
        z = np.concatenate([x, x])[:, None] - center
        linear: Any = require_extra("sklearn.linear_model")
        model = linear.LogisticRegression(C=np.inf, tol=1e-9, max_iter=1000)
        model.fit(z / deviation, np.repeat([1, 0], len(x)), sample_weight=np.concatenate([positive, negative]))
        slope, offset = float(model.coef_[0, 0]) / deviation, float(model.intercept_[0])
        if slope < 0 or not decreasing:
            return offset - slope * center, slope
    # The loss is convex: where the best slope is above its bound, the best line within the bound has slope 0.
    return float(np.log(positive.sum() / negative.sum())), 0.0


def _find_quantiles(pairs: PairHistogram) -> NDArray[np.float64]:
    """Return the quantiles of the distances of different people, linear within the bins."""
    used = np.flatnonzero(pairs.different)
    first, last = used[0], used[-1] + 1
    shares = np.concatenate([[0], np.cumsum(pairs.different[first:last])]) / pairs.different.sum()
    return np.interp(np.linspace(0, 1, QUANTILES), shares, pairs.edges[first : last + 1])


def _fit_steps(
    x: NDArray[np.float64], same: NDArray[np.float64], different: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Center and log ratio of each step that pooling adjacent violators leaves."""
    for counts in (same, different):
        counts[0] += 1
        counts[-1] += 1
    a, b = same / same.sum(), different / different.sum()
    optimize: Any = require_extra("scipy.optimize")
    starts = optimize.isotonic_regression(a / (a + b), weights=a + b, increasing=False).blocks[:-1]
    centers = np.add.reduceat((a + b) * x, starts) / np.add.reduceat(a + b, starts)
    ratios = np.log(np.add.reduceat(a, starts) / np.add.reduceat(b, starts))
    return centers, np.minimum.accumulate(ratios)  # rounding can let a ratio increase in its last digit
