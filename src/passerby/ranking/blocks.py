"""Where the distances of a ranking come from: vectors, a matrix, or strips that another function makes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.ranking.distance import Metric, Vectors, distance_blocks
from passerby.types import Embeddings, FloatArray, Labels

DistanceBlocks = Iterable[tuple[int, FloatArray]]
"""(first, (q, G) distances of that query and those after it), in order: where makers and readers of distances meet."""

_GIVEN = 2**18  # distances of a given matrix that are copied at a time: a megabyte stays in the processor's cache


def iter_distances(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    distances: FloatArray | DistanceBlocks | None = None,
    *,
    metric: Metric = "cosine",
    device: str = "cpu",
) -> DistanceBlocks:
    """DistanceBlocks of the given distances, or of those between the vectors.

    Raises:
        DataError: Naming the argument; see `check_distances` and `distance_blocks`.
    """
    if distances is not None:
        return check_distances(distances, shape=(len(query), len(gallery)))
    if isinstance(query, Labels) or isinstance(gallery, Labels):
        raise DataError("query, gallery: Labels without distances; give Embeddings, or distances=")
    return distance_blocks(query.vectors, gallery.vectors, metric=metric, device=device)


def check_distances(distances: NDArray[np.floating[Any]] | DistanceBlocks, *, shape: tuple[int, int]) -> Iterator[Any]:
    """Distances that somebody else made, as checked strips that may be changed.

    Args:
        distances: (Q, G) floating point, which is copied a few rows at a time; or strips in order. Any scale, smaller
            is nearer; infinity takes an item out.
        shape: The (Q, G) that query and gallery ask for.

    Returns:
        Iterator of (first, (q, G) distances), as `distance_blocks` gives them.

    Raises:
        DataError: For another shape or dtype, NaN, strips that leave a gap or end too early.
    """
    if not isinstance(distances, np.ndarray):
        return _checked(distances, shape=shape)
    if distances.shape != shape or distances.dtype.kind != "f":
        raise DataError(
            f"distances: got shape {distances.shape} of {distances.dtype}, expected {shape} floating point, "
            "one row for each query and one column for each gallery item"
        )
    return _checked(_rows(distances), shape=shape)


def _rows(distances: Vectors) -> Iterator[tuple[int, Vectors]]:
    """A matrix a few rows at a time, copied: what reads strips writes into them."""
    rows = max(1, _GIVEN // max(1, distances.shape[1]))
    dtype = np.promote_types(distances.dtype, np.float32)  # arithmetic on float16 is slow, and none is exact
    for first in range(0, len(distances), rows):
        yield first, np.array(distances[first : first + rows], dtype=dtype, order="C")


def _checked(strips: DistanceBlocks, *, shape: tuple[int, int]) -> Iterator[tuple[int, FloatArray]]:
    done = 0
    for first, strip in strips:
        if first != done or strip.ndim != 2 or strip.shape[1] != shape[1] or done + len(strip) > shape[0]:
            raise DataError(
                f"distances: got a strip of shape {tuple(strip.shape)} for query {first}, expected query {done} of "
                f"{shape[0]} next and {shape[1]} columns; give consecutive queries, each once"
            )
        if isinstance(strip, np.ndarray) and strip.size and np.isnan(strip.max()):
            row, column = np.argwhere(np.isnan(strip))[0]
            raise DataError(
                f"distances: NaN, first at query {first + row}, gallery item {column}; find out what made it "
                "(infinity takes an item out)"
            )
        yield first, np.ascontiguousarray(strip) if isinstance(strip, np.ndarray) else strip
        done += len(strip)
    if done != shape[0]:
        raise DataError(f"distances: the strips end after {done} of {shape[0]} queries; give every query")
