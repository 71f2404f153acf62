"""XQDA: a subspace and a metric in it, by cross-view quadratic discriminant analysis.

Source: Liao, Hu, Zhu and Li, "Person Re-identification by Local Maximal Occurrence Representation and Metric Learning"
(2015). All pairs of a group count, not only those of two cameras, so that tracks of one camera can be used.
"""

from __future__ import annotations

import numpy as np

from passerby.metric.covariance import RIDGE, Matrix, PairCovariances, generalized_axes, symmetric_root


def xqda_map(covariances: PairCovariances, *, ridge: float = RIDGE) -> Matrix:
    """Return the symmetric root of W (I - L^-1) W^T, (D, D).

    W has the axes on which differences between groups vary more than within them (value L above 1), with unit variance
    within groups. In this subspace within^-1 - between^-1 is I - L^-1.

    Args:
        covariances: Covariances of one part.
        ridge: Above 0, in mean variances of each covariance.

    Example:
        >>> from passerby.metric.covariance import PairCovariances
        >>> xqda_map(PairCovariances(np.eye(2), np.diag([4.0, 0.5])), ridge=1e-9).round(3).diagonal()
        array([0.866, 0.   ])
    """
    values, axes = generalized_axes(covariances, ridge=ridge)
    kept = axes[:, values > 1] * np.sqrt(1 - 1 / values[values > 1])
    return symmetric_root(kept @ kept.T)
