"""Drift: how far distances at a site differ from those that a calibration was fitted to.

The reference is the distribution of distances between images of different people from different cameras
(`Calibration.reference`). At a site, two sightings drawn at random show different people nearly always, so that the
distances of queries to sightings drawn at random are compared with it. The distance to the nearest sighting would not
do: its distribution depends on the size of the gallery.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.types import as_array


def count_between(distances: ArrayLike, reference: ArrayLike) -> NDArray[np.int64]:
    """Count distances between the quantiles of a reference; those outside count in the first and the last interval.

    Args:
        distances: Distances of any shape.
        reference: (K + 1,) quantiles, not descending.

    Returns:
        (K,) counts.

    Example:
        >>> count_between([0.1, 0.6, 0.9, 2.0], [0.2, 0.5, 0.8]).tolist()
        [1, 3]
    """
    edges = as_array(reference)[1:-1]
    places = np.searchsorted(edges, as_array(distances).ravel(), side="right")
    return np.bincount(places, minlength=len(edges) + 1)


def measure_drift(counts: ArrayLike) -> float:
    """Return the largest difference of the cumulative shares of counted distances and of the reference.

    This is the distance of Kolmogorov and Smirnov at the quantiles: 0 for equal distributions, near 1 for disjoint
    ones. With n independent distances of the reference itself it is below 1.36 / sqrt(n) in 95 % of cases.

    Args:
        counts: (K,) counts between quantiles with equal shares, from `count_between`; sum above 0.

    Example:
        >>> measure_drift([5, 5, 5, 5])
        0.0
        >>> measure_drift([10, 10, 0, 0])
        0.5
    """
    shares = np.cumsum(as_array(counts).astype(np.float64))
    expected = np.arange(1, len(shares) + 1) / len(shares)
    return float(np.abs(shares / shares[-1] - expected).max())
