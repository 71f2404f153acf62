"""Blocks of distances, from vectors or from a matrix: the common input of ranking and evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from passerby.errors import DataError
from passerby.ranking.distance import Metric, Vectors, distance_blocks
from passerby.types import Embeddings, FloatArray, Labels, as_array

DistanceBlocks = Iterable[tuple[int, FloatArray]]
"""Pairs (first, (q, G) distances of the queries from `first` on), in the order of the queries."""

_COPIED = 2**18  # distances of a matrix that are copied at a time: a megabyte stays in the processor's cache


def iter_distances(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    distances: ArrayLike | DistanceBlocks | None = None,
    *,
    metric: Metric = "cosine",
    device: str = "auto",
) -> DistanceBlocks:
    """Iterate over the given distances, or over those between the vectors.

    Args:
        query: Q embeddings; `Labels` when `distances` are given.
        gallery: G embeddings, or `Labels`.
        distances: (Q, G) distances, or blocks of them; None computes them from the vectors.
        metric: `cosine` or `euclidean`; not used with `distances`.
        device: As for `passerby.score`.

    Returns:
        Iterator of (first, (q, G) distances). The caller may overwrite a block.

    Raises:
        DataError: Naming the argument; see `check_distances` and `distance_blocks`.

    Example:
        >>> query, gallery = Labels([1, 2], [0, 0]), Labels([1, 2, 3], [1, 1, 1])
        >>> for first, block in iter_distances(query, gallery, [[0.1, 0.9, 0.7], [0.8, 0.2, 0.5]]):
        ...     print(first, block.shape)
        0 (2, 3)
    """
    distances = as_distances(distances)
    if distances is not None:
        return check_distances(distances, shape=(len(query), len(gallery)))
    if isinstance(query, Labels) or isinstance(gallery, Labels):
        raise DataError("query, gallery: Labels without distances; give Embeddings, or distances=")
    return distance_blocks(query.vectors, gallery.vectors, metric=metric, device=device)


def as_distances(distances: Any) -> Any:
    """Convert an array-like matrix to an array; blocks and None are returned as they are."""
    is_sequence = isinstance(distances, list | tuple) and not (distances and _is_block(distances[0]))
    return as_array(distances) if is_sequence or hasattr(distances, "__array__") else distances


def check_distances(distances: ArrayLike | DistanceBlocks, *, shape: tuple[int, int]) -> Iterator[Any]:
    """Iterate over given distances as blocks that are checked and may be overwritten.

    Args:
        distances: (Q, G) floating point, copied a few rows at a time; or blocks in order. Any scale, smaller is
            nearer; infinity excludes an item.
        shape: Expected (Q, G).

    Returns:
        Iterator of (first, (q, G) distances), as from `distance_blocks`.

    Raises:
        DataError: For another type, shape or dtype, NaN, blocks that leave a gap or end too early.
    """
    given = as_distances(distances)
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise DataError(
            f"distances: got {type(given).__name__}, expected {shape} floating point, or blocks (first query, rows)"
        )
    if not isinstance(given, np.ndarray):
        return _check_blocks(given, shape=shape)
    if given.shape != shape or given.dtype.kind != "f":
        raise DataError(
            f"distances: got shape {given.shape} of {given.dtype}, expected {shape} floating point, "
            "one row per query and one column per gallery item"
        )
    return _check_blocks(_copy_rows(given), shape=shape)


def _is_block(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and hasattr(item[1], "shape")


def _copy_rows(distances: Vectors) -> Iterator[tuple[int, Vectors]]:
    """Copy a matrix a few rows at a time, because blocks are overwritten."""
    rows = max(1, _COPIED // max(1, distances.shape[1]))
    dtype = np.promote_types(distances.dtype, np.float32)  # float16 arithmetic is slow; the conversion is exact
    for first in range(0, len(distances), rows):
        yield first, np.array(distances[first : first + rows], dtype=dtype, order="C")


def _check_blocks(blocks: DistanceBlocks, *, shape: tuple[int, int]) -> Iterator[tuple[int, FloatArray]]:
    done = 0
    for first, block in blocks:
        if first != done or block.ndim != 2 or block.shape[1] != shape[1] or done + len(block) > shape[0]:
            raise DataError(
                f"distances: got a block of shape {tuple(block.shape)} for query {first}, expected query {done} of "
                f"{shape[0]} next and {shape[1]} columns; give consecutive queries, each once"
            )
        if isinstance(block, np.ndarray) and block.size and np.isnan(block.max()):
            row, column = np.argwhere(np.isnan(block))[0]
            raise DataError(
                f"distances: NaN, first at query {first + row}, gallery item {column}; expected numbers (infinity "
                "excludes an item)"
            )
        yield first, np.ascontiguousarray(block) if isinstance(block, np.ndarray) else block
        done += len(block)
    if done != shape[0]:
        raise DataError(f"distances: the blocks end after {done} of {shape[0]} queries; give every query")
