"""Rank fusion: combine the distances of several models or views."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError
from passerby.ranking.blocks import DistanceBlocks, check_distances
from passerby.text import plural
from passerby.types import FloatArray, as_array

Fusion = Literal["reciprocal", "average", "borda"]
Calibrate = Callable[[FloatArray], NDArray[np.floating]]
"""Distances of any shape -> probability of the same person, 0 to 1."""


def fuse(
    distances: Sequence[ArrayLike],
    *,
    method: Fusion = "reciprocal",
    weights: ArrayLike | None = None,
    calibrations: Sequence[Calibrate] | None = None,
    k: int = 60,
) -> FloatArray:
    """Fuse several (Q, G) matrices of distances into one.

    Args:
        distances: (Q, G) floating point of each model or view; smaller is nearer.
        method: As for `fuse_blocks`, likewise `weights`, `calibrations` and `k`.
        weights: Weight of each matrix.
        calibrations: For `average`: function from distances to probabilities, for each matrix.
        k: For `reciprocal`: constant added to each rank.

    Returns:
        (Q, G) float32, smaller is nearer.

    Raises:
        DataError: Naming the argument; see `fuse_blocks`.

    Example:
        >>> passerby.fuse([[[0.1, 0.2, 0.3]], [[0.9, 0.4, 0.5]]], method="borda").tolist()
        [[2.0, 1.5, 2.5]]
    """
    matrices = [as_array(matrix) for matrix in distances]
    shape = matrices[0].shape if matrices else (0, 0)
    if len(shape) != 2:
        raise DataError(f"distances: got shape {shape}, expected (Q, G)")
    fused = np.empty(shape, dtype=np.float32)
    lists = [check_distances(matrix, shape=(shape[0], shape[1])) for matrix in matrices]
    for first, block in fuse_blocks(lists, method=method, weights=weights, calibrations=calibrations, k=k):
        fused[first : first + len(block)] = block
    return fused


def fuse_blocks(
    lists: Sequence[DistanceBlocks],
    *,
    method: Fusion = "reciprocal",
    weights: ArrayLike | None = None,
    calibrations: Sequence[Calibrate] | None = None,
    k: int = 60,
) -> Iterator[tuple[int, FloatArray]]:
    """Fuse blocks of distances between the same queries and the same gallery.

    Args:
        lists: Blocks of each model or view, of any heights; smaller is nearer.
        method: `reciprocal`: sum of 1 / (k + rank) (Cormack et al. 2009). `borda`: mean rank. `average`: mean of the
            calibrated probabilities; without `calibrations`, mean of the distances standardized per query (mean 0,
            standard deviation 1), so that the scale of a model has no effect.
        weights: Weight of each list, at least 0, not all 0; None weighs all the same.
        calibrations: For `average`: function from distances to probabilities, for each list.
        k: For `reciprocal`, at least 1: the larger, the less the first ranks dominate.

    Returns:
        Iterator of (query, (1, G) float32), smaller is nearer. An item at infinity in any list is at infinity.

    Raises:
        DataError: At the call, naming the argument; during the iteration, for lists of different queries or galleries,
            NaN, or a calibration that does not return probabilities.

    Example:
        >>> a, b = np.array([[0.1, 0.2, 0.3]]), np.array([[0.9, 0.4, 0.5]])
        >>> [block.tolist() for _, block in fuse_blocks([[(0, a)], [(0, b)]], method="borda")]
        [[[2.0, 1.5, 2.5]]]
    """
    if method not in get_args(Fusion):
        raise DataError(f"method: got {method!r}, expected one of {', '.join(get_args(Fusion))}")
    if not len(lists):
        raise DataError("lists: got none, expected at least one")
    shares = np.ones(len(lists)) if weights is None else as_array(weights).astype(np.float64)
    if shares.shape != (len(lists),) or not np.isfinite(shares).all() or (shares < 0).any() or not shares.any():
        raise DataError(f"weights: got {weights!r}, expected {plural(len(lists), 'number')}, at least 0 and not all 0")
    if calibrations is not None and (method != "average" or len(calibrations) != len(lists)):
        raise DataError(
            f"calibrations: got {len(calibrations)} for {plural(len(lists), 'list')} and method={method!r}, expected "
            "one for each list and method='average'"
        )
    if k < 1:
        raise DataError(f"k: got {k}, expected at least 1")
    return _fuse(lists, method=method, weights=shares / shares.sum(), calibrations=calibrations, k=k)


def _fuse(
    lists: Sequence[DistanceBlocks],
    *,
    method: Fusion,
    weights: NDArray[np.float64],
    calibrations: Sequence[Calibrate] | None,
    k: int,
) -> Iterator[tuple[int, FloatArray]]:
    for query, rows in enumerate(_align(lists)):
        fused = np.zeros(rows[0].shape)  # (G,)
        for number, (row, weight) in enumerate(zip(rows, weights, strict=True)):
            if np.isnan(row).any() or np.isneginf(row).any():
                raise DataError(f"lists: NaN or -infinity in list {number}, query {query}")
            calibrate = None if calibrations is None else calibrations[number]
            fused += weight * _score_items(row, method=method, calibrate=calibrate, k=k)
        fused[np.any(np.isposinf(rows), axis=0)] = np.inf
        yield query, fused[None].astype(np.float32)


def _align(lists: Sequence[DistanceBlocks]) -> Iterator[list[FloatArray]]:
    """Yield the (G,) distances of the same query from every list, for blocks of any heights."""
    iterators = [((first + i, row) for first, block in blocks for i, row in enumerate(block)) for blocks in lists]
    for query, heads in enumerate(zip_longest(*iterators)):
        if None in heads:
            raise DataError(f"lists: list {heads.index(None)} ends before query {query}, other lists continue")
        queries, rows = [number for number, _ in heads], [row for _, row in heads]
        if set(queries) != {query} or len({row.shape for row in rows}) != 1:
            raise DataError(
                f"lists: expected query {query}, got queries {queries} with {[len(row) for row in rows]} gallery "
                "items; give distances of the same queries, in order, and of the same gallery"
            )
        yield rows


def _score_items(row: FloatArray, *, method: Fusion, calibrate: Calibrate | None, k: int) -> NDArray[np.float64]:
    """(G,) contribution of one list, smaller is nearer; its value for items at infinity is not used."""
    if method != "average":
        ranks = np.empty(len(row))
        ranks[np.argsort(row, kind="stable")] = np.arange(1, len(row) + 1)
        return -1.0 / (k + ranks) if method == "reciprocal" else ranks
    scores, finite = np.zeros(row.shape), np.isfinite(row)
    values = row[finite].astype(np.float64)
    if calibrate is not None:
        probabilities = np.asarray(calibrate(row[finite]), dtype=np.float64)
        if probabilities.shape != values.shape or not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise DataError(
                f"calibrations: gave shape {probabilities.shape} for {plural(len(values), 'distance')}, or not 0 to 1"
            )
        scores[finite] = -probabilities
    elif len(values):
        scores[finite] = (values - values.mean()) / (values.std() or 1)
    return scores
