"""Streams. Oracle: a camera of this test that delivers numbered frames, fails and returns when the test says so."""

import queue
import time

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.video.live_sources import parse_source
from passerby.video.stream_source import StreamSource
from programs import require_module

ADDRESS = "rtsp://ada:SECRET@host/door"
CLOSED = object()


def image(number):
    """A frame that holds its number."""
    return np.full((4, 6, 3), number, np.uint8)


class Camera:
    """Each item of `frames` is read once; CLOSED ends a connection, an exception is raised."""

    def __init__(self):
        self.frames, self.refused, self.opened, self.released = queue.Queue(), 0, 0, 0

    def __call__(self, source):
        assert source == ADDRESS
        self.opened += 1
        return self

    def isOpened(self):  # noqa: N802
        if self.refused:
            self.refused -= 1
            return False
        return True

    def read(self):
        try:
            item = self.frames.get(timeout=0.05)
        except queue.Empty:
            return True, image(255)
        if isinstance(item, Exception):
            raise item
        return (False, None) if item is CLOSED else (True, item)

    def release(self):
        self.released += 1


@pytest.fixture
def stream():
    """A function that starts a stream of a camera; returns the stream and its messages."""
    started = []

    def start(camera, **options):
        messages = []
        source = StreamSource(
            ADDRESS,
            inform=messages.append,
            warn=messages.append,
            waits=(0.0, 0.0, 0.01),
            open_capture=camera,
            **options,
        )
        source.start()
        started.append(source)
        return source, messages

    yield start
    for source in started:
        source.close()
        assert not source._thread.is_alive()


def wait_for(condition):
    """Wait until a condition holds."""
    while not condition():
        time.sleep(0.005)


def test_a_slow_user_gets_the_newest_frame_and_the_others_are_counted(stream):
    """100 frames while none is taken: one waits, 99 are dropped."""
    camera = Camera()
    for number in range(100):
        camera.frames.put(image(number))
    camera.read = lambda: (True, camera.frames.get())
    source, _ = stream(camera)
    wait_for(lambda: source.received == 100)
    frame = source.take()
    assert (frame.frame.number, frame.frame.pixels[0, 0, 0]) == (99, 99)
    assert (source.received, source.dropped) == (100, 99)
    assert source.take() is None
    camera.frames.put(image(7))
    wait_for(lambda: source.received == 101)
    assert (source.take().frame.pixels[0, 0, 0], source.dropped) == (7, 99)
    source._stopped.set()
    camera.frames.put(image(8))


def test_every_third_frame_is_used_and_the_others_do_not_count(stream):
    """Of 7 frames these are the first, fourth and seventh; none is taken, so that two are dropped."""
    camera = Camera()
    for number in range(7):
        camera.frames.put(image(number))
    camera.read = lambda: (True, camera.frames.get())
    source, _ = stream(camera, every=3)
    wait_for(lambda: source.received == 3)
    assert (source.take().frame.pixels[0, 0, 0], source.dropped) == (6, 2)
    source._stopped.set()
    camera.frames.put(image(8))


def test_a_lost_connection_is_opened_again_with_a_message_for_loss_and_return(stream):
    camera = Camera()
    camera.frames.put(image(1))
    source, messages = stream(camera)
    wait_for(lambda: source.received)
    first = source.take()
    camera.refused = 4
    camera.frames.put(CLOSED)
    wait_for(lambda: len(messages) == 3)
    wait_for(lambda: (frame := source.take()) is not None and frame.part == first.part + 1)
    assert messages == [
        "rtsp://host/door: connected, 6 x 4 pixels",
        "rtsp://host/door: connection lost; trying again after 0, 0, 0.01, 0.01, ... s",
        "rtsp://host/door: connected after 0 s, attempt 5, 6 x 4 pixels",
    ]
    assert source.losses == 1
    assert camera.opened == camera.released == 6 or camera.opened == camera.released + 1


def test_a_camera_that_is_off_at_the_start_is_tried_again(stream):
    camera = Camera()
    camera.refused = 2
    source, messages = stream(camera)
    wait_for(lambda: source.received)
    assert messages[0] == "rtsp://host/door: cannot be opened; trying again after 0, 0, 0.01, 0.01, ... s"
    assert messages[1].startswith("rtsp://host/door: connected after 0 s, attempt 2")
    assert source.losses == 0


def test_an_error_of_opencv_is_a_loss_and_another_one_is_raised(stream):
    import cv2

    camera = Camera()
    camera.frames.put(image(1))
    camera.frames.put(cv2.error("damaged"))
    source, _ = stream(camera)
    wait_for(lambda: source.losses == 1)
    camera.frames.put(MemoryError("a bug"))
    wait_for(lambda: source._error is not None)
    with pytest.raises(MemoryError, match="a bug"):
        source.take()


def test_the_wall_clock_is_that_of_now(stream):
    source, _ = stream(Camera())
    assert source.to_wall(source.now()) == pytest.approx(time.time(), abs=5)


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), (1, 1), ("rtsps://host/1", "rtsps://host/1"), ("RTSP://h", "RTSP://h")]
)
def test_addresses_and_indices_are_sources(text, expected):
    assert parse_source(text) == expected


def test_other_sources_are_refused_without_their_credentials(tmp_path):
    with pytest.raises(DataError, match=r"^http://host/1: not a live source; expected rtsp://, rtsps://, the index of"):
        parse_source("http://ada:SECRET@host/1")
    (tmp_path / "door.avi").write_bytes(b"")
    with pytest.raises(DataError, match=r"a video file is enrolled without live=True"):
        parse_source(tmp_path / "door.avi")
    for other in ("nowhere", -1, "9" * 5000):
        with pytest.raises(DataError, match="not a live source"):
            parse_source(other)


def test_an_index_without_a_camera_is_reported_and_tried_again(capfd):
    """OpenCV itself, with an index that no machine has."""
    require_module("cv2")
    messages = queue.Queue()
    source = StreamSource(99, inform=messages.put, warn=messages.put)
    source.start()
    try:
        assert (
            messages.get(timeout=60) == "camera 99: cannot be opened; trying again after 1, 2, 4, 8, 16, 30, 30, ... s"
        )
    finally:
        source.close()
    assert capfd.readouterr().err == ""
