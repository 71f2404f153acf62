"""Detection and tracking of people, one frame after another.

Motion tracking is `trackers`' BoT-SORT (Aharon et al. 2022), which predicts positions and does not use appearance.

D embedding width   N boxes in a frame
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passerby.extras import require_extra
from passerby.video.boxes import FLAT, LEFT_OUT, Detector, check_pixels, make_detections, supervision_detector
from passerby.video.frames import Frame, require_cv2
from passerby.video.pooling import Collector

if TYPE_CHECKING:
    from supervision import Detections

    from passerby.runtime.embedder import Embedder

_MEMORY = 1.0
"""Seconds after which a track without a box ends."""
_MEMORY_FRAMES = 3
"""Frames for which a track without a box is kept at least, for low frame rates."""
_CHECKED = 20
"""Boxes after which their unit is checked, at the latest at the end of the video."""
_NOMINAL_RATE = 10.0
"""Frames per second of a stream, for the tracker's model of motion; times are those of the frames."""


class FrameTracker:
    """Detect and track the people in the frames of one camera, and pool the vectors of each track.

    Args:
        embedder: Makes the vectors; None makes none, of width 0.
        boxes: Detector, or detections by frame. Tracks that they contain are kept.
        min_boxes: Least number of boxes of a track.
        rate: Frames per second; None for a stream of varying rate, which is measured.
        name: Name of the video or camera, for messages.
        kept: Number of boxes that a path keeps; None keeps all.

    Attributes:
        collector: The tracks.
        counts: Frames and boxes, with the names of `VideoCounts`.
        memory: Seconds after which a track without a box ends: 1, or three frames where that is longer.
    """

    def __init__(
        self,
        embedder: Embedder | None,
        *,
        boxes: Detector | Mapping[int, Detections],
        min_boxes: int,
        rate: float | None,
        name: str,
        kept: int | None = None,
    ) -> None:
        self._detect = supervision_detector(boxes) if callable(boxes) else None  # checks its boxes
        self._given: Mapping[int, Detections] = {} if callable(boxes) else boxes
        self._rate, self._name = rate, name
        self._nothing = make_detections([])
        self._unchecked: list[NDArray[Any]] | None = []  # the first boxes; None when one of them is in pixels
        self._times: deque[float] = deque(maxlen=10)  # of the latest frames
        self.collector = Collector(embedder, min_boxes=min_boxes, kept=kept)
        self.counts: Counter[str] = Counter()
        self.memory = _MEMORY if rate is None else max(_MEMORY, _MEMORY_FRAMES / rate)
        tracked = any(detections.tracker_id is not None for detections in self._given.values())
        self._tracker: Any = None if tracked else self._make_tracker()

    def _make_tracker(self) -> Any:
        require_cv2()
        return require_extra("trackers").BoTSORTTracker(
            frame_rate=self._rate or _NOMINAL_RATE,
            lost_track_buffer=math.ceil(30 * self.memory),  # 1/30 s
            track_activation_threshold=0.4,
            high_conf_det_threshold=0.3,
            minimum_iou_threshold_first_assoc=0.1,
            enable_cmc=False,
            instant_first_frame_activation=False,
        )

    def restart(self) -> None:
        """Forget positions, for frames that do not continue the last ones. End the tracks before."""
        self._times.clear()
        self._tracker = self._make_tracker()

    def add(self, frame: Frame) -> None:
        """Track the people in the next frame. Times increase."""
        detections = self._detect(frame.pixels) if self._detect else self._given.get(frame.number, self._nothing)
        if self._unchecked is not None:
            self._unchecked.append(detections.xyxy)
            self.check_unit(least=_CHECKED, name=f"{self._name}: frame {frame.number}")
        tracks = detections.tracker_id if self._tracker is None else self._assign_tracks(detections, frame.time)
        added = self.collector.add(frame, detections, tracks)
        left_out, flat = (int(detections.metadata.get(name, 0)) for name in (LEFT_OUT, FLAT))
        self.counts.update(frames=1, boxes=len(detections) + left_out + flat, left_out=left_out, flat=flat)
        self.counts.update(untracked=len(detections) - added)

    def check_unit(self, *, least: int, name: str | None = None) -> None:
        """Check that the boxes are in pixels, if there were at least `least` so far.

        Raises:
            DataError: If all of them end within the first two pixels.
        """
        if self._unchecked is None:
            return
        boxes = np.concatenate([*self._unchecked, self._nothing.xyxy])
        self._unchecked = [boxes]
        if len(boxes) >= least:
            check_pixels(boxes, name or self._name)
        if len(boxes) and boxes.max() > 2:
            self._unchecked = None

    def _assign_tracks(self, detections: Detections, time: float) -> NDArray[np.int64]:
        """Return the (N,) track numbers of the next frame's boxes, -1 for none yet."""
        if self._rate is None:
            self._times.append(time)
            steps = np.diff(self._times).tolist()
            self.memory = max(_MEMORY, _MEMORY_FRAMES * median(steps)) if steps else _MEMORY
            self._tracker.maximum_time_without_update = self.memory
        indexed = require_extra("supervision").Detections(
            xyxy=detections.xyxy, confidence=detections.confidence, data={"index": np.arange(len(detections))}
        )
        answer = self._tracker.update(indexed, timestamp=time)
        tracks = np.full(len(detections), -1, np.int64)
        if len(answer):
            tracks[answer.data["index"]] = np.asarray(answer.tracker_id)
        return tracks
