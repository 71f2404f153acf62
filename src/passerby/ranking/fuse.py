"""Rank fusion: the lists of several models, or of several views, become one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.ranking.blocks import DistanceBlocks, check_distances
from passerby.types import FloatArray

Fusion = Literal["reciprocal", "average", "borda"]
Calibrate = Callable[[FloatArray], NDArray[np.floating]]
"""Distances of any shape -> probability of the same person, 0 to 1."""


def fuse(
    distances: Sequence[FloatArray],
    *,
    method: Fusion = "reciprocal",
    weights: Sequence[float] | None = None,
    calibrations: Sequence[Calibrate] | None = None,
    k: int = 60,
) -> FloatArray:
    """(Q, G) fused distances of several (Q, G) matrices; see `fuse_blocks`, which spares the matrices."""
    matrices = [np.asarray(matrix) for matrix in distances]
    shape = matrices[0].shape if matrices else (0, 0)
    if len(shape) != 2:
        raise DataError(f"distances: got shape {shape}, expected (Q, G)")
    fused = np.empty(shape, dtype=np.float32)
    strips = [check_distances(matrix, shape=(shape[0], shape[1])) for matrix in matrices]
    for first, strip in fuse_blocks(strips, method=method, weights=weights, calibrations=calibrations, k=k):
        fused[first : first + len(strip)] = strip
    return fused


def fuse_blocks(
    lists: Sequence[DistanceBlocks],
    *,
    method: Fusion = "reciprocal",
    weights: Sequence[float] | None = None,
    calibrations: Sequence[Calibrate] | None = None,
    k: int = 60,
) -> Iterator[tuple[int, FloatArray]]:
    """Fuse strips of distances of the same queries and the same gallery, query by query.

    Args:
        lists: Blocks of each model or view, of whatever heights; smaller is nearer.
        method: `reciprocal`: sum of 1 / (k + rank) (Cormack et al. 2009). `borda`: mean rank. `average`: mean of the
            calibrated probabilities; without `calibrations`, of the distances after each query's mean was subtracted
            and its standard deviation divided out, so that no model's scale decides.
        weights: What each list counts, at least 0, not all 0; None: all the same.
        calibrations: For `average`: each list's distance -> probability.
        k: For `reciprocal`: how little the first ranks stand out.

    Returns:
        Iterator of (first, (q, G) float32), smaller is nearer. An item at infinity in any list is so in the result.

    Raises:
        DataError: At the call, naming the argument; while it runs, for lists of different queries or galleries, NaN,
            or a calibration that gives no probabilities.
    """
    if method not in get_args(Fusion):
        raise DataError(f"method: got {method!r}, expected one of {', '.join(get_args(Fusion))}")
    if not len(lists):
        raise DataError("lists: got none, expected at least one")
    share = np.ones(len(lists)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != (len(lists),) or not np.isfinite(share).all() or (share < 0).any() or not share.any():
        raise DataError(f"weights: got {weights}, expected {len(lists)} numbers, at least 0 and not all 0")
    if calibrations is not None and (method != "average" or len(calibrations) != len(lists)):
        raise DataError(
            f"calibrations: got {len(calibrations)} for {len(lists)} lists and method={method!r}, expected one "
            "for each list and method='average'"
        )
    if k < 1:
        raise DataError(f"k: got {k}, expected at least 1")
    return _fused(lists, method=method, share=share / share.sum(), calibrations=calibrations, k=k)


def _fused(
    lists: Sequence[DistanceBlocks],
    *,
    method: Fusion,
    share: NDArray[np.float64],
    calibrations: Sequence[Calibrate] | None,
    k: int,
) -> Iterator[tuple[int, FloatArray]]:
    for place, rows in _together(lists):
        fused = np.zeros(rows[0].shape)
        for number, (strip, weight) in enumerate(zip(rows, share, strict=True)):
            if np.isnan(strip).any() or np.isneginf(strip).any():
                raise DataError(f"lists: NaN or -infinity in list {number}, in the queries from {place} on")
            calibrate = None if calibrations is None else calibrations[number]
            fused += weight * _votes(strip, method=method, calibrate=calibrate, k=k)
        fused[np.any([np.isposinf(strip) for strip in rows], axis=0)] = np.inf
        yield place, fused.astype(np.float32)


def _together(lists: Sequence[DistanceBlocks]) -> Iterator[tuple[int, list[FloatArray]]]:
    """The same queries' rows of every list, however high the strips are that each list comes in.

    A strip is scratch until the next one is asked for, and it is asked for only when all of its rows have been used.
    """
    iterators = [iter(strips) for strips in lists]
    strips: list[FloatArray] = [np.empty((0, 0), dtype=np.float32)] * len(lists)
    place = 0
    while True:
        heads = [
            None if len(strip) else next(iterator, None) for strip, iterator in zip(strips, iterators, strict=True)
        ]
        strips = [strip if head is None else head[1] for strip, head in zip(strips, heads, strict=True)]
        firsts = [place if head is None else head[0] for head in heads]
        if not any(map(len, strips)):
            return
        if any(first != place for first in firsts) or len({strip.shape[1:] for strip in strips}) != 1:
            raise DataError(
                f"lists: at query {place}, strips begin at {firsts} with shapes {[strip.shape for strip in strips]}; "
                "give distances of the same queries, in order, and of the same gallery"
            )
        height = min(map(len, strips))
        if not height:
            raise DataError(f"lists: list {[len(s) for s in strips].index(0)} ends before query {place}; others go on")
        yield place, [strip[:height] for strip in strips]
        strips = [strip[height:] for strip in strips]
        place += height


def _votes(strip: FloatArray, *, method: Fusion, calibrate: Calibrate | None, k: int) -> NDArray[np.float64]:
    """What one list says of each item, smaller is nearer; 0 of those at infinity."""
    votes = np.zeros(strip.shape)
    inside = np.isfinite(strip)
    if method == "average" and calibrate is not None:
        chances = np.asarray(calibrate(strip[inside]), dtype=np.float64)
        if chances.shape != (inside.sum(),) or not ((chances >= 0) & (chances <= 1)).all():
            raise DataError(f"calibrations: gave shape {chances.shape} for {inside.sum()} distances, or not 0 to 1")
        votes[inside] = -chances
    elif method == "average":
        for row, (distances, there) in enumerate(zip(strip, inside, strict=True)):
            some = distances[there].astype(np.float64)
            if len(some):
                votes[row, there] = (some - some.mean()) / (some.std() or 1)
    else:
        ranks = np.empty(strip.shape)
        for row, distances in enumerate(strip):
            ranks[row, np.argsort(distances, kind="stable")] = np.arange(1, len(distances) + 1)
        votes = -1.0 / (k + ranks) if method == "reciprocal" else ranks
    return votes
