"""Camera-wise normalisation: what all images of a camera have in common is taken out of their vectors.

A camera's light and background move all of its vectors the same way, so that a stranger in the query's camera can be
nearer than the same person in another. The mean and spread of a camera's vectors, whoever is in them, say which way.
This uses the test cameras' own unlabelled images: a figure made with it must say so, and it is of no use for a camera
with a handful of images.

Dimension legend of `types`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.types import Embeddings

FEWEST = 10
"""Images of a camera below which its statistics would be those of the people in it."""

_STILL = 1e-6  # spread of a dimension of unit vectors below which it holds nothing but rounding


def normalise_cameras(query: Embeddings, gallery: Embeddings) -> tuple[Embeddings, Embeddings]:
    """Standardise unit vectors by the mean and standard deviation of their camera, query and gallery together.

    Args:
        query: Q images.
        gallery: G images.

    Returns:
        Both, of unit length, in the dtype that they came in.

    Raises:
        DataError: Naming a camera with fewer than `FEWEST` images, or whose images are all the same.
    """
    vectors = np.concatenate([_unit(side.vectors) for side in (query, gallery)])  # (Q + G, D)
    cameras = np.concatenate([side.camera_ids for side in (query, gallery)])
    for camera in np.unique(cameras):
        rows = np.flatnonzero(cameras == camera)
        if len(rows) < FEWEST:
            raise DataError(
                f"camera {camera}: {len(rows)} images, expected at least {FEWEST} to normalise by; leave camera-wise "
                "normalisation out, or join cameras"
            )
        seen = vectors[rows]
        spread = seen.std(axis=0)
        varies = spread > _STILL
        if not varies.any():
            raise DataError(f"camera {camera}: all {len(rows)} images have the same vector; find out what made it")
        vectors[rows] = np.where(varies, (seen - seen.mean(axis=0)) / np.where(varies, spread, 1.0), 0.0)
    vectors = _unit(vectors)
    sides = vectors[: len(query)], vectors[len(query) :]
    found = [
        Embeddings(part.astype(side.vectors.dtype), side.person_ids, side.camera_ids)
        for part, side in zip(sides, (query, gallery), strict=True)
    ]
    return found[0], found[1]


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Rows of unit length; an all-zero row stays what it is, and is refused where distances are made."""
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: NDArray[np.float64] = wide / np.where(lengths > 0, lengths, 1.0)
    return unit
