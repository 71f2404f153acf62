"""Enrollment of people from live cameras while they run: each track becomes a sighting when it has ended."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from passerby.errors import DataError, GalleryError
from passerby.gallery.cluster import find_pair_threshold
from passerby.gallery.forget import expire_by_retention
from passerby.gallery.gallery import Gallery
from passerby.gallery.sightings import SightingInfo, check_metadata, to_source
from passerby.types import Result
from passerby.video.boxes import Detector
from passerby.video.frame_tracker import FrameTracker
from passerby.video.live_sources import FolderSource, LiveSource, parse_source
from passerby.video.live_tracks import LiveTracks
from passerby.video.stream_source import StreamSource
from passerby.video.track_identities import IDENTITY, IdentityMatcher
from passerby.video.track_sightings import GAP_PRIOR, EnrollVideoResult, make_sighting
from passerby.video.tracklets import Tracklet
from passerby.video.tracks import MIN_BOXES, VideoCounts

logger = logging.getLogger(__name__)

_KEPT = 50
"""Boxes of a path that are kept: the velocity needs those of the last second."""
_PAUSE = 0.05
"""Seconds between two checks of sources without a frame."""
_REPORT = 60.0
"""Seconds between two reports of dropped frames."""
_EXPIRE = 3600.0
"""Seconds between two erasures of what is past the gallery's retention."""


@dataclass(frozen=True)
class LiveSighting(Result):
    """A sighting that was added while its camera runs.

    Attributes:
        id: Id of the sighting.
        camera: Its camera.
        start: Time of the first box, seconds since 1970 UTC.
        end: Time of the last box.
        boxes: Number of boxes.
        quality: Quality of the crop, 0 to 1.
        identity: A label of the gallery, or the id of the first sighting of the identity.
        first: Whether it is the first sighting of a new identity.
        label: Label that `identify` named; None without.
        probability: Probability of the label; None without.
        distance: Mean distance to the identity's earlier tracks; None for a label and for a new identity.

    Example:
        >>> sighting = LiveSighting("s1", "door", 1000.0, 1004.0, 20, 0.8, identity="Ada", first=False)
        >>> sighting.end - sighting.start
        4.0
    """

    id: str
    camera: str
    start: float
    end: float
    boxes: int
    quality: float
    identity: str
    first: bool
    label: str | None = None
    probability: float | None = None
    distance: float | None = None


def enroll_live(
    gallery: Gallery,
    sources: Mapping[str, str | int | Path],
    *,
    boxes: Detector,
    since: float | None = None,
    every: int = 1,
    min_boxes: int = MIN_BOXES,
    gap: float = 3.0,
    on_sighting: Callable[[LiveSighting], object] = lambda _: None,
    stop: threading.Event | None = None,
) -> EnrollVideoResult:
    """Enroll the people that live cameras see, until it is stopped.

    A stream (`rtsp://`, `rtsps://`, or the index of a camera) keeps its newest frame; frames that come while it waits
    are dropped and counted. A lost connection is opened again after 1, 2, 4, 8, 16, 30, 30, ... seconds. The time of a
    sighting is that of the wall clock. In a folder, images and videos are read when they are complete, in the order of
    their time of modification, which is the time of an image and of a video's last frame.

    A track is enrolled when it has ended, after `gap` seconds and one more, and at least every 300 seconds. Its
    attributes are those of `enroll_video` and `track.identity` (`passerby.video.track_identities`).

    In the main thread, SIGINT (Ctrl-C) and SIGTERM end it: open tracks are enrolled, and it returns. A second signal
    has its usual effect.

    Args:
        gallery: Its model makes the vectors, and is calibrated.
        sources: Source by camera.
        boxes: Detector.
        since: For folders: files that were modified before this time are not read, seconds since 1970; None is now.
        every: Use every n-th frame.
        min_boxes: Least number of boxes of a track.
        gap: Longest gap in seconds over which two tracks are joined by appearance; 0 joins none.
        on_sighting: Called with each sighting, after it is durable.
        stop: Event that ends it, from another thread.

    Returns:
        Numbers of new and of known tracks, and counts of frames and boxes of all cameras.

    Raises:
        DataError: For a source of another kind, no source, or a setting outside its range.
        GalleryError: As `GalleryStore.add`, or if the model is not calibrated.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> stop = threading.Event()
        >>> stop.set()  # from another thread, or by Ctrl-C
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     result = enroll_live(gallery, {"door": "crops"}, boxes=passerby.hog_detector(), stop=stop)
        >>> result.new
        0
    """
    since = time.time() if since is None else since
    if not sources:
        raise DataError("live: no source; expected at least one camera with its address, index or folder")
    if min_boxes < 1 or gap < 0 or every < 1:
        raise DataError(f"live: min_boxes={min_boxes}, gap={gap}, every={every}; expected at least 1, 0 and 1")
    for camera in sources:
        check_metadata(SightingInfo(camera=camera, time=since), f"camera {camera}")
    enrollment = _Enrollment(gallery, on_sighting)
    threshold = find_pair_threshold(gallery.calibration, prior=GAP_PRIOR) if gap > 0 else None
    cameras = []
    for camera, text in sources.items():
        source = _open_source(parse_source(text), camera, since=since, every=every)
        tracker = FrameTracker(
            gallery.embedder, boxes=boxes, min_boxes=min_boxes, rate=None, name=f"camera {camera}", kept=_KEPT
        )
        tracks = LiveTracks(tracker, gap=gap, threshold=threshold)
        cameras.append(_Camera(camera, source, tracker, tracks, enrollment.add))
    stop = stop or threading.Event()
    with stop_on_signals(stop), ExitStack() as opened:
        for camera_loop in cameras:
            camera_loop.source.start()
            opened.callback(camera_loop.source.close)
        while not stop.is_set():
            busy = [camera_loop.step() for camera_loop in cameras]
            enrollment.expire()
            if not any(busy):
                stop.wait(_PAUSE)
        for camera_loop in cameras:
            camera_loop.finish()
    counts: Counter[str] = Counter()
    for camera_loop in cameras:
        counts.update(camera_loop.counts)
    return EnrollVideoResult(enrollment.new, enrollment.known, counts=VideoCounts(**counts))


