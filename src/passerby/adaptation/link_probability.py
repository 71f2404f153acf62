"""Probability that a link is right, estimated without labels from links that are known to be wrong.

Sources: Efron, Tibshirani, Storey and Tusher, "Empirical Bayes Analysis of a Microarray Experiment" (2001), for the
local false discovery rate; Kaell, Storey, MacCoss and Noble, "Posterior Error Probabilities and False Discovery Rates:
Two Sides of the Same Coin" (2008), for known wrong pairs and monotone regression.

L links   W wrong links   G pairs of cameras
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.extras import require_extra
from passerby.types import IntArray

TAIL = 0.1
"""Fraction of the wrong links above the value from which the right links of a pair of cameras are counted."""
DEVIATIONS = 2.0
"""Standard deviations that are subtracted from this count, so that cameras without common people have none."""


def fit_probabilities(values: NDArray[np.float64], views: IntArray, wrong: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate the probability that each link is right from its value and its cameras.

    Links have the density f = r h + (1 - r) g of their values: g of wrong links, h of right ones, and a fraction r of
    right links. f / g rises with the value, by isotonic regression; one wrong link is added above all, so that no
    probability is 1. The fraction of each pair of cameras is that of its links in the tail of g which are too many to
    be wrong. It is a lower bound, so that probabilities are rather too low than too high.

    Args:
        values: (L,) values of the links; a larger one is more probably right.
        views: (L,) pair of cameras of each link, 0 to G - 1.
        wrong: (W,) values of wrong links, 1 or more.

    Returns:
        (L,), 0 to below 1, rising with the value within a pair of cameras.

    Example:
        >>> right, wrong = np.linspace(0.8, 0.9, 50), np.linspace(0.1, 0.5, 100)
        >>> values, views = np.concatenate([right, wrong]), np.repeat([0, 1], [50, 100])
        >>> probabilities = fit_probabilities(values, views, wrong)
        >>> bool(probabilities[:50].min() > 0.9), float(probabilities[50:].max())
        (True, 0.0)
    """
    if not len(values):
        return np.empty(0)
    rates = _count_right(values, views, wrong)
    counts = np.bincount(views, minlength=len(rates))
    overall = float(rates @ counts) / len(values)
    if overall == 0:
        return np.zeros(len(values))
    ratios = np.maximum(_fit_ratios(values, wrong) - (1 - overall), 0) / overall  # h / g
    odds = rates[views] * ratios
    return np.asarray(odds / (odds + 1 - rates[views]))


def _count_right(values: NDArray[np.float64], views: IntArray, wrong: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least plausible fraction of right links of each pair of cameras, (G,), 0 to below 1."""
    above = values > np.quantile(wrong, 1 - TAIL)
    counts = np.bincount(views)
    shares = np.bincount(views, weights=above) / np.maximum(counts, 1)
    deviation = np.sqrt(TAIL * (1 - TAIL) / np.maximum(counts, 1))
    return np.clip((shares - TAIL - DEVIATIONS * deviation) / (1 - TAIL), 0, 1)


def _fit_ratios(values: NDArray[np.float64], wrong: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ratio f / g of the densities of links and wrong links at each link, (L,)."""
    optimize: Any = require_extra("scipy.optimize")
    wrong = np.append(wrong, max(values.max(), wrong.max()))
    positions, inverse = np.unique(np.concatenate([values, wrong]), return_inverse=True)
    f = np.bincount(inverse[: len(values)], minlength=len(positions)) / len(values)
    g = np.bincount(inverse[len(values) :], minlength=len(positions)) / len(wrong)
    share = optimize.isotonic_regression(f / (f + g), weights=f + g).x[inverse[: len(values)]]
    return np.asarray(share / np.maximum(1 - share, 1e-9))
