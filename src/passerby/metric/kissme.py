"""KISSME: a metric from the likelihood ratio of two normal distributions of differences.

Source: Koestinger, Hirzer, Wohlhart, Roth and Bischof, "Large Scale Metric Learning from Equivalence Constraints"
(2012), equations 7 to 10.
"""

from __future__ import annotations

import numpy as np

from passerby.metric.covariance import RIDGE, Matrix, PairCovariances, add_ridge, symmetric_root


def kissme_map(covariances: PairCovariances, *, ridge: float = RIDGE) -> Matrix:
    """Return the symmetric root of within^-1 - between^-1, (D, D), projected on positive semidefinite matrices.

    Args:
        covariances: Covariances of one part.
        ridge: Above 0, in mean variances of each covariance.

    Example:
        >>> from passerby.metric.covariance import PairCovariances
        >>> kissme_map(PairCovariances(np.eye(2), 4 * np.eye(2)), ridge=1e-9).round(3)[0, 0]
        np.float64(0.866)
    """
    within = np.linalg.inv(add_ridge(covariances.within, ridge=ridge))
    return symmetric_root(within - np.linalg.inv(add_ridge(covariances.between, ridge=ridge)))
