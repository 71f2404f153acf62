"""From a video to tracklets: detections are tracked by motion, joined over short gaps by appearance, and pooled.

Motion tracking is `trackers`' BoT-SORT (Aharon et al. 2022), which predicts positions and does not use appearance. Two
tracks with a short gap between them are joined if the model's vectors are near.

D embedding width   N boxes in a frame
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.extras import require_extra
from passerby.progress import ProgressOption, open_progress
from passerby.types import Result
from passerby.video.boxes import FLAT, LEFT_OUT, check_pixels, make_detections, supervision_detector
from passerby.video.frames import read_frames, read_video_info, require_cv2
from passerby.video.pooling import Collector
from passerby.video.tracklets import Tracklet, join_tracklets

if TYPE_CHECKING:
    from supervision import Detections

    from passerby.model.embed import Embedder
    from passerby.video.boxes import Detector

MIN_BOXES = 5
"""Least number of boxes of a track that counts as a person."""
_MEMORY = 1.0
"""Seconds after which a track without a box ends."""
_MEMORY_FRAMES = 3
"""Frames for which a track without a box is kept at least, for low frame rates."""
_CHECKED = 20
"""Boxes after which their unit is checked, at the latest at the end of the video."""


@dataclass(frozen=True)
class VideoCounts(Result):
    """Counts of a video in which people were tracked.

    Attributes:
        frames: Frames that were used.
        damaged: Frames that could not be decoded.
        boxes: Boxes in the used frames, with those that were left out.
        left_out: Boxes below the least score.
        flat: Boxes without an area.
        untracked: Boxes in no track: the score is too low, no box of the next frames follows, or outside the frame.
        short: Tracks with fewer than `min_boxes` boxes.
    """

    frames: int = 0
    damaged: int = 0
    boxes: int = 0
    left_out: int = 0
    flat: int = 0
    untracked: int = 0
    short: int = 0


@dataclass(frozen=True, eq=False)
class TrackedVideo:
    """People tracked in a video.

    Attributes:
        tracklets: In the order of their start.
        counts: Frames and boxes.
    """

    tracklets: tuple[Tracklet, ...]
    counts: VideoCounts

    def __repr__(self) -> str:
        return f"TrackedVideo({len(self.tracklets)} tracklets, {self.counts.frames} frames, {self.counts.boxes} boxes)"


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
) -> TrackedVideo:
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
        Tracklets in the order of their start, and counts of frames and boxes. Frames that cannot be decoded are skipped
        and counted.

    Raises:
        DataError: For a video or boxes that cannot be read, boxes in fractions of the frame or beyond the end of the
            video, fewer frames than a track needs boxes, or a setting outside its range.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> corners = [[20, 40, 44, 100]], [[26, 40, 50, 100]]
        >>> boxes = {frame: make_detections(corners[frame], tracks=[7]) for frame in (0, 1)}
        >>> track_people("door.avi", passerby.load("runs/m"), boxes=boxes, min_boxes=2)
        TrackedVideo(1 tracklets, 40 frames, 2 boxes)
    """
    if min_boxes < 1 or gap < 0:
        raise DataError(f"tracks: min_boxes is {min_boxes} and gap {gap}, expected at least 1 box and 0 s")
    info = read_video_info(video)
    if 0 < info.frames <= (min_boxes - 1) * every:
        raise DataError(
            f"{video}: {info.frames} frames, of which every={every} uses {-(-info.frames // every)}; a track needs "
            f"{min_boxes} boxes (min_boxes): lower one of the two"
        )
    detect = supervision_detector(boxes) if callable(boxes) else None  # checks its boxes
    given: Mapping[int, Detections] = {} if callable(boxes) else boxes
    tracked = any(detections.tracker_id is not None for detections in given.values())
    assign_tracks = None if tracked else _make_tracker(info.rate / every)
    nothing = make_detections([])
    collector = Collector(embedder)
    counts: Counter[str] = Counter()
    unchecked: list[NDArray[Any]] | None = []  # the first boxes; None when one of them is in pixels
    last = -1
    with open_progress(progress) as report:
        for frame in read_frames(video, every=every, on_damaged=lambda _first, count: counts.update(damaged=count)):
            last = frame.number
            detections = detect(frame.pixels) if detect else given.get(frame.number, nothing)
            unchecked = _check_unit(unchecked, detections.xyxy, f"{video}: frame {frame.number}", least=_CHECKED)
            tracks = detections.tracker_id if assign_tracks is None else assign_tracks(detections, frame.time)
            added = collector.add(frame, detections, tracks)
            left_out, flat = (int(detections.metadata.get(name, 0)) for name in (LEFT_OUT, FLAT))
            counts.update(frames=1, boxes=len(detections) + left_out + flat, left_out=left_out, flat=flat)
            counts.update(untracked=len(detections) - added)
            report("track", frame.number + 1, max(info.frames, frame.number + 1))
    _check_unit(unchecked, nothing.xyxy, str(video), least=1)
    if given and max(given) > last + every + counts["damaged"]:
        raise DataError(f"{video}: has {last + 1} frames, the boxes {max(given) + 1}; are they of another video?")
    tracklets = collector.finish(min_boxes)
    joined = tracklets if threshold is None else join_tracklets(tracklets, threshold=threshold, gap=gap)
    return TrackedVideo(tuple(joined), VideoCounts(**counts, short=collector.short))


def _check_unit(
    unchecked: list[NDArray[Any]] | None, new: NDArray[Any], name: str, *, least: int
) -> list[NDArray[Any]] | None:
    """Collect boxes until one ends beyond the first two pixels (None); raise DataError if `least` do not."""
    if unchecked is None or (len(new) and new.max() > 2):
        return None
    unchecked = [*unchecked, new] if len(new) else unchecked
    if sum(map(len, unchecked)) >= least:
        check_pixels(np.concatenate(unchecked), name)
    return unchecked


def _make_tracker(rate: float) -> Callable[[Detections, float], NDArray[np.int64]]:
    """Make a function from the next frame's detections and time to the (N,) track numbers, -1 for none yet."""
    require_cv2()
    memory = max(_MEMORY, _MEMORY_FRAMES / rate)  # seconds
    supervision = require_extra("supervision")
    tracker = require_extra("trackers").BoTSORTTracker(
        frame_rate=rate,
        lost_track_buffer=math.ceil(30 * memory),  # 1/30 s
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
