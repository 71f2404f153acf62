"""Camera-wise normalization: standardize the vectors of each camera by their mean and standard deviation.

Light and background of a camera shift all of its vectors alike, so that another person in the query's camera can be
nearer than the same person in another camera. The mean and the standard deviation over all vectors of a camera, which
need no labels, estimate this shift. The test cameras' unlabeled images are used: state this with every result. The
estimate needs more than a handful of images per camera.

This module needs NumPy only, so that a gallery can use it. Dimension legend of `types`, and M cameras.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError
from passerby.text import plural
from passerby.types import Embeddings, Result, as_array

Name = TypeVar("Name")

MIN_IMAGES = 10
"""Images of a camera below which its statistics would be those of the people in them."""

PRIOR_IMAGES = 30
"""Number of images at which a camera's own statistics and those of all cameras have the same weight."""

_MIN_DEVIATION = 1e-6  # a dimension of unit vectors with a smaller standard deviation holds only rounding errors


@dataclass(frozen=True, repr=False)
class CameraStatistics(Result):
    """Mean and standard deviation of the unit vectors of a camera.

    Attributes:
        mean: (D,) mean of each dimension.
        deviation: (D,) standard deviation of each dimension; 0 where it holds only rounding errors.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]

    @classmethod
    def from_vectors(cls, vectors: ArrayLike) -> CameraStatistics:
        """Compute the statistics of (N, D) vectors of any length above 0, N at least 1."""
        unit = normalize_rows(vectors)
        return cls(unit.mean(axis=0), _drop_rounding(unit.std(axis=0)))

    @classmethod
    def merge(cls, statistics: Sequence[CameraStatistics], counts: Sequence[int]) -> CameraStatistics:
        """Compute the statistics of M cameras together from those of each camera and its number of vectors."""
        weights = np.asarray(counts, dtype=np.float64) / sum(counts)
        mean = weights @ np.stack([camera.mean for camera in statistics])
        squares = weights @ np.stack([camera.deviation**2 + camera.mean**2 for camera in statistics])
        return cls(mean, _drop_rounding(np.sqrt(np.maximum(squares - mean**2, 0))))

    def shrink(self, target: CameraStatistics, weight: float) -> CameraStatistics:
        """Return the weighted mean of both means and of both variances; `weight` is that of `target`, 0 to 1."""
        mean = (1 - weight) * self.mean + weight * target.mean
        return CameraStatistics(mean, np.sqrt((1 - weight) * self.deviation**2 + weight * target.deviation**2))

    @cached_property
    def scale(self) -> NDArray[np.float64]:
        """(D,) factor of each dimension: 1 / deviation, and 0 where the deviation is 0."""
        return np.divide(1, self.deviation, out=np.zeros_like(self.deviation), where=self.deviation > 0)

    def standardize(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """Standardize (N, D) vectors of the camera, of any length, and normalize them to length 1."""
        return normalize_rows((normalize_rows(vectors) - self.mean) * self.scale)


def shrink_statistics(
    cameras: Mapping[Name, tuple[CameraStatistics, int]],
) -> tuple[CameraStatistics, dict[Name, CameraStatistics]]:
    """Shrink the statistics of each camera toward those of all cameras; fewer images shrink more.

    Args:
        cameras: Statistics and number of images of each camera, at least one camera.

    Returns:
        Statistics of all cameras together, and those of each camera, in which `PRIOR_IMAGES` / (`PRIOR_IMAGES` + n) is
        the weight of all cameras for a camera of n images.
    """
    overall = CameraStatistics.merge([camera for camera, _ in cameras.values()], [n for _, n in cameras.values()])
    shrunk = {name: camera.shrink(overall, PRIOR_IMAGES / (PRIOR_IMAGES + n)) for name, (camera, n) in cameras.items()}
    return overall, shrunk


def standardize_cameras(images: Embeddings) -> Embeddings:
    """Apply camera-wise normalization to one set of images with shrunk statistics, as a gallery does.

    Args:
        images: N images; a camera may have few.

    Returns:
        N embeddings of length 1, in the dtype of the vectors.
    """
    cameras = np.unique(images.camera_ids).tolist()
    rows = {camera: np.flatnonzero(images.camera_ids == camera) for camera in cameras}
    own = {
        camera: (CameraStatistics.from_vectors(images.vectors[indices]), len(indices))
        for camera, indices in rows.items()
    }
    vectors = np.empty_like(images.vectors)
    for camera, statistics in shrink_statistics(own)[1].items():
        vectors[rows[camera]] = statistics.standardize(images.vectors[rows[camera]])
    return Embeddings(vectors, images.person_ids, images.camera_ids)


def normalize_cameras(query: Embeddings, gallery: Embeddings) -> tuple[Embeddings, Embeddings]:
    """Standardize the vectors of each camera by its mean and standard deviation over query and gallery together.

    Args:
        query: Q embeddings.
        gallery: G embeddings.

    Returns:
        Both, of length 1, in the dtypes of the arguments.

    Raises:
        DataError: Naming a camera with fewer than `MIN_IMAGES` images, or with equal vectors only.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> query, gallery = (
        ...     passerby.Embeddings(generator.standard_normal((20, 4)), np.arange(1, 21), np.arange(20) % 2)
        ...     for _ in range(2)
        ... )
        >>> query, gallery = passerby.normalize_cameras(query, gallery)
        >>> gallery
        Embeddings(vectors=array(20, 4), person_ids=array(20,), camera_ids=array(20,))
    """
    vectors = np.concatenate([side.vectors.astype(np.float64) for side in (query, gallery)])  # (Q + G, D)
    cameras = np.concatenate([side.camera_ids for side in (query, gallery)])
    for camera in np.unique(cameras):
        rows = np.flatnonzero(cameras == camera)
        if len(rows) < MIN_IMAGES:
            raise DataError(
                f"camera {camera}: {plural(len(rows), 'image')}, expected at least {MIN_IMAGES} to normalize by; leave "
                "camera-wise normalization out, or join cameras"
            )
        statistics = CameraStatistics.from_vectors(vectors[rows])
        if not statistics.deviation.any():
            raise DataError(
                f"camera {camera}: all {plural(len(rows), 'image')} have the same vector, expected different ones"
            )
        vectors[rows] = statistics.standardize(vectors[rows])
    return (
        Embeddings(vectors[: len(query)].astype(query.vectors.dtype), query.person_ids, query.camera_ids),
        Embeddings(vectors[len(query) :].astype(gallery.vectors.dtype), gallery.person_ids, gallery.camera_ids),
    )


def normalize_rows(vectors: ArrayLike) -> NDArray[np.float64]:
    """Normalize (N, D) rows to length 1; an all-zero row stays zero, and is rejected when distances are computed."""
    rows = as_array(vectors).astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))


def _drop_rounding(deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(deviation > _MIN_DEVIATION, deviation, 0.0)
