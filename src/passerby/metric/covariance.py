"""Covariances of differences between crops of one group (a track, a link or an identity) and between groups.

N crops   D width of a vector   G groups
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.text import plural
from passerby.types import IntArray

UNKNOWN = -1
"""Group of a crop that belongs to no known group; it is in no pair."""
RIDGE = 1.0
"""Fraction of the mean variance added to each direction of a covariance before it is inverted;
chosen among 0.1, 0.3, 1 and 3 on training people of CUHK01 and CUHK03."""

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class PairCovariances:
    """Second moments of the differences of pairs, (D, D).

    Attributes:
        within: Mean over all pairs of one group.
        between: Mean over all pairs of two groups.
    """

    within: Matrix
    between: Matrix


def pair_covariances(vectors: Matrix, groups: IntArray) -> PairCovariances:
    """Compute the mean of d d^T over the differences d of all pairs, without listing the pairs.

    The sum over the pairs of n vectors is n sum(x x^T) - s s^T, where s is their sum.

    Args:
        vectors: (N, D).
        groups: (N,) group of each crop, or `UNKNOWN`.

    Raises:
        DataError: If no group has two different crops, or there is one group only.
    """
    known = groups != UNKNOWN
    kept, (_, labels, counts) = vectors[known], np.unique(groups[known], return_inverse=True, return_counts=True)
    if len(counts) < 2 or counts.max() < 2:
        raise DataError(
            f"groups: got {plural(len(counts), 'group')} of {plural(len(kept), 'crop')}, expected two or more, one "
            "with two crops"
        )
    sums = np.zeros((len(counts), vectors.shape[1]))
    np.add.at(sums, labels, kept)
    weights = counts[labels]
    within = (kept * weights[:, None]).T @ kept - sums.T @ sums
    total = len(kept) * kept.T @ kept - np.outer(kept.sum(axis=0), kept.sum(axis=0))
    pairs = float((counts * (counts - 1) / 2).sum())
    all_pairs = len(kept) * (len(kept) - 1) / 2
    within_mean = within / pairs
    if np.trace(within_mean) <= 1e-12:
        raise DataError(
            f"groups: the crops of each of {plural(len(counts), 'group')} are equal, expected different ones"
        )
    return PairCovariances(within_mean, (total - within) / (all_pairs - pairs))


def add_ridge(covariance: Matrix, *, ridge: float = RIDGE) -> Matrix:
    """Add `ridge` mean variances to the diagonal of a (D, D) covariance."""
    width = len(covariance)
    return np.asarray(covariance + ridge * np.trace(covariance) / width * np.eye(width))


def symmetric_root(metric: Matrix) -> Matrix:
    """Return the symmetric R with R R = metric, negative eigenvalues set to 0 (the nearest positive semidefinite one).

    The symmetric root keeps the axes of the vectors, so that camera-wise normalization, which divides each dimension
    by its standard deviation, does not undo the weights of the directions.
    """
    values, axes = np.linalg.eigh((metric + metric.T) / 2)
    return np.asarray((axes * np.sqrt(np.maximum(values, 0))) @ axes.T)


def generalized_axes(covariances: PairCovariances, *, ridge: float = RIDGE) -> tuple[Matrix, Matrix]:
    """Solve between w = value within w, with W^T within W = I.

    Returns:
        Values (D,), descending, and the axes as columns (D, D).
    """
    within = add_ridge(covariances.within, ridge=ridge)
    variances, axes = np.linalg.eigh(within)
    whiten = axes / np.sqrt(variances)  # (D, D), columns
    values, rotation = np.linalg.eigh(whiten.T @ add_ridge(covariances.between, ridge=ridge) @ whiten)
    return values[::-1], (whiten @ rotation)[:, ::-1]
