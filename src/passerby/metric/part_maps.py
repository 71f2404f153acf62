"""One linear map for each part of an embedding: learning and applying.

A part is scaled to unit length before and after its map, so a map of the unit vector gives the direction that a map of
the reduced vector gives: maps that were learned on embeddings are folded into the reduction weights without loss.

    N crops   P parts   D width of a part
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.metric.covariance import Matrix, pair_covariances
from passerby.metric.kissme import kissme_map
from passerby.metric.lda import lda_map
from passerby.metric.whitening import wccn_map
from passerby.metric.xqda import xqda_map
from passerby.types import FloatArray, IntArray

METHODS: dict[str, Callable[..., Matrix]] = {
    "wccn": wccn_map,
    "kissme": kissme_map,
    "xqda": xqda_map,
    "lda": lda_map,
}
"""Functions from the `PairCovariances` of a part, and a ridge, to its map."""

Parts = NDArray[np.float64]


def split_parts(vectors: FloatArray, parts: int) -> Parts:
    """Split (N, P D) embeddings into parts of unit length, (N, P, D)."""
    rows = np.asarray(vectors, np.float64).reshape(len(vectors), parts, -1)
    lengths = np.linalg.norm(rows, axis=2, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12))


def center_cameras(parts: Parts, camera_ids: IntArray) -> Parts:
    """Subtract the mean of each camera from (N, P, D) vectors."""
    centered = np.array(parts)
    for camera in np.unique(camera_ids):
        centered[camera_ids == camera] -= parts[camera_ids == camera].mean(axis=0)
    return centered


def learn_maps(parts: Parts, camera_ids: IntArray, groups: IntArray, *, method: str) -> Parts:
    """Learn the map of each part from groups of crops.

    Args:
        parts: (N, P, D).
        camera_ids: (N,); the mean of each camera is subtracted first.
        groups: (N,) group of each crop, or `UNKNOWN`.
        method: A key of `METHODS`.

    Returns:
        (P, D, D).

    Raises:
        DataError: For an unknown method, groups that no direction separates, or as `pair_covariances`.
    """
    if method not in METHODS:
        raise DataError(f"method: got {method!r}, expected one of {', '.join(METHODS)}")
    centered = center_cameras(parts, camera_ids)
    maps = [METHODS[method](pair_covariances(centered[:, part], groups)) for part in range(centered.shape[1])]
    if any(np.linalg.norm(matrix) < 1e-9 for matrix in maps):
        raise DataError("crops of two groups differ no more than those of one group: no direction is left")
    return np.stack(maps)


def apply_maps(parts: Parts, maps: Parts | None) -> Parts:
    """Apply maps (P, D, D) to (N, P, D) and scale each part to unit length; None changes nothing."""
    if maps is None:
        return parts
    mapped = (parts.transpose(1, 0, 2) @ maps.transpose(0, 2, 1)).transpose(1, 0, 2)  # (N, P, D)
    return np.asarray(mapped / np.maximum(np.linalg.norm(mapped, axis=2, keepdims=True), 1e-12))


def join_parts(parts: Parts) -> FloatArray:
    """Join (N, P, D) parts of unit length to (N, P D) of unit length."""
    return np.asarray(parts.reshape(len(parts), -1) / np.sqrt(parts.shape[1]), np.float32)
