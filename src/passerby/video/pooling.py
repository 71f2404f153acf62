"""Pooling of the crops of a track: quality of a crop, weighted mean of the vectors, and the best crop.

N boxes in a frame
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.video.frames import Frame
from passerby.video.tracklets import Corners, Tracklet, by_start

if TYPE_CHECKING:
    from supervision import Detections

    from passerby.model.embed import Embedder

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
    quality: float = -1.0
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
    """Embeds crops in batches and adds their vectors to their tracks."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._tracks: dict[int, _Track] = {}
        self._waiting: list[tuple[_Track, Frame, NDArray[np.float32], float, NDArray[np.uint8]]] = []
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
                self._waiting.append((track, frame, corners, compute_crop_quality(detections, index, frame), crop))
                score = 1.0 if detections.confidence is None else float(detections.confidence[index])
                track.path.append((frame.number, *map(float, corners), score))
                added += 1
        if len(self._waiting) >= _BATCH:
            self._embed()
        return added

    def _embed(self) -> None:
        vectors = self._embedder.embed([crop for *_, crop in self._waiting], batch=_BATCH)
        for (track, frame, corners, quality, crop), vector in zip(self._waiting, vectors, strict=True):
            track.end = frame.time
            track.boxes += 1
            track.total = track.total + max(quality, 1e-3) * vector.astype(np.float64)
            if quality > track.quality:
                left, top, right, bottom = map(float, corners)
                track.quality, track.crop, track.corners = quality, crop, (left, top, right, bottom)
                track.frame = frame.number
        self._waiting = []

    def finish(self, min_boxes: int) -> list[Tracklet]:
        """Embed the last batch, count the tracks with too few boxes, and return the others by their start."""
        self._embed()
        long = [track.finish() for track in self._tracks.values() if track.boxes >= min_boxes]
        self.short = len(self._tracks) - len(long)
        return sorted(long, key=by_start)


def _cut(frame: Frame, corners: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut a box out of the frame; empty if the box is outside."""
    height, width = frame.pixels.shape[:2]
    left, top = np.clip(np.floor(corners[:2]), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(corners[2:]), 0, (width, height)).astype(int)
    return np.ascontiguousarray(frame.pixels[top:bottom, left:right])
