"""Live sources of frames: a stream of a camera, or a folder in which files appear.

A source is polled: `take` returns the next frame, or None if there is none now.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from passerby.data.formats import SUFFIXES
from passerby.data.images import decode_image
from passerby.errors import DataError, argument, explain
from passerby.files import read_bytes
from passerby.video.addresses import hide_credentials
from passerby.video.frames import Frame, read_frames, read_video_info

SCHEMES = ("rtsp://", "rtsps://")
_VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ts", ".webm"})
_INDEX_DIGITS = 4  # of the index of a camera
_POLL = 1.0
"""Seconds between two checks of a folder. A file is read when its size and time are the same in two of them."""
_STEP = 0.001
"""Seconds between two images of the same time."""


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """A frame with its origin.

    Attributes:
        frame: Its time is in seconds of the source's clock.
        part: Number of the connection or of the video file; positions do not continue in another part.
        origin: Address without credentials, path of the video, or folder of the image.
    """

    frame: Frame
    part: int
    origin: str


class LiveSource(Protocol):
    """What `enroll_live` reads. Counts since the start: `received`, `dropped`, `damaged` frames and `losses`."""

    received: int
    dropped: int
    damaged: int
    losses: int

    def start(self) -> None:
        """Begin to read."""

    def take(self) -> LiveFrame | None:
        """Return the next frame; None if there is none now."""

    def now(self) -> float | None:
        """Return the present time of the source's clock while no frame waits; None if it stands still."""

    def to_wall(self, seconds: float) -> float:
        """Convert a time of the source's clock to seconds since 1970."""

    def close(self) -> None:
        """Stop reading."""


def parse_source(text: str | int | Path) -> str | int | Path:
    """Tell an address, the index of a camera and a folder apart.

    Returns:
        Address, index, or path of an existing folder.

    Raises:
        DataError: For anything else.

    Example:
        >>> parse_source("0"), parse_source("crops")
        (0, PosixPath('crops'))
    """
    if str(text).isdecimal() and len(str(text)) <= _INDEX_DIGITS:
        return int(str(text))
    if str(text).lower().startswith(SCHEMES):
        return str(text)
    with suppress(OSError):  # a name that no file can have
        if Path(str(text)).is_dir():
            return Path(str(text))
    hint = f"; a video file is enrolled without {argument('live', True)}" if os.path.isfile(str(text)) else ""
    raise DataError(
        f"{hide_credentials(str(text))}: not a live source; expected rtsp://, rtsps://, the index of a camera such as "
        f"0, or a folder{hint}"
    )


class FolderSource:
    """Images and videos that appear in a folder, in the order of their time of modification.

    An image is one frame at its file's time. The last frame of a video has its file's time. Files wait on disk, so no
    frame is dropped. Subfolders and names that begin with a dot are not read.

    Args:
        folder: The folder.
        warn: Called with a message for each file that cannot be read.
        since: Files that were modified before this time are not read, seconds since 1970.
        every: Use every n-th frame of a video.
    """

    def __init__(self, folder: Path, *, warn: Warn, since: float, every: int = 1) -> None:
        self._folder, self._warn, self._since, self._every = folder, warn, since, every
        self.received = self.dropped = self.damaged = self.losses = 0
        self._states: dict[str, tuple[int, int, bool]] = {}  # size, time in ns, read already; of the present files
        self._frames: Iterator[LiveFrame] = iter(())
        self._polled = self._idle = 0.0
        self._last = float("-inf")
        self._part = self._number = 0
        self._missing = False

    def start(self) -> None:
        """Look at the files that are there."""
        self._find_files()

    def take(self) -> LiveFrame | None:
        """Return the next frame; None if no file is complete."""
        frame = next(self._frames, None)
        if frame is None and time.monotonic() - self._polled >= _POLL:
            self._frames = self._read_files(self._find_files())
            frame = next(self._frames, None)
        if frame is None:
            self._idle = self._idle or time.monotonic()
            return None
        self._idle = 0.0
        self.received += 1
        self._last = frame.frame.time
        return frame

    def now(self) -> float | None:
        """Return the last frame's time and the seconds since then."""
        return self._last + time.monotonic() - self._idle if self._idle else None

    def to_wall(self, seconds: float) -> float:
        """Return the time itself."""
        return seconds

    def close(self) -> None:
        """Read nothing more."""
        self._frames = iter(())

    def _find_files(self) -> list[tuple[Path, float]]:
        """Return the complete files that have not been read and their times of modification, oldest first."""
        self._polled = time.monotonic()
        try:
            with os.scandir(self._folder) as entries:
                stats = {entry.name: stat for entry in entries if (stat := _stat_file(entry)) is not None}
        except OSError as error:
            if not self._missing:
                self._warn(f"{self._folder}: cannot be listed ({explain(error)}); trying again every second")
            self._missing = True
            return []
        if self._missing:
            self._warn(f"{self._folder}: can be listed again")
        self._missing = False
        complete = []
        states = {}
        for name, stat in stats.items():
            before = self._states.get(name)
            same = before is not None and before[:2] == (stat.st_size, stat.st_mtime_ns)
            read = stat.st_mtime < self._since or (same and before is not None and before[2])
            if same and not read and stat.st_size:
                complete.append((stat.st_mtime, name))
                read = True
            states[name] = stat.st_size, stat.st_mtime_ns, read
        self._states = states
        return [(self._folder / name, seconds) for seconds, name in sorted(complete)]

    def _read_files(self, files: list[tuple[Path, float]]) -> Iterator[LiveFrame]:
        for path, seconds in files:
            read = self._read_image if path.suffix.lower() in SUFFIXES else self._read_video
            try:
                yield from read(path, seconds)
            except (DataError, OSError) as error:
                if not os.path.lexists(path):
                    self._warn(f"{path}: removed before it was read")
                    continue
                self.damaged += 1
                self._warn(f"{path}: not read ({explain(error)})")

    def _read_image(self, path: Path, seconds: float) -> Iterator[LiveFrame]:
        pixels = decode_image(read_bytes(path), str(path))
        self._number += 1
        if seconds < self._last:
            self._part += 1
        elif seconds < self._last + _STEP:
            seconds = self._last + _STEP
        yield LiveFrame(Frame(self._number, seconds, pixels), self._part, str(self._folder))

    def _read_video(self, path: Path, seconds: float) -> Iterator[LiveFrame]:
        info = read_video_info(path)
        zero = seconds - info.frames / info.rate
        self._part += 1
        for frame in read_frames(path, every=self._every, on_damaged=self._count_damaged):
            self._number += 1
            yield LiveFrame(Frame(self._number, zero + frame.time, frame.pixels), self._part, str(path))
        self._part += 1

    def _count_damaged(self, _first: int, count: int) -> None:
        self.damaged += count


class Warn(Protocol):
    """Callable that receives a message."""

    def __call__(self, message: str, /) -> None:
        """Receive one message."""


def _stat_file(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return the state of a file to read; None for other files, and for one that was removed since it was listed."""
    suffix = os.path.splitext(entry.name)[1].lower()
    if entry.name.startswith(".") or suffix not in SUFFIXES | _VIDEOS:
        return None
    try:
        return entry.stat() if entry.is_file() else None
    except OSError:
        return None
