"""From a video to tracklets: detections are tracked by motion, joined over short gaps by appearance, and pooled.

Motion tracking is `trackers`' BoT-SORT (Aharon et al. 2022), which predicts positions and does not use appearance. Two
tracks with a short gap between them are joined if the model's vectors are near.

D embedding width   N boxes in a frame
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.errors import DataError
from passerby.extras import require_extra
from passerby.progress import ProgressOption, open_progress
from passerby.types import FloatArray
from passerby.video.boxes import make_detections, supervision_detector
from passerby.video.frames import Frame, read_frames, read_video_info, require_cv2

if TYPE_CHECKING:
    from supervision import Detections

    from passerby.model.embed import Embedder
    from passerby.video.boxes import Detector

MIN_BOXES = 5
"""Least number of boxes of a track that counts as a person."""
_FULL_HEIGHT = 128.0  # pixels above which a larger crop has no better quality
_BATCH = 64

Corners = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Tracklet:
    """One person in one camera, as far as the person could be tracked.

    Attributes:
        start: Time of the first box, seconds from the beginning of the video.
        end: Time of the last box.
        boxes: Number of pooled boxes.
        vector: (D,) of unit length: mean of the crops' vectors, weighted by quality.
        quality: Quality of the best crop, 0 to 1.
        crop: Best crop, as a JPEG file.
        corners: Left, top, right, bottom of the best crop in pixels.
        frame: Frame of the best crop.
    """

    start: float
    end: float
    boxes: int
    vector: FloatArray
    quality: float
    crop: bytes
    corners: Corners
    frame: int

    def __repr__(self) -> str:
        return f"Tracklet({self.start:.1f} to {self.end:.1f} s, {self.boxes} boxes, quality={self.quality:.2f})"


def track_people(
    video: str | Path,
    embedder: Embedder,
    *,
    boxes: Detector | Mapping[int, Detections],
    every: int = 1,
    min_boxes: int = MIN_BOXES,
    gap: float = 3.0,
    threshold: float | None = None,
    progress: ProgressOption = False,
) -> list[Tracklet]:
    """Track the people in a video and pool the vectors of each track.

    Args:
        video: File that OpenCV reads.
        embedder: Makes the vectors.
        boxes: Detector, or detections by frame (`read_boxes`). Tracks that they contain are kept.
        every: Use every n-th frame. People who walk fast need 5 frames per second or more.
        min_boxes: Least number of boxes of a track.
        gap: Longest gap in seconds over which two tracks are joined by appearance.
        threshold: Largest cosine distance between the two; None joins none.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        Tracklets in the order of their start.

    Raises:
        DataError: For a video or boxes that cannot be read, boxes beyond the end of the video, or a setting outside
            its range.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> corners = [[20, 40, 44, 100]], [[26, 40, 50, 100]]
        >>> boxes = {frame: make_detections(corners[frame], tracks=[7]) for frame in (0, 1)}
        >>> track_people("door.avi", passerby.load("runs/m"), boxes=boxes, min_boxes=2)
        [Tracklet(0.0 to 0.1 s, 2 boxes, quality=0.47)]
    """
    path = Path(video)
    if min_boxes < 1 or gap < 0:
        raise DataError(f"tracks: min_boxes is {min_boxes} and gap {gap}, expected at least 1 box and 0 s")
    info = read_video_info(path)
    detect = supervision_detector(boxes) if callable(boxes) else None  # checks its boxes
    given: Mapping[int, Detections] = {} if callable(boxes) else boxes
    tracked = any(detections.tracker_id is not None for detections in given.values())
    assign_tracks = None if tracked else _make_tracker(info.rate / every)
    nothing = make_detections([])
    collector = _Collector(embedder)
    last = -1
    with open_progress(progress) as report:
        for frame in read_frames(path, every=every):
            last = frame.number
            detections = detect(frame.pixels) if detect else given.get(frame.number, nothing)
            tracks = detections.tracker_id if assign_tracks is None else assign_tracks(detections, frame.time)
            collector.add(frame, detections, tracks)
            report("track", frame.number + 1, max(info.frames, frame.number + 1))
    if given and max(given) > last + every:
        raise DataError(f"{path}: has {last + 1} frames, the boxes {max(given) + 1}; are they of another video?")
    tracklets = collector.finish(min_boxes)
    return tracklets if threshold is None else join_tracklets(tracklets, threshold=threshold, gap=gap)


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


def join_tracklets(tracklets: Sequence[Tracklet], *, threshold: float, gap: float) -> list[Tracklet]:
    """Join tracklets of one video that follow each other within `gap` seconds and look alike, the nearest first.

    At most one tracklet follows another, so a person who was lost several times becomes one tracklet and tracklets that
    overlap in time are never joined.

    Args:
        tracklets: Tracklets of one camera.
        threshold: Largest cosine distance between two consecutive tracklets.
        gap: Longest time in seconds between the end of one and the start of the next.

    Returns:
        Tracklets in the order of their start.
    """
    links = sorted(
        (1 - float(a.vector @ b.vector), i, j)
        for i, a in enumerate(tracklets)
        for j, b in enumerate(tracklets)
        if i != j and 0 <= b.start - a.end <= gap
    )
    following: dict[int, int] = {}
    for distance, before, after in links:
        if distance <= threshold and before not in following and after not in following.values():
            following[before] = after
    chains = []
    for first in sorted(set(range(len(tracklets))) - set(following.values())):
        chain = [first]
        while chain[-1] in following:
            chain.append(following[chain[-1]])
        chains.append([tracklets[index] for index in chain])
    return sorted(map(_merge, chains), key=_by_start)


def _merge(chain: Sequence[Tracklet]) -> Tracklet:
    """Merge consecutive tracklets; the crop is the best one's."""
    if len(chain) == 1:
        return chain[0]
    total = np.sum([tracklet.boxes * tracklet.vector for tracklet in chain], axis=0)
    return replace(
        max(chain, key=lambda tracklet: tracklet.quality),
        start=min(tracklet.start for tracklet in chain),
        end=max(tracklet.end for tracklet in chain),
        boxes=sum(tracklet.boxes for tracklet in chain),
        vector=(total / np.linalg.norm(total)).astype(np.float32),
    )


