"""What the normalization per camera has learned about the cameras of a gallery."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from passerby.errors import GalleryError
from passerby.gallery.camera_search import CameraViews
from passerby.gallery.stores.protocol import GalleryStore
from passerby.ranking.camera_normalization import MIN_IMAGES
from passerby.types import Result

LEAST_SIGHTINGS = MIN_IMAGES
"""Sightings of a gallery below which nothing is learned."""


@dataclass(frozen=True)
class CameraShift(Result):
    """Normalization of a camera.

    Attributes:
        camera: Name.
        shift: Distance of the mean vector of the camera from that of all cameras, 0 to 2.
        spread: Length of the standard deviations of its vectors against that of all cameras together, about 1.
    """

    camera: str
    shift: float
    spread: float


def measure_shifts(store: GalleryStore) -> list[CameraShift]:
    """Measure the statistics by which searches with a camera and the review normalize.

    Returns:
        One entry per camera, by name; none for fewer than `LEAST_SIGHTINGS` sightings, or equal vectors.

    Example:
        >>> from passerby.gallery.crops import list_crops
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     _ = gallery.enroll(list_crops("crops", folders="camera"))
        ...     [item.camera for item in measure_shifts(gallery.store)]
        ['north', 'south']
    """
    cameras = sorted(store.stats().cameras)
    try:
        views = CameraViews(store)
    except GalleryError:
        return []
    general = float(np.linalg.norm(views.general.deviation))
    shifts = []
    for camera in cameras:
        view = views.get(camera)
        shift = float(np.linalg.norm(view.mean - views.general.mean))
        shifts.append(CameraShift(camera, shift, float(np.linalg.norm(view.deviation)) / general))
    return shifts
