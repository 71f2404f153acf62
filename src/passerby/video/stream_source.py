"""Frames of a camera or of an RTSP stream: only the newest one waits, and a lost connection is opened again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from passerby.video.addresses import hide_credentials
from passerby.video.frames import Frame, require_cv2
from passerby.video.live_sources import LiveFrame, Warn

WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)
"""Seconds before the attempts to connect again; the last one repeats."""
TIMEOUT = 5.0
"""Seconds without an answer or a frame after which a connection counts as lost."""


class Capture(Protocol):
    """What `cv2.VideoCapture` provides."""

    def isOpened(self) -> bool:  # noqa: N802
        """Return whether frames can be read."""

    def read(self) -> tuple[bool, Any]:
        """Return whether there is a frame, and its (H, W, 3) BGR pixels."""

    def release(self) -> None:
        """Close it."""


def open_capture(source: str | int) -> Capture:
    """Open an address, or the index of a camera, with OpenCV."""
    cv2 = require_cv2()
    # Each attempt to open a camera that is off would write several lines to stderr.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    if isinstance(source, int):
        capture: Capture = cv2.VideoCapture(source)
        return capture
    milliseconds = int(1000 * TIMEOUT)
    limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
    capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
    return capture


class StreamSource:
    """A stream that a thread reads.

    The thread keeps one frame. A newer frame replaces one that was not taken, which is counted as dropped. After a loss
    it connects again after 1, 2, 4, 8, 16, 30, 30, ... seconds.

    Args:
        source: Address, or index of a camera.
        inform: Called with a message when the connection is made or made again.
        warn: Called with a message when it is lost or cannot be made.
        every: Use every n-th frame.
        waits: Seconds before each attempt.
        open_capture: Opens the source.
    """

    def __init__(
        self,
        source: str | int,
        *,
        inform: Warn,
        warn: Warn,
        every: int = 1,
        waits: Sequence[float] = WAITS,
        open_capture: Callable[[str | int], Capture] = open_capture,
    ) -> None:
        self._source, self._inform, self._warn = source, inform, warn
        self._every, self._waits, self._open = every, waits, open_capture
        self.name = hide_credentials(source) if isinstance(source, str) else f"camera {source}"
        self.received = self.dropped = self.damaged = self.losses = 0
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._newest: tuple[int, int, float, NDArray[Any]] | None = None  # part, number, time, BGR pixels
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def take(self) -> LiveFrame | None:
        """Return the newest frame; None if it was taken."""
        if self._error is not None:
            raise self._error
        with self._lock:
            newest, self._newest = self._newest, None
        if newest is None:
            return None
        part, number, seconds, pixels = newest
        return LiveFrame(Frame(number, seconds, pixels[:, :, ::-1].copy()), part, self.name)

    def now(self) -> float | None:
        """Return the monotonic time."""
        return time.monotonic()

    def to_wall(self, seconds: float) -> float:
        """Convert by the present difference of the two clocks, which follows corrections of the wall clock."""
        return seconds + time.time() - time.monotonic()

    def close(self) -> None:
        """Stop the thread, and wait for its last read."""
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join(TIMEOUT + 1)

    def _run(self) -> None:
        try:
            self._connect_for_ever()
        except BaseException as error:
            self._error = error

    def _connect_for_ever(self) -> None:
        failures = part = 0
        lost = None  # time at which frames ended
        while not self._stopped.is_set():
            if self._read_connection(part, lost, failures):
                part += 1
                failures = 0
            if self._stopped.is_set():
                return
            if failures == 0:
                what = "connection lost" if part else "cannot be opened"
                schedule = ", ".join(f"{wait:g}" for wait in self._waits)
                self._warn(f"{self.name}: {what}; trying again after {schedule}, {self._waits[-1]:g}, ... s")
                self.losses += bool(part)
                lost = time.monotonic()
            self._stopped.wait(self._waits[min(failures, len(self._waits) - 1)])
            failures += 1

    def _read_connection(self, part: int, lost: float | None, failures: int) -> bool:
        """Read until the connection is lost; return whether there was a frame."""
        try:
            capture = self._open(self._source)
        except require_cv2().error:
            return False
        count = 0
        try:
            while capture.isOpened() and not self._stopped.is_set():
                try:
                    readable, pixels = capture.read()
                except require_cv2().error:
                    readable, pixels = False, None
                if not readable or pixels is None:
                    break
                if count == 0:
                    again = "" if lost is None else f" after {time.monotonic() - lost:.0f} s, attempt {failures}"
                    self._inform(f"{self.name}: connected{again}, {pixels.shape[1]} x {pixels.shape[0]} pixels")
                if count % self._every == 0:
                    self._keep(part, pixels)
                count += 1
        finally:
            capture.release()
        return count > 0

    def _keep(self, part: int, pixels: NDArray[Any]) -> None:
        with self._lock:
            self.dropped += self._newest is not None
            self._newest = part, self.received, time.monotonic(), pixels
            self.received += 1
