"""Drift of the distances at each camera against the calibration; see `passerby.openset.drift`. D embedding width."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import GalleryError
from passerby.gallery.gallery import Gallery
from passerby.gallery.stores.sqlite import SqliteStore
from passerby.openset.drift import count_between, measure_drift
from passerby.types import FloatArray, Result

SAMPLE = 256
"""Sightings that a query is compared with."""
FEWEST = 50
"""Least number of them from other cameras."""
MEMORY = 1000.0
"""Queries of a camera after which the weight of an earlier one has fallen to 1/e."""
_SAMPLE_SECONDS = 60.0  # time between two samples
_MAX_CAMERAS = 1000


@dataclass(frozen=True)
class CameraDrift(Result):
    """Drift at one camera.

    Attributes:
        drift: 0 to 1; see `measure_drift`.
        queries: Number of queries since the service was started.
    """

    drift: float
    queries: int


@dataclass(frozen=True)
class _Counts:
    """Distances of the queries of a camera between the quantiles of the reference."""

    weights: NDArray[np.float64]
    queries: int = 0


@dataclass(frozen=True)
class _SightingSample:
    """Sightings drawn from the gallery, as it is between two removals."""

    cameras: NDArray[np.str_]
    vectors: FloatArray  # (N, D)
    removals: int
    end: float


@dataclass
class DriftMonitor:
    """Compares the distances of queries to sightings drawn from other cameras with the calibration's reference.

    Queries are observed in the thread that owns the gallery.

    Args:
        clock: Returns seconds; does not jump.
    """

    clock: Callable[[], float] = time.monotonic
    _counts: dict[str, _Counts] = field(default_factory=dict)
    _sample: _SightingSample | None = None
    _draws: int = 0

    def observe(self, gallery: Gallery, vectors: FloatArray, cameras: Sequence[str]) -> None:
        """Count the distances of queries, (Q, D), of one camera each; without a reference nothing is counted."""
        reference = read_reference(gallery)
        if isinstance(reference, str) or not len(vectors):
            return
        sample = self._draw(gallery)
        distances = 1 - vectors @ sample.vectors.T  # (Q, N)
        for row, camera in zip(distances, cameras, strict=True):
            others = row[sample.cameras != camera]
            if len(others) < FEWEST or (camera not in self._counts and len(self._counts) >= _MAX_CAMERAS):
                continue
            counts = self._counts.get(camera, _Counts(np.zeros(len(reference) - 1)))
            weights = counts.weights * np.exp(-1 / MEMORY) + count_between(others, reference) / len(others)
            self._counts[camera] = _Counts(weights, counts.queries + 1)

    def read(self) -> Mapping[str, CameraDrift]:
        """Return the drift of each camera with a query; from any thread."""
        return {
            camera: CameraDrift(measure_drift(counts.weights), counts.queries)
            for camera, counts in sorted(self._counts.copy().items())
        }

    def _draw(self, gallery: Gallery) -> _SightingSample:
        store = gallery.store
        assert isinstance(store, SqliteStore)
        removals, sample = store.count_removals(), self._sample
        if sample is None or sample.removals != removals or self.clock() > sample.end:
            self._draws += 1
            cameras, vectors = store.draw_vectors(SAMPLE, seed=self._draws)
            sample = _SightingSample(np.array(cameras, np.str_), vectors, removals, self.clock() + _SAMPLE_SECONDS)
            self._sample = sample
        return sample


def read_reference(gallery: Gallery) -> NDArray[np.float64] | str:
    """Return the reference distribution of the gallery's calibration, or the reason why there is none."""
    try:
        reference = gallery.calibration.reference
    except GalleryError:
        return "the model is not calibrated; run `passerby calibrate`"
    if reference is None:
        return "the calibration is of an earlier version, without a reference; calibrate the model again"
    return reference


def describe_drift(monitor: DriftMonitor, gallery: Gallery) -> dict[str, Any]:
    """Return the drift for `/v1/stats`."""
    reference = read_reference(gallery)
    if isinstance(reference, str):
        return {"reference": None, "reason": reference, "cameras": {}}
    fitted_on = gallery.calibration.fitted_on
    cameras = {camera: drift.to_dict() for camera, drift in monitor.read().items()}
    return {"reference": fitted_on.data, "reason": None, "cameras": cameras}
