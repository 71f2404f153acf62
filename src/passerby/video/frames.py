"""Frames of a video as RGB pixels with their times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError, MissingExtraError, argument, explain
from passerby.extras import require_extra
from passerby.files import read_bytes
from passerby.text import plural
from passerby.types import Result
from passerby.video.addresses import hide_credentials

_MAX_FAILURES = 1000
"""Consecutive frames that cannot be decoded after which the rest of the video counts as damaged."""
_PLAYLISTS = (b"#EXTM3U", b"ffconcat", b"v=0", b"<")
"""First bytes of files that make FFmpeg open other files or addresses: HLS, concat, SDP, and XML such as DASH."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        number: Index in the video, from 0.
        time: Seconds from the beginning of the video.
        pixels: (H, W, 3) uint8 RGB.
    """

    number: int
    time: float
    pixels: NDArray[np.uint8]

    def __repr__(self) -> str:
        return f"Frame({self.number}, {self.time:.2f} s, {self.pixels.shape[1]} x {self.pixels.shape[0]})"


@dataclass(frozen=True)
class VideoInfo(Result):
    """Header of a video file.

    Attributes:
        frames: Number of frames; 0 if the file does not contain it.
        rate: Frames per second.
        width: Pixels.
        height: Pixels.
    """

    frames: int
    rate: float
    width: int
    height: int


def read_video_info(path: str | Path) -> VideoInfo:
    """Read the header of a video file.

    Raises:
        DataError: If the file is missing, cannot be read by OpenCV, or is a playlist; for an address such as `rtsp://`.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> read_video_info("door.avi")
        VideoInfo(frames=40, rate=10.0, width=320, height=240)
    """
    if "://" in str(path):
        raise DataError(
            f"{hide_credentials(str(path))}: is an address, expected a video file; add {argument('live', True)}"
        )
    cv2, path = require_cv2(), Path(path)
    if str(path).isdecimal() and not path.exists():
        raise DataError(
            f"{path}: no such file, expected a video; a camera of that index needs {argument('live', True)}"
        )
    if read_bytes(path, first=16).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_PLAYLISTS):
        raise DataError(f"{path}: is a playlist of other files, expected a video")
    reader = cv2.VideoCapture(str(path))
    try:
        info = VideoInfo(
            frames=max(0, int(reader.get(cv2.CAP_PROP_FRAME_COUNT))),
            rate=float(reader.get(cv2.CAP_PROP_FPS)),
            width=int(reader.get(cv2.CAP_PROP_FRAME_WIDTH)),
            height=int(reader.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        attempts = max(1, min(info.frames, _MAX_FAILURES))
        if not reader.isOpened() or not any(reader.grab() for _ in range(attempts)) or not info.rate > 0:
            raise DataError(
                f"{path}: not a video that can be read ({plural(path.stat().st_size, 'byte')}); convert it with ffmpeg"
            )
    finally:
        reader.release()
    return info


def read_frames(
    path: str | Path, *, every: int = 1, on_damaged: Callable[[int, int], None] | None = None
) -> Iterator[Frame]:
    """Iterate over every n-th frame of a video, from the first; the others are not converted.

    Frames that cannot be decoded are skipped; later frames keep their numbers and times. Up to 1 % of missing frames at
    the end do not count as damaged, because the number of frames in a header may be an estimate.

    Args:
        path: Video file that OpenCV reads.
        every: n, at least 1.
        on_damaged: Called with the first number and the count of consecutive frames that cannot be decoded.

    Raises:
        DataError: As `read_video_info`, and for `every` below 1.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> list(read_frames("door.avi", every=20))
        [Frame(0, 0.00 s, 320 x 240), Frame(20, 2.00 s, 320 x 240)]
    """
    if every < 1:
        raise DataError(f"{argument('every')}: got {every}, expected at least 1 frame")
    info = read_video_info(path)
    cv2 = require_cv2()
    reader = cv2.VideoCapture(str(path))
    try:
        number = failures = 0
        while failures < _MAX_FAILURES and (failures == 0 or number < info.frames):
            pixels = None
            grabbed = reader.grab()
            if grabbed and number % every == 0:
                grabbed, pixels = reader.retrieve()
            if not grabbed:
                failures += 1
            elif failures:
                _report_damaged(on_damaged, number - failures, failures)
                failures = 0
            if grabbed and pixels is not None:
                yield Frame(number, number / info.rate, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
            number += 1
        missing = info.frames - (number - failures)
        if missing > 0.01 * info.frames:
            _report_damaged(on_damaged, number - failures, missing)
    finally:
        reader.release()


def _report_damaged(on_damaged: Callable[[int, int], None] | None, first: int, count: int) -> None:
    if on_damaged is not None:
        on_damaged(first, count)


def require_cv2() -> Any:
    """Import OpenCV.

    Raises:
        MissingExtraError: Without the extra `video`, or if a library of the system is missing.
    """
    try:
        return require_extra("cv2")
    except ImportError as error:
        raise MissingExtraError(f"OpenCV cannot be loaded ({explain(error)}); on Debian: apt install libgl1") from None
