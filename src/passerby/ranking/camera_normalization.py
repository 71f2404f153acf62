"""Camera-wise normalization: what all images of a camera have in common is taken out of their vectors.

A camera's light and background move all of its vectors the same way, so that a stranger in the query's camera can be
nearer than the same person in another. The mean and spread of a camera's vectors, whoever is in them, say which way.
This uses the test cameras' own unlabeled images: a figure made with it must say so, and it is of no use for a camera
with a handful of images.

Dimension legend of `types`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.types import Embeddings

Name = TypeVar("Name")

MIN_IMAGES = 10
"""Images of a camera below which its statistics would be those of the people in it."""

PRIOR_IMAGES = 30
"""Images that a camera must have before it counts for as much as all cameras together, where it may have few."""

_STILL = 1e-6  # spread of a dimension of unit vectors below which it holds nothing but rounding


@dataclass(frozen=True)
class CameraStatistics:
    """What the unit vectors of a camera have in common.

    Attributes:
        mean: (D,) of each dimension.
        deviation: (D,) standard deviation of each; 0 where it holds nothing but rounding.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def from_vectors(cls, vectors: NDArray[np.floating]) -> CameraStatistics:
        """That of (N, D) vectors of any length above 0, N at least 1."""
        unit = normalize_rows(vectors)
        spread = unit.std(axis=0)
        return cls(unit.mean(axis=0), np.where(spread > _STILL, spread, 0.0))

    @classmethod
    def merge(cls, views: Sequence[CameraStatistics], counts: Sequence[int]) -> CameraStatistics:
        """What several cameras' vectors have in common, from their views and how many vectors each was made of."""
        shares = np.asarray(counts, dtype=np.float64) / sum(counts)
        mean = shares @ np.stack([view.mean for view in views])
        squares = shares @ np.stack([view.deviation**2 + view.mean**2 for view in views])
        spread = np.sqrt(np.maximum(squares - mean**2, 0))
        return cls(mean, np.where(spread > _STILL, spread, 0.0))

    def shrink(self, other: CameraStatistics, share: float) -> CameraStatistics:
        """This view and a `share` (0 to 1) of another: their means, and the root of the means of their variances."""
        mean = (1 - share) * self.mean + share * other.mean
        return CameraStatistics(mean, np.sqrt((1 - share) * self.deviation**2 + share * other.deviation**2))

    @property
    def scale(self) -> NDArray[np.float64]:
        """(D,) what each dimension is multiplied with: 1 / spread, and 0 where there is none."""
        scale: NDArray[np.float64] = np.divide(
            1, self.deviation, out=np.zeros_like(self.deviation), where=self.deviation > 0
        )
        return scale

    def standardize(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """(N, D) vectors of the camera, of any length -> (N, D) unit vectors without what they have in common."""
        return normalize_rows((normalize_rows(vectors) - self.mean) * self.scale)


def shrink_statistics(
    own: Mapping[Name, tuple[CameraStatistics, int]],
) -> tuple[CameraStatistics, dict[Name, CameraStatistics]]:
    """The view of all cameras together, and each camera's drawn towards it as long as it has few images.

    Args:
        own: By camera, at least one: its view and how many images that was made of.
    """
    general = CameraStatistics.merge([view for view, _ in own.values()], [count for _, count in own.values()])
    return general, {
        name: view.shrink(general, PRIOR_IMAGES / (PRIOR_IMAGES + count)) for name, (view, count) in own.items()
    }


def standardize_cameras(images: Embeddings) -> Embeddings:
    """One set of images under camera-wise normalization, as a gallery does it: cameras may have few images."""
    rows = {camera: np.flatnonzero(images.camera_ids == camera) for camera in np.unique(images.camera_ids).tolist()}
    own = {camera: (CameraStatistics.from_vectors(images.vectors[some]), len(some)) for camera, some in rows.items()}
    vectors = np.empty_like(images.vectors)
    for camera, view in shrink_statistics(own)[1].items():
        vectors[rows[camera]] = view.standardize(images.vectors[rows[camera]])
    return Embeddings(vectors, images.person_ids, images.camera_ids)


def normalize_cameras(query: Embeddings, gallery: Embeddings) -> tuple[Embeddings, Embeddings]:
    """Standardize unit vectors by the mean and standard deviation of their camera, query and gallery together.

    Args:
        query: Q images.
        gallery: G images.

    Returns:
        Both, of unit length, in the dtype that they came in.

    Raises:
        DataError: Naming a camera with fewer than `MIN_IMAGES` images, or whose images are all the same.
    """
    vectors = np.concatenate([side.vectors.astype(np.float64) for side in (query, gallery)])  # (Q + G, D)
    cameras = np.concatenate([side.camera_ids for side in (query, gallery)])
    for camera in np.unique(cameras):
        rows = np.flatnonzero(cameras == camera)
        if len(rows) < MIN_IMAGES:
            raise DataError(
                f"camera {camera}: {len(rows)} images, expected at least {MIN_IMAGES} to normalize by; leave "
                "camera-wise normalization out, or join cameras"
            )
        view = CameraStatistics.from_vectors(vectors[rows])
        if not view.deviation.any():
            raise DataError(f"camera {camera}: all {len(rows)} images have the same vector; find out what made it")
        vectors[rows] = view.standardize(vectors[rows])
    sides = vectors[: len(query)], vectors[len(query) :]
    found = [
        Embeddings(part.astype(side.vectors.dtype), side.person_ids, side.camera_ids)
        for part, side in zip(sides, (query, gallery), strict=True)
    ]
    return found[0], found[1]


def normalize_rows(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N, D) rows of unit length; an all-zero row stays what it is, and is refused where distances are made."""
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit: NDArray[np.float64] = wide / np.where(lengths > 0, lengths, 1.0)
    return unit
