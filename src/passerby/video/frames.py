"""A video's frames, as RGB pixels with their times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        number: Its place in the video, from 0.
        time: Seconds from the video's beginning.
        pixels: (H, W, 3) uint8 RGB.
    """

    number: int
    time: float
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class VideoFacts:
    """What the file says of itself.

    Attributes:
        frames: How many, 0 when it does not say.
        rate: Frames per second.
        width: Pixels.
        height: Pixels.
    """

    frames: int
    rate: float
    width: int
    height: int


def video_facts(path: Path) -> VideoFacts:
    """What a video file says of itself.

    Raises:
        DataError: When it is missing, or no video that OpenCV reads; when OpenCV is not installed.
    """
    cv2 = require_cv2()
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a video")
    reader = cv2.VideoCapture(str(path))
    try:
        facts = VideoFacts(
            frames=max(0, int(reader.get(cv2.CAP_PROP_FRAME_COUNT))),
            rate=float(reader.get(cv2.CAP_PROP_FPS)),
            width=int(reader.get(cv2.CAP_PROP_FRAME_WIDTH)),
            height=int(reader.get(cv2.CAP_PROP_FRAME_HEIGHT)),
        )
        if not reader.isOpened() or not reader.grab() or facts.rate <= 0:
            raise DataError(
                f"{path}: not a video that can be read ({path.stat().st_size:,} bytes); convert it with ffmpeg"
            )
    finally:
        reader.release()
    return facts


def read_frames(path: Path, *, every: int = 1) -> Iterator[Frame]:
    """Every so many frames of a video, from the first; others are not decoded.

    Raises:
        DataError: As `video_facts`, and for `every` below 1.
    """
    if every < 1:
        raise DataError(f"every: got {every}, expected at least 1 frame")
    cv2 = require_cv2()
    rate = video_facts(path).rate
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
    """OpenCV, or a DataError that says how to get it."""
    try:
        import cv2
    except ImportError as error:
        raise DataError(f"videos need OpenCV and trackers: pip install 'passerby[video]' ({error})") from None
    return cv2
