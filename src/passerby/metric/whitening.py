"""Within-class covariance normalization (WCCN).

Source: Hatch, Kajarekar and Stolcke, "Within-Class Covariance Normalization for SVM-based Speaker Recognition" (2006).
"""

from __future__ import annotations

import numpy as np

from passerby.metric.covariance import RIDGE, Matrix, PairCovariances, add_ridge, symmetric_root


def wccn_map(covariances: PairCovariances, *, ridge: float = RIDGE) -> Matrix:
    """Return (W + ridge * mean variance)^-1/2, (D, D), where W is the covariance within groups.

    Args:
        covariances: Covariances of one part.
        ridge: Above 0, in mean variances; larger values whiten less.

    Example:
        >>> from passerby.metric.covariance import pair_covariances
        >>> vectors = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 3.0], [0.0, 1.0]])
        >>> wccn_map(pair_covariances(vectors, np.array([1, 1, 2, 2]))).shape
        (2, 2)
    """
    return symmetric_root(np.asarray(np.linalg.inv(add_ridge(covariances.within, ridge=ridge)), np.float64))
