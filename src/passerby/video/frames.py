"""Frames of a video as RGB pixels with their times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError, MissingExtraError
from passerby.extras import require_extra
from passerby.types import Result


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
        DataError: If the file is missing, or cannot be read by OpenCV.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> read_video_info("door.avi")
        VideoInfo(frames=40, rate=10.0, width=320, height=240)
    """
    cv2, path = require_cv2(), Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a video")
    reader = cv2.VideoCapture(str(path))
    try:
        info = VideoInfo(
            frames=max(0, int(reader.get(cv2.CAP_PROP_FRAME_COUNT))),
            rate=float(reader.get(cv2.CAP_PROP_FPS)),
            width=int(reader.get(cv2.CAP_PROP_FRAME_WIDTH)),
            height=int(reader.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        if not reader.isOpened() or not reader.grab() or info.rate <= 0:
            raise DataError(
                f"{path}: not a video that can be read ({path.stat().st_size:,} bytes); convert it with ffmpeg"
            )
    finally:
        reader.release()
    return info


def read_frames(path: str | Path, *, every: int = 1) -> Iterator[Frame]:
    """Iterate over every n-th frame of a video, from the first; the others are not decoded.

    Args:
        path: Video file that OpenCV reads.
        every: n, at least 1.

    Raises:
        DataError: As `read_video_info`, and for `every` below 1.
        MissingExtraError: Without the extra `video`.

    Example:
        >>> list(read_frames("door.avi", every=20))
        [Frame(0, 0.00 s, 320 x 240), Frame(20, 2.00 s, 320 x 240)]
    """
    if every < 1:
        raise DataError(f"every: got {every}, expected at least 1 frame")
    cv2 = require_cv2()
    rate = read_video_info(path).rate
    reader = cv2.VideoCapture(str(path))
    try:
        number = 0
        while reader.grab():
            if number % every == 0:
                decoded, pixels = reader.retrieve()
                if not decoded:
                    return
                yield Frame(number, number / rate, cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))
            number += 1
    finally:
        reader.release()


def require_cv2() -> Any:
    """Import OpenCV.

    Raises:
        MissingExtraError: Without the extra `video`, or if a library of the system is missing.
    """
    try:
        return require_extra("cv2")
    except ImportError as error:
        raise MissingExtraError(f"OpenCV cannot be loaded ({error}); on Debian: apt install libgl1") from None
