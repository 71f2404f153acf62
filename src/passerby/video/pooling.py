"""Pooling of the crops of a track: quality and weight of a crop, weighted mean of the vectors, and the best crop.

N boxes in a frame
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.data.images import Pixels
from passerby.runtime.visibility import measure_visibility
from passerby.video.frames import Frame
from passerby.video.tracklets import Corners, Tracklet, by_start

if TYPE_CHECKING:
    from supervision import Detections

    from passerby.runtime.embedder import Embedder

_FULL_HEIGHT = 128.0  # pixels above which a larger crop has no better quality
_BATCH = 64


def compute_crop_quality(detections: Detections, index: int, frame: Frame) -> float:
    """Compute the quality of a crop, 0 to 1.

    It is the product of the detector's score, the height up to 128 pixels, the fraction of the box inside the frame,
    and the fraction that is not covered by a box whose lower edge is further down (a person nearer to the camera).

    Args:
        detections: All boxes of the frame.
        index: The box.
        frame: The frame.
    """
    corners = detections.xyxy.astype(np.float64)
    box = corners[index]
    height, width = frame.pixels.shape[:2]
    area = float((box[2:] - box[:2]).prod())
    inside = float(intersect(box, np.array([[0.0, 0.0, width, height]]))[0]) / area
    hidden = float(intersect(box, corners[corners[:, 3] > box[3]]).max(initial=0.0)) / area
    tall = min(1.0, float(box[3] - box[1]) / _FULL_HEIGHT)
    score = 1.0 if detections.confidence is None else float(np.clip(detections.confidence[index], 0, 1))
    return score * tall * inside * (1 - hidden)


def weigh_crops(crops: Sequence[tuple[Pixels, float]]) -> NDArray[np.float64]:
    """Compute the weights of crops in the mean of their track: quality times squared visibility.

    The exponent was chosen on people with labels; docs/results.md has the figures.

    Args:
        crops: Pixels and quality, 0 to 1, of N crops.

    Returns:
        (N,) numbers above 0.

    Example:
        >>> weigh_crops([(np.zeros((128, 64, 3), np.uint8), 1.0)]) > 0
        array([ True])
    """
    visibility = measure_visibility([crop for crop, _ in crops]).astype(np.float64)
    quality = np.array([quality for _, quality in crops], np.float64)
    weights: NDArray[np.float64] = np.maximum(quality, 1e-3) * np.maximum(visibility, 1e-3) ** 2
    return weights


def intersect(box: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the areas of the intersections of (4,) and (N, 4) corners: (N,) square pixels."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    areas: NDArray[np.float64] = np.clip(high - low, 0, None).prod(axis=1)
    return areas


@dataclass
class _Track:
    """Sums of a track while the video is read."""

    start: float
    end: float
    boxes: int = 0
    total: Any = 0.0
    weight: float = -1.0
    quality: float = 0.0
    crop: NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    corners: Corners = (0, 0, 0, 0)
    frame: int = 0
    path: list[tuple[float, ...]] = field(default_factory=list)

    def finish(self) -> Tracklet:
        """Convert to a tracklet."""
        out = io.BytesIO()
        Image.fromarray(self.crop).save(out, "JPEG", quality=95)
        return Tracklet(
            start=self.start,
            end=self.end,
            boxes=self.boxes,
            vector=(self.total / np.linalg.norm(self.total)).astype(np.float32),
            quality=self.quality,
            crop=out.getvalue(),
            corners=self.corners,
            frame=self.frame,
            path=np.array(self.path),
        )


class Collector:
    """Embeds crops in batches and adds their vectors to their tracks.

    Args:
        embedder: Makes the vectors; None makes none, of width 0.
        min_boxes: Least number of boxes of a track that becomes a tracklet.
        kept: Number of boxes that a track's path keeps, the first and the latest ones; None keeps all.

    Attributes:
        short: Number of ended tracks with fewer boxes than `min_boxes`.
    """

    def __init__(self, embedder: Embedder | None, *, min_boxes: int, kept: int | None = None) -> None:
        self._embedder, self._min_boxes, self._kept = embedder, min_boxes, kept
        self._tracks: dict[int, _Track] = {}
        self._waiting: list[tuple[_Track, int, NDArray[np.float32], float, NDArray[np.uint8]]] = []
        self.short = 0

    def add(self, frame: Frame, detections: Detections, tracks: NDArray[Any] | None) -> int:
        """Add the boxes of a frame that have a track, and return their number."""
        if tracks is None:
            return 0
        added = 0
        for index in np.flatnonzero(tracks >= 0).tolist():
            corners = detections.xyxy[index]
            crop = _cut(frame, corners)
            if crop.size:
                track = self._tracks.setdefault(int(tracks[index]), _Track(frame.time, frame.time))
                track.end = frame.time
                quality = compute_crop_quality(detections, index, frame)
                self._waiting.append((track, frame.number, corners, quality, crop))
                score = 1.0 if detections.confidence is None else float(detections.confidence[index])
                track.path.append((frame.number, *map(float, corners), score))
                if self._kept is not None and len(track.path) > self._kept:
                    del track.path[1]
                added += 1
        if len(self._waiting) >= _BATCH:
            self._embed()
        return added

    def _embed(self) -> None:
        vectors = np.empty((len(self._waiting), 0), np.float32)
        if self._embedder is not None:
            vectors = self._embedder.embed([crop for *_, crop in self._waiting], batch=_BATCH, cache=False)
        weights = weigh_crops([(crop, quality) for *_, quality, crop in self._waiting])
        for (track, number, corners, quality, crop), vector, weight in zip(
            self._waiting, vectors, weights.tolist(), strict=True
        ):
            track.boxes += 1
            track.total = track.total + weight * vector.astype(np.float64)
            if weight > track.weight:
                left, top, right, bottom = map(float, corners)
                track.weight, track.quality = weight, quality
                track.crop, track.corners, track.frame = crop, (left, top, right, bottom), number
        self._waiting = []

    def end_tracks(self, *, last_before: float = np.inf, first_before: float = -np.inf) -> dict[int, Tracklet]:
        """Remove tracks that have ended, and return those with enough boxes by their number.

        Args:
            last_before: A track whose last box is before this time has ended; the default ends all tracks.
            first_before: A track whose first box is before this time ends likewise.
        """
        ended = [n for n, track in self._tracks.items() if track.end < last_before or track.start < first_before]
        if not ended:
            return {}
        self._embed()
        tracks = {number: self._tracks.pop(number) for number in ended}
        tracklets = {n: track.finish() for n, track in tracks.items() if track.boxes >= self._min_boxes}
        self.short += len(tracks) - len(tracklets)
        return tracklets

    @property
    def numbers(self) -> set[int]:
        """Numbers of the tracks that have not ended."""
        return {*self._tracks}

    def open_tracks(self) -> dict[int, Tracklet]:
        """Return the tracks that have not ended and have enough boxes, as far as they are known."""
        self._embed()
        return {n: track.finish() for n, track in self._tracks.items() if track.boxes >= self._min_boxes}

    def finish(self) -> list[Tracklet]:
        """End all tracks; return those with enough boxes by their start."""
        return sorted(self.end_tracks().values(), key=by_start)


def _cut(frame: Frame, corners: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut a box out of the frame; empty if the box is outside."""
    height, width = frame.pixels.shape[:2]
    left, top = np.clip(np.floor(corners[:2]), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(corners[2:]), 0, (width, height)).astype(int)
    return frame.pixels[top:bottom, left:right].copy()
