"""Measurements of a service in Prometheus' format, by routes, stages and cameras; without names of people."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from passerby.gallery.results import IdentifyResult
from passerby.serving.drift_monitor import CameraDrift

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_DISTANCES = tuple(round(0.05 * step, 2) for step in range(1, 31))
NO_CAMERA = ""
"""Value of the label `camera` of queries that name none."""


class ServiceMetrics:
    """Counters and histograms of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        place: Any = {"registry": self._registry, "namespace": "passerby"}
        self._requests = Histogram(
            "request_seconds", "Time of requests.", ["method", "route", "status"], buckets=_SECONDS, **place
        )
        self._stages = Histogram(
            "stage_seconds", "Time of the stages of requests, waiting included.", ["stage"], buckets=_SECONDS, **place
        )
        self._queue = Gauge("queue_length", "Requests that wait.", ["queue"], **place)
        self._answers = Counter("identify_answers", "Answers of identify.", ["answer", "camera"], **place)
        self._distances = Histogram(
            "nearest_distance", "Distance to the nearest sighting.", ["camera"], buckets=_DISTANCES, **place
        )
        self._drift = Gauge(
            "distance_drift",
            "Difference of distances from those of the calibration.",
            ["camera"],
            **place,
        )
        self._drift_queries = Gauge(
            "distance_drift_queries", "Queries of a camera whose distances were compared.", ["camera"], **place
        )
        self.retention_refused = Counter(
            "retention_refused", "Times that erasing by age was refused, as it would have erased most.", **place
        )

    def watch_queue(self, name: str, length: Callable[[], int]) -> None:
        """Report the length of a queue whenever the metrics are read."""
        self._queue.labels(name).set_function(length)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the time of a stage."""
        with self._stages.labels(name).time():
            yield

    def count_request(self, method: str, route: str, status: int, started: float) -> None:
        """Count a request that began at `started` (`time.perf_counter`)."""
        self._requests.labels(method, route, str(status)).observe(time.perf_counter() - started)

    def count_answer(self, result: IdentifyResult, camera: str | None) -> None:
        """Count an answer of `identify`, and the distance of its nearest sighting."""
        name = camera or NO_CAMERA
        self._answers.labels(result.answer, name).inc()
        if result.candidates:
            self._distances.labels(name).observe(result.candidates[0].hit.distance)

    def render(self, drift: Mapping[str, CameraDrift]) -> bytes:
        """Return the text that Prometheus reads.

        Args:
            drift: Drift of each camera.
        """
        for camera, value in drift.items():
            self._drift.labels(camera).set(value.drift)
            self._drift_queries.labels(camera).set(value.queries)
        return generate_latest(self._registry)
