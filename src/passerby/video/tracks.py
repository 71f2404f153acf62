"""From a video to tracklets: detections are tracked by motion, joined over short gaps by appearance, and pooled.

Two tracks with a short gap between them are joined if their vectors are near and the person can have moved so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from passerby.errors import DataError, argument
from passerby.progress import ProgressOption, open_progress
from passerby.text import plural
from passerby.types import Result
from passerby.video.frame_tracker import FrameTracker
from passerby.video.frames import read_frames, read_video_info
from passerby.video.tracklets import Tracklet, join_tracklets

if TYPE_CHECKING:
    from supervision import Detections

    from passerby.runtime.embedder import Embedder
    from passerby.video.boxes import Detector

MIN_BOXES = 5
"""Least number of boxes of a track that counts as a person."""


@dataclass(frozen=True)
class VideoCounts(Result):
    """Counts of a video or of live sources in which people were tracked.

    Attributes:
        frames: Frames that were used.
        damaged: Frames that could not be decoded.
        boxes: Boxes in the used frames, with those that were left out.
        left_out: Boxes below the least score.
        flat: Boxes without an area.
        untracked: Boxes in no track: the score is too low, no box of the next frames follows, or outside the frame.
        short: Tracks with fewer than `min_boxes` boxes.
        dropped: Frames of a stream that were replaced by a newer one before they were used.
        losses: Connections that were lost.
    """

    frames: int = 0
    damaged: int = 0
    boxes: int = 0
    left_out: int = 0
    flat: int = 0
    untracked: int = 0
    short: int = 0
    dropped: int = 0
    losses: int = 0


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
        frames, boxes = plural(self.counts.frames, "frame"), plural(self.counts.boxes, "box")
        return f"TrackedVideo({plural(len(self.tracklets), 'tracklet')}, {frames}, {boxes})"


def track_people(
    video: str | Path,
    embedder: Embedder | None,
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
        embedder: Makes the vectors; None makes none, of width 0, where boxes alone are needed.
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
            video, fewer frames than a track needs boxes, a threshold without an embedder, or a setting outside its
            range.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> from passerby.video.boxes import make_detections
        >>> corners = [[20, 40, 44, 100]], [[26, 40, 50, 100]]
        >>> boxes = {frame: make_detections(corners[frame], tracks=[7]) for frame in (0, 1)}
        >>> track_people("door.avi", passerby.load("runs/m"), boxes=boxes, min_boxes=2)
        TrackedVideo(1 tracklet, 40 frames, 2 boxes)
    """
    if min_boxes < 1 or gap < 0:
        raise DataError(
            f"tracks: min_boxes is {min_boxes} and {argument('gap')} {gap}, expected at least 1 box and 0 s"
        )
    if embedder is None and threshold is not None:
        raise DataError(f"tracks: threshold is {threshold} and the embedder None; tracks are joined by their vectors")
    info = read_video_info(video)
    if 0 < info.frames <= (min_boxes - 1) * every:
        raise DataError(
            f"{video}: {plural(info.frames, 'frame')}, of which {argument('every', every)} uses "
            f"{-(-info.frames // every)}; a track needs {plural(min_boxes, 'box')}: use more of the frames, or enroll "
            "them as images"
        )
    tracker = FrameTracker(embedder, boxes=boxes, min_boxes=min_boxes, rate=info.rate / every, name=str(video))
    counts = tracker.counts
    last = -1
    with open_progress(progress) as report:
        for frame in read_frames(video, every=every, on_damaged=lambda _first, count: counts.update(damaged=count)):
            tracker.add(frame)
            last = frame.number
            report("track", last + 1, max(info.frames, last + 1))
    tracker.check_unit(least=1)
    if not callable(boxes) and boxes and max(boxes) > last + every + counts["damaged"]:
        raise DataError(
            f"{video}: has {plural(last + 1, 'frame')}, the boxes {max(boxes) + 1}; are they of another video?"
        )
    tracklets = tracker.collector.finish()
    joined = tracklets if threshold is None else join_tracklets(tracklets, threshold=threshold, gap=gap)
    return TrackedVideo(tuple(joined), VideoCounts(**counts, short=tracker.collector.short))
