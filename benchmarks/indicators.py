"""Indicators of how well vectors separate people, computed without identities, from cameras and tracks.

N crops   P parts   D width of the embedding
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from passerby.metric.covariance import UNKNOWN
from passerby.ranking.camera_normalization import normalize_rows
from passerby.types import IntArray


def nearest_elsewhere(vectors: NDArray[np.float64], camera_ids: IntArray) -> IntArray:
    """Return the nearest crop in any other camera for each of N crops by cosine distance; (N,) indices.

    Example:
        >>> nearest_elsewhere(np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0]]), np.array([0, 1, 1]))
        array([1, 0, 0])
    """
    unit = normalize_rows(vectors).astype(np.float32)
    nearest = np.empty(len(unit), np.int64)
    for start in range(0, len(unit), 1024):
        rows = slice(start, start + 1024)
        similarity = unit[rows] @ unit.T
        similarity[camera_ids[rows, None] == camera_ids[None]] = -np.inf
        nearest[rows] = similarity.argmax(axis=1)
    return nearest


def find_mutual(vectors: NDArray[np.float64], camera_ids: IntArray) -> NDArray[np.bool_]:
    """Mark the crops whose nearest crop in other cameras has them as its nearest; (N,)."""
    nearest = nearest_elsewhere(vectors, camera_ids)
    return np.asarray(nearest[nearest] == np.arange(len(nearest)))


def halves_agreement(parts: NDArray[np.float64], camera_ids: IntArray) -> float:
    """Return the fraction of crops for which even and odd parts have the same nearest crop in other cameras.

    Args:
        parts: (N, P, D / P), two parts or more.
        camera_ids: (N,).
    """
    first, second = (
        nearest_elsewhere(parts[:, half::2].reshape(len(parts), -1), camera_ids) for half in (0, 1)
    )  # fmt: skip
    return float((first == second).mean())


def track_separation(vectors: NDArray[np.float64], camera_ids: IntArray, tracks: IntArray) -> float | None:
    """Return the probability that a pair of one track is nearer than a pair of two tracks of one camera (AUC).

    Args:
        vectors: (N, D).
        camera_ids: (N,).
        tracks: (N,) track of each crop, or `UNKNOWN`.

    Returns:
        0 to 1, ties count one half; None without both kinds of pairs.
    """
    unit = normalize_rows(vectors)
    same, different = [], []
    for camera in np.unique(camera_ids):
        rows = np.flatnonzero((camera_ids == camera) & (tracks != UNKNOWN))
        first, second = np.triu_indices(len(rows), k=1)
        similarity = (unit[rows] @ unit[rows].T)[first, second]
        equal = tracks[rows][first] == tracks[rows][second]
        same.append(similarity[equal])
        different.append(similarity[~equal])
    positives, negatives = np.concatenate(same), np.sort(np.concatenate(different))
    if not len(positives) or not len(negatives):
        return None
    below = np.searchsorted(negatives, positives, "left")
    up_to = np.searchsorted(negatives, positives, "right")
    return float((below + up_to).mean() / 2 / len(negatives))
