"""Enrollment of the people in a video: one sighting per track."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from passerby.errors import DataError
from passerby.gallery.cluster import find_pair_threshold
from passerby.gallery.gallery import Gallery
from passerby.gallery.sightings import SightingInfo, check_metadata, to_source
from passerby.progress import ProgressOption
from passerby.video.frames import read_video_info
from passerby.video.outputs import check_drawing, draw_tracks, write_tracks
from passerby.video.track_sightings import GAP_PRIOR, EnrollVideoResult, make_sighting
from passerby.video.tracks import MIN_BOXES, track_people

if TYPE_CHECKING:
    from supervision import Detections

    from passerby.video.boxes import Detector


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
    live: bool = False,
    progress: ProgressOption = False,
) -> EnrollVideoResult:
    """Track the people in a video and enroll each track with its best crop.

    The attributes of a sighting are `track.start` and `track.end` in seconds (since 1970 if `started` is given,
    otherwise from the beginning of the video), `track.video`, `track.number` (in the video, from 1),
    `track.boxes` (their number), and `track.left`, `track.top`, `track.right`, `track.bottom` and `track.frame` of the
    crop.

    Args:
        gallery: Its model makes the vectors.
        video: File that OpenCV reads, or a live source.
        camera: Camera of the video.
        boxes: Detector, or detections by frame (`read_boxes`).
        started: Time of the first frame, seconds since 1970; None if unknown, filters by time then leave the tracks
            out.
        every: Use every n-th frame.
        min_boxes: Least number of boxes of a track.
        gap: Longest gap in seconds over which two tracks are joined by appearance; 0 joins none.
        tracks: MOT file to write, with the numbers of the tracks; see `write_tracks`.
        draw: Video to write with the tracks drawn, .mp4 or .avi; see `draw_tracks`.
        live: The video is a live source: an address, the index of a camera or a folder. The same as `enroll_live` with
            one camera; `started` is its `since`, `boxes` is a detector, and nothing is written to files.
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
    if live:
        from passerby.video.enroll_live import enroll_live

        if not callable(boxes) or tracks is not None or draw is not None:
            raise DataError("live: takes a detector as boxes, and neither tracks nor draw")
        return enroll_live(
            gallery, {camera: video}, boxes=boxes, since=started, every=every, min_boxes=min_boxes, gap=gap
        )
    check_metadata(SightingInfo(camera=camera, time=started), str(video))  # before the work
    threshold = find_pair_threshold(gallery.calibration, prior=GAP_PRIOR) if gap > 0 else None
    read_video_info(video)
    path = Path(video).resolve()
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
    to_wall = None if started is None else lambda seconds: started + seconds
    added = gallery.store.add(
        [
            make_sighting(tracklet, camera=camera, video=to_source(path), number=number, to_wall=to_wall)
            for number, tracklet in enumerate(tracked.tracklets, 1)
        ]
    )
    return EnrollVideoResult(len(added.new), len(added.known), counts=tracked.counts)
