"""Files of tracks: MOT text and a video with the boxes drawn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from passerby.errors import DataError, WriteError, explain
from passerby.files import remove_drafts, write_atomic
from passerby.progress import ProgressOption, open_progress
from passerby.video.frames import read_frames, read_video_info, require_cv2

if TYPE_CHECKING:
    from passerby.video.tracklets import Tracklet

_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
_THICKNESS = 2  # pixels of a drawn line


def write_tracks(tracklets: Sequence[Tracklet], path: str | Path) -> None:
    """Write tracklets as a MOT Challenge file.

    Each line is one box: `frame,track,left,top,width,height,score,-1,-1,-1`, frames and tracks from 1, pixels. Track n
    is `tracklets[n - 1]`. `read_boxes` reads the file.

    Args:
        tracklets: Tracklets of one video.
        path: The file; it is replaced.

    Raises:
        WriteError: If the file cannot be written.

    Example:
        >>> write_tracks([], "tracks.txt")
        >>> Path("tracks.txt").read_text()
        ''
    """
    rows = sorted(
        (int(row[0]), track, *row[1:]) for track, item in enumerate(tracklets, 1) for row in item.path.tolist()
    )
    lines = [
        f"{frame + 1},{track},{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f},{score:.4f},-1,-1,-1\n"
        for frame, track, left, top, right, bottom, score in rows
    ]
    write_atomic(Path(path), "".join(lines).encode())


def check_drawing(path: str | Path) -> None:
    """Check the name of a drawn video.

    Raises:
        DataError: If it does not end in .mp4 or .avi.

    Example:
        >>> check_drawing("tracks.mp4")
    """
    if Path(path).suffix.lower() not in _CODECS:
        raise DataError(f"{path}: expected a name that ends in {' or '.join(_CODECS)}")


def draw_tracks(
    tracklets: Sequence[Tracklet],
    path: str | Path,
    *,
    video: str | Path,
    every: int = 1,
    progress: ProgressOption = False,
) -> None:
    """Write a video with the box and the number of each track.

    Args:
        tracklets: Tracks of the video; track n is `tracklets[n - 1]`, as in `write_tracks`.
        path: File to write, .mp4 or .avi; it is replaced.
        video: The video in which they were tracked.
        every: Every n-th frame is drawn, at 1/n of the frame rate. Frames that cannot be decoded repeat the one before.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Raises:
        DataError: If the video cannot be read, or the name does not end in .mp4 or .avi.
        WriteError: If the file cannot be written.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> draw_tracks([], "drawn.avi", video="door.avi", every=4)
        >>> read_video_info("drawn.avi").frames
        10
    """
    check_drawing(path)
    cv2, path = require_cv2(), Path(path)
    info = read_video_info(video)
    by_frame: dict[int, list[tuple[int, list[int]]]] = {}
    for track, tracklet in enumerate(tracklets, 1):
        for frame_number, *corners, _ in tracklet.path.tolist():
            by_frame.setdefault(int(frame_number), []).append((track, [round(x) for x in corners]))
    remove_drafts(path.with_name(path.stem))
    draft = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{path}: not written ({explain(error)})") from None
    writer = None
    written = 0
    try:
        with open_progress(progress) as report:
            for frame in read_frames(video, every=every):
                image = cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR)
                for track, (left, top, right, bottom) in by_frame.get(frame.number, []):
                    color = _color_of(track)
                    cv2.rectangle(image, (left, top), (right, bottom), color, _THICKNESS)
                    cv2.putText(image, str(track), (left, top - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.6, color, _THICKNESS)
                if writer is None:
                    codec = cv2.VideoWriter_fourcc(*_CODECS[path.suffix.lower()])
                    writer = cv2.VideoWriter(str(draft), codec, info.rate / every, image.shape[1::-1])
                    if not writer.isOpened():
                        raise WriteError(f"{path}: not written (OpenCV cannot open it for {codec}); try .avi")
                while written <= frame.number // every:
                    writer.write(image)
                    written += 1
                report("draw", frame.number + 1, max(info.frames, frame.number + 1))
        if writer is not None:
            writer.release()
            os.replace(draft, path)
    except OSError as error:
        raise WriteError(f"{path}: not written ({explain(error)})") from None
    finally:
        if writer is not None:
            writer.release()
        draft.unlink(missing_ok=True)


def _color_of(track: int) -> tuple[int, int, int]:
    """Return a bright color (blue, green, red) for a track number."""
    blue, green, red = np.random.default_rng(track).integers(64, 256, 3).tolist()
    return blue, green, red
