"""Enrollment of the people in a video: one sighting per track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from passerby.errors import DataError
from passerby.gallery.cluster import find_pair_threshold
from passerby.gallery.gallery import Gallery
from passerby.gallery.results import EnrollResult
from passerby.gallery.sightings import TRACK, Sighting, SightingInfo, check_metadata, to_source
from passerby.progress import ProgressOption
from passerby.video.outputs import check_drawing, draw_tracks, write_tracks
from passerby.video.tracklets import Tracklet
from passerby.video.tracks import MIN_BOXES, VideoCounts, track_people

if TYPE_CHECKING:
    from supervision import Detections

    from passerby.video.boxes import Detector

_PRIOR = 0.2
"""Prior probability that two tracks with a short gap between them show one person."""
_SIDES = ("left", "top", "right", "bottom")


@dataclass(frozen=True)
class EnrollVideoResult(EnrollResult):
    """Counts of `enroll_video`.

    Attributes:
        new: Tracks that were added.
        known: Tracks that were enrolled before.
        unreadable: Empty.
        counts: Frames and boxes of the video.
    """

    counts: VideoCounts = field(default_factory=VideoCounts)

    def __repr__(self) -> str:
        return f"EnrollVideoResult(new={self.new}, known={self.known}, {self.counts})"


def enroll_video(
    gallery: Gallery,
    video: str | Path,
    *,
    camera: str,
    boxes: Detector | Mapping[int, Detections],
    started: float | None = None,
    every: int = 1,
    min_boxes: int = MIN_BOXES,
    gap: float = 3.0,
    tracks: str | Path | None = None,
    draw: str | Path | None = None,
    progress: ProgressOption = False,
) -> EnrollVideoResult:
    """Track the people in a video and enroll each track with its best crop.

    The attributes of a sighting are `track.start` and `track.end` in seconds (since 1970 if `started` is given,
    otherwise from the beginning of the video), `track.video`, `track.number` (in the video, from 1),
    `track.boxes` (their number), and `track.left`, `track.top`, `track.right`, `track.bottom` and `track.frame` of the
    crop.

    Args:
        gallery: Its model makes the vectors.
        video: File that OpenCV reads.
        camera: Camera of the video.
        boxes: Detector, or detections by frame (`read_boxes`).
        started: Time of the first frame, seconds since 1970; None if unknown, filters by time then leave the tracks
            out.
        every: Use every n-th frame.
        min_boxes: Least number of boxes of a track.
        gap: Longest gap in seconds over which two tracks are joined by appearance; 0 joins none.
        tracks: MOT file to write, with the numbers of the tracks; see `write_tracks`.
        draw: Video to write with the tracks drawn, .mp4 or .avi; see `draw_tracks`.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        Numbers of new and of known tracks, and counts of frames and boxes; the same video with the same boxes and
        settings is enrolled once.

    Raises:
        DataError: As `track_people`; if `draw` has another suffix, or a file to write is the video.
        WriteError: If a file cannot be written; nothing is enrolled then.
        GalleryError: As `GalleryStore.add`, or if the model is not calibrated and `gap` is above 0.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> from passerby.video.boxes import hog_detector
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     result = enroll_video(gallery, "door.avi", camera="door", boxes=hog_detector(), every=4)
        >>> result.new, result.counts.frames
        (0, 10)
    """
    check_metadata(SightingInfo(camera=camera, time=started), str(video))  # before the work
    threshold = find_pair_threshold(gallery.calibration, prior=_PRIOR) if gap > 0 else None
    path = video if "://" in str(video) else Path(video).resolve()
    if draw is not None:
        check_drawing(draw)
    for output in (tracks, draw):
        if output is not None and Path(output).resolve() == path:
            raise DataError(f"{output}: is the video, and would be overwritten; choose another name")
    tracked = track_people(
        path,
        gallery.embedder,
        boxes=boxes,
        every=every,
        min_boxes=min_boxes,
        gap=gap,
        threshold=threshold,
        progress=progress,
    )
    if tracks is not None:
        write_tracks(tracked.tracklets, tracks)
    if draw is not None:
        draw_tracks(tracked.tracklets, draw, video=path, every=every, progress=progress)
    added = gallery.store.add(
        [_make_sighting(tracklet, n, path, camera, started) for n, tracklet in enumerate(tracked.tracklets, 1)]
    )
    return EnrollVideoResult(len(added.new), len(added.known), counts=tracked.counts)


def _make_sighting(tracklet: Tracklet, track: int, path: str | Path, camera: str, started: float | None) -> Sighting:
    zero = started or 0.0
    corners = ",".join(f"{x:.0f}" for x in tracklet.corners)
    return Sighting(
        vector=tracklet.vector,
        crop=tracklet.crop,
        camera=camera,
        time=None if started is None else started + tracklet.start,
        source=f"{to_source(path)}::{tracklet.start:.2f}-{tracklet.end:.2f} s at {corners}",
        quality=tracklet.quality,
        attributes={
            f"{TRACK}video": to_source(path),
            f"{TRACK}start": zero + tracklet.start,
            f"{TRACK}end": zero + tracklet.end,
            f"{TRACK}number": track,
            f"{TRACK}boxes": tracklet.boxes,
            f"{TRACK}frame": tracklet.frame,
            **{f"{TRACK}{side}": x for side, x in zip(_SIDES, tracklet.corners, strict=True)},
        },
    )