def _by_start(tracklet: Tracklet) -> tuple[float, int]:
    return tracklet.start, tracklet.frame


def _make_tracker(rate: float) -> Callable[[Detections, float], NDArray[np.int64]]:
    """Make a function from the next frame's detections and time to the (N,) track numbers, -1 for none yet."""
    require_cv2()
    supervision = require_extra("supervision")
    tracker = require_extra("trackers").BoTSORTTracker(
        frame_rate=rate,
        lost_track_buffer=30,  # a second
        track_activation_threshold=0.4,
        high_conf_det_threshold=0.3,
        minimum_iou_threshold_first_assoc=0.1,
        enable_cmc=False,
        instant_first_frame_activation=False,
    )

    def assign_tracks(detections: Detections, time: float) -> NDArray[np.int64]:
        indexed = supervision.Detections(
            xyxy=detections.xyxy, confidence=detections.confidence, data={"index": np.arange(len(detections))}
        )
        answer = tracker.update(indexed, timestamp=time)
        tracks = np.full(len(detections), -1, np.int64)
        if len(answer):
            tracks[answer.data["index"]] = np.asarray(answer.tracker_id)
        return tracks

    return assign_tracks


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
        )


class _Collector:
    """Embeds crops in batches and adds their vectors to their tracks."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._tracks: dict[int, _Track] = {}
        self._waiting: list[tuple[_Track, Frame, NDArray[np.float32], float, NDArray[np.uint8]]] = []

    def add(self, frame: Frame, detections: Detections, tracks: NDArray[Any] | None) -> None:
        """Add the boxes of a frame that have a track."""
        if tracks is None:
            return
        for index in np.flatnonzero(tracks >= 0).tolist():
            corners = detections.xyxy[index]
            crop = _cut(frame, corners)
            if crop.size:
                track = self._tracks.setdefault(int(tracks[index]), _Track(frame.time, frame.time))
                self._waiting.append((track, frame, corners, compute_crop_quality(detections, index, frame), crop))
        if len(self._waiting) >= _BATCH:
            self._embed()

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
        """Embed what waits; return the tracklets with enough boxes in the order of their start."""
        self._embed()
        return sorted((track.finish() for track in self._tracks.values() if track.boxes >= min_boxes), key=_by_start)


def _cut(frame: Frame, corners: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Cut a box out of the frame; empty if the box is outside."""
    height, width = frame.pixels.shape[:2]
    left, top = np.clip(np.floor(corners[:2]), 0, (width, height)).astype(int)
    right, bottom = np.clip(np.ceil(corners[2:]), 0, (width, height)).astype(int)
    return np.ascontiguousarray(frame.pixels[top:bottom, left:right])
