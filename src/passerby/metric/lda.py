"""Ridge linear discriminant analysis: whitening within groups, in the subspace of the largest ratios of variances."""

from __future__ import annotations

from passerby.metric.covariance import RIDGE, Matrix, PairCovariances, generalized_axes, symmetric_root

KEPT = 0.5
"""Fraction of the directions that are kept."""


def lda_map(covariances: PairCovariances, *, ridge: float = RIDGE, kept: float = KEPT) -> Matrix:
    """Return the symmetric root of W W^T, (D, D), where W has the axes of the largest values of LDA.

    Args:
        covariances: Covariances of one part.
        ridge: Above 0, in mean variances of each covariance.
        kept: Fraction of the axes, above 0, up to 1; 1 is WCCN.

    Example:
        >>> import numpy as np
        >>> from passerby.metric.covariance import PairCovariances
        >>> bool(lda_map(PairCovariances(np.eye(2), np.diag([4.0, 0.5])), ridge=1e-9)[0, 0] > 0.99)
        True
    """
    _, axes = generalized_axes(covariances, ridge=ridge)
    axes = axes[:, : max(1, round(kept * len(axes)))]
    return symmetric_root(axes @ axes.T)