@contextmanager
def stop_on_signals(stop: threading.Event) -> Iterator[None]:
    """Set an event at SIGINT or SIGTERM, instead of ending the process; the second time they have their usual effect.

    Without effect outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(_number: int, _frame: object) -> None:
        stop.set()
        restore()

    for number in before:
        signal.signal(number, handle)
    try:
        yield
    finally:
        restore()


def _open_source(source: str | int | Path, camera: str, *, since: float, every: int) -> LiveSource:
    inform, warn = (partial(_log, level, camera) for level in (logging.INFO, logging.WARNING))
    if isinstance(source, Path):
        start = datetime.fromtimestamp(since).astimezone().isoformat(timespec="seconds")
        inform(f"watching {source} for files modified since {start}")
        return FolderSource(source, warn=warn, since=since, every=every)
    return StreamSource(source, inform=inform, warn=warn, every=every)


def _log(level: int, camera: str, message: str) -> None:
    logger.log(level, "%s: %s", camera, message)


class _Enrollment:
    """Adds tracks to the gallery, each in its own transaction."""

    def __init__(self, gallery: Gallery, on_sighting: Callable[[LiveSighting], object]) -> None:
        self._store, self._on_sighting = gallery.store, on_sighting
        self._matcher = IdentityMatcher(gallery)
        self._expired = time.monotonic()
        self.new = self.known = self._number = 0

    def add(self, tracklet: Tracklet, camera: str, origin: str, to_wall: Callable[[float], float]) -> None:
        """Match a track, add it, and report it."""
        self._number += 1
        track = make_sighting(tracklet, camera=camera, video=origin, number=self._number, to_wall=to_wall)
        match = self._matcher.match(track)
        identity = match.identity or track.id
        added = self._store.add([replace(track, attributes={**track.attributes, IDENTITY: identity})])
        self._matcher.remember(track, identity)
        self.known += len(added.known)
        if not added.new:
            return
        self.new += 1
        assert track.span is not None
        self._on_sighting(
            LiveSighting(
                track.id, camera, *track.span, tracklet.boxes, tracklet.quality, identity, match.identity is None,
                match.label, match.probability, match.distance,
            )
        )  # fmt: skip

    def expire(self) -> None:
        """Erase what is past the gallery's retention, once an hour."""
        if time.monotonic() - self._expired < _EXPIRE:
            return
        self._expired = time.monotonic()
        try:
            expire_by_retention(self._store)
        except GalleryError as error:
            logger.warning("%s", error)


class _Camera:
    """One camera: its source, its tracker, and what was reported."""

    def __init__(
        self,
        name: str,
        source: LiveSource,
        tracker: FrameTracker,
        tracks: LiveTracks,
        add: Callable[[Tracklet, str, str, Callable[[float], float]], None],
    ) -> None:
        self.name, self.source = name, source
        self._tracker, self._tracks, self._add = tracker, tracks, add
        self._part, self._origin, self._last = 0, "", float("-inf")
        self._reported = time.monotonic(), 0, 0  # time, received and dropped frames

    def step(self) -> bool:
        """Use the next frame, and add the tracks that are complete; return whether there was a frame."""
        frame = self.source.take()
        if frame is None:
            now = self.source.now()
            self._add_all(self._tracks.pop(now) if now is not None else [])
            return False
        origin, seconds = to_source(frame.origin), frame.frame.time
        if frame.part != self._part or origin != self._origin:
            if origin != self._origin or seconds < self._last:
                self._add_all(self._tracks.finish())
            self._tracks.restart()
        self._part, self._origin, self._last = frame.part, origin, seconds
        self._tracker.add(frame.frame)
        self._add_all(self._tracks.pop(seconds))
        self._report_dropped()
        return True

    def finish(self) -> None:
        """Add the tracks that are open."""
        self._add_all(self._tracks.finish())

    @property
    def counts(self) -> Counter[str]:
        """Counts with the names of `VideoCounts`."""
        source = self.source
        more = {"dropped": source.dropped, "damaged": source.damaged, "losses": source.losses}
        return self._tracker.counts + Counter({**more, "short": self._tracker.collector.short})

    def _add_all(self, tracklets: list[Tracklet]) -> None:
        for tracklet in tracklets:
            self._add(tracklet, self.name, self._origin, self.source.to_wall)

    def _report_dropped(self) -> None:
        now, received, dropped = time.monotonic(), self.source.received, self.source.dropped
        before, received_before, dropped_before = self._reported
        if now - before < _REPORT:
            return
        self._reported = now, received, dropped
        if dropped > dropped_before:
            logger.info(
                "%s: %s of %s frames of the last %.0f s dropped: tracking is slower than the camera",
                self.name,
                f"{dropped - dropped_before:,}",
                f"{received - received_before:,}",
                now - before,
            )
