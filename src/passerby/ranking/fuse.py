"""Rank fusion: the lists of several models, or of several views, become one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.ranking.strips import Strips
from passerby.types import FloatArray

Fusion = Literal["reciprocal", "average", "borda"]
Calibrate = Callable[[FloatArray], NDArray[np.floating]]
"""Distances of any shape -> probability of the same person, 0 to 1."""


def fuse(
    distances: Sequence[FloatArray],
    *,
    how: Fusion = "reciprocal",
    weights: Sequence[float] | None = None,
    calibrations: Sequence[Calibrate] | None = None,
    k: int = 60,
) -> FloatArray:
    """(Q, G) fused distances of several (Q, G) matrices; see `fuse_blocks`, which spares the matrices."""
    fused = np.empty(np.shape(distances[0]) if len(distances) else (0, 0), dtype=np.float32)
    strips = [iter([(0, matrix)]) for matrix in distances]
    for first, strip in fuse_blocks(strips, how=how, weights=weights, calibrations=calibrations, k=k):
        fused[first : first + len(strip)] = strip
    return fused


def fuse_blocks(
    lists: Sequence[Strips],
    *,
    how: Fusion = "reciprocal",
    weights: Sequence[float] | None = None,
    calibrations: Sequence[Calibrate] | None = None,
    k: int = 60,
) -> Iterator[tuple[int, FloatArray]]:
    """Fuse strips of distances of the same queries and the same gallery, query by query.

    Args:
        lists: Strips of each model or view, of equal heights; smaller is nearer.
        how: `reciprocal`: sum of 1 / (k + rank) (Cormack et al. 2009). `borda`: mean rank. `average`: mean of the
            calibrated probabilities; without `calibrations`, of the distances after each query's mean was subtracted
            and its standard deviation divided out, so that no model's scale decides.
        weights: What each list counts, at least 0, not all 0; None: all the same.
        calibrations: For `average`: each list's distance -> probability.
        k: For `reciprocal`: how little the first ranks stand out.

    Returns:
        Iterator of (first, (q, G) float32), smaller is nearer. An item at infinity in any list is so in the result.

    Raises:
        DataError: At the call, naming the argument; while it runs, for lists of different shapes or NaN.
    """
    if how not in get_args(Fusion):
        raise DataError(f"how: got {how!r}, expected one of {', '.join(get_args(Fusion))}")
    if not len(lists):
        raise DataError("lists: got none, expected at least one")
    share = np.ones(len(lists)) if weights is None else np.asarray(weights, dtype=np.float64)
    if share.shape != (len(lists),) or not np.isfinite(share).all() or (share < 0).any() or not share.any():
        raise DataError(f"weights: got {weights}, expected {len(lists)} numbers, at least 0 and not all 0")
    if calibrations is not None and (how != "average" or len(calibrations) != len(lists)):
        raise DataError(
            f"calibrations: got {len(calibrations)} for {len(lists)} lists and how={how!r}, expected one for each list "
            "and how='average'"
        )
    if k < 1:
        raise DataError(f"k: got {k}, expected at least 1")
    return _fused(lists, how=how, share=share / share.sum(), calibrations=calibrations, k=k)


def _fused(
    lists: Sequence[Strips],
    *,
    how: Fusion,
    share: NDArray[np.float64],
    calibrations: Sequence[Calibrate] | None,
    k: int,
) -> Iterator[tuple[int, FloatArray]]:
    done = object()
    iterators = [iter(strips) for strips in lists]
    while True:
        heads = [next(iterator, done) for iterator in iterators]
        if all(head is done for head in heads):
            return
        places = {(head[0], head[1].shape) if isinstance(head, tuple) else None for head in heads}
        if len(places) != 1:
            raise DataError(
                f"lists: strips of different queries or sizes, {sorted(map(str, places))} (None: it has ended); give "
                "distances of the same queries and gallery"
            )
        strips = [head[1] for head in heads if isinstance(head, tuple)]
        (place,) = places
        assert place is not None
        fused = np.zeros(place[1])
        for number, (strip, weight) in enumerate(zip(strips, share, strict=True)):
            if np.isnan(strip).any():
                raise DataError(f"lists: NaN in list {number}, in the queries from {place[0]} on")
            calibrate = None if calibrations is None else calibrations[number]
            fused += weight * _votes(strip, how=how, calibrate=calibrate, k=k)
        fused[np.any([np.isposinf(strip) for strip in strips], axis=0)] = np.inf
        yield place[0], fused.astype(np.float32)


def _votes(strip: FloatArray, *, how: Fusion, calibrate: Calibrate | None, k: int) -> NDArray[np.float64]:
    """What one list says of each item, smaller is nearer."""
    if how == "average" and calibrate is not None:
        return -np.asarray(calibrate(strip), dtype=np.float64)
    if how == "average":
        inside = np.where(np.isposinf(strip), np.nan, strip.astype(np.float64))
        spread = np.nanstd(inside, axis=1, keepdims=True)
        votes = (inside - np.nanmean(inside, axis=1, keepdims=True)) / np.where(spread > 0, spread, 1)
        return np.asarray(np.nan_to_num(votes))
    ranks = np.empty(strip.shape)
    for row, distances in enumerate(strip):
        ranks[row, np.argsort(distances, kind="stable")] = np.arange(1, len(distances) + 1)
    return -1.0 / (k + ranks) if how == "reciprocal" else ranks
