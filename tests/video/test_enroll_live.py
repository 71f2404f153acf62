"""Enrollment from live cameras. Oracle: drawn people whose number, colors and times are known."""

import json
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from launch import started
from passerby import Gallery, enroll_video
from passerby.cli.enroll import _print_sighting
from passerby.errors import DataError
from passerby.video import live_sources
from passerby.video.boxes import make_detections
from passerby.video.enroll_live import LiveSighting, enroll_live, stop_on_signals
from programs import require_module
from video.walkers import HEIGHT, WIDTH, corners_of

require_module("cv2")
PASSWORD = "SECRET-7"


def detect_bright(pixels):
    """Find the drawn people by their colors."""
    import cv2

    boxes = []
    for channel in (0, 2):
        mask = (pixels[:, :, channel].astype(int) > 150).astype(np.uint8)
        for left, top, width, height, area in cv2.connectedComponentsWithStats(mask)[2][1:]:
            if area > 400:
                boxes.append((left, top, left + width, top + height))
    return make_detections(boxes, np.full(len(boxes), 0.9))


def write_frames(folder, *, frames=40, empty=0, seconds=None):
    """Write the walkers as images, then images without a person; optionally with times, 10 per second."""
    folder.mkdir(exist_ok=True)
    for frame in range(frames + empty):
        pixels = np.full((HEIGHT, WIDTH, 3), 70, np.uint8)
        for person, color in ((1, (220, 40, 40)), (2, (40, 60, 230))):
            left, top, right, bottom = corners_of(person, frame)
            if frame < frames:
                pixels[top:bottom, max(0, left) : right] = color
        path = folder / f"{frame:03d}.jpg"
        Image.fromarray(pixels).save(path, quality=95)
        if seconds is not None:
            os.utime(path, (seconds + frame / 10, seconds + frame / 10))


def run_until(gallery, sources, condition, **options):
    """Run `enroll_live` until a condition on the sightings so far holds, checked ten times per second."""
    stop, found = threading.Event(), []

    def watch():
        while not condition(found) and not stop.wait(0.1):
            pass
        stop.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return enroll_live(gallery, sources, boxes=detect_bright, on_sighting=found.append, stop=stop, **options), found
    finally:
        stop.set()
        watcher.join()


@pytest.fixture
def quick_folders(monkeypatch):
    monkeypatch.setattr(live_sources, "_POLL", 0.05)


def test_images_that_appear_in_a_folder_are_enrolled_with_their_times(workspace, tmp_path, quick_folders):
    write_frames(tmp_path / "in", seconds=5000.0, empty=60)
    with Gallery("memory", model="runs/m") as gallery:
        result, found = run_until(gallery, {"door": tmp_path / "in"}, lambda found: len(found) == 2, since=0.0)
        rows = [row for some in gallery.store.walk() for row in some]
    assert (result.new, result.counts.dropped) == (2, 0)
    assert result.counts.frames >= 80  # people end at 40, and are enrolled 4 s later
    for sighting, row in zip(sorted(found, key=lambda x: x.id), rows, strict=True):
        assert (sighting.id, sighting.camera, row.camera) == (row.id, "door", "door")
        assert sighting.start == row.time == pytest.approx(5000.1, abs=0.15)
        assert sighting.end == pytest.approx(5003.9, abs=0.05)
        assert row.attributes["track.video"] == str(tmp_path / "in")
        assert row.attributes["track.identity"] == sighting.identity
    assert len({sighting.identity for sighting in found}) == 2  # seen at the same time


def test_the_start_of_a_command_is_before_its_model_is_loaded(workspace, monkeypatch):
    """Files that are copied while the model loads are newer than the start. Oracle: the clock before it."""
    from passerby.cli import enroll_sources
    from passerby.video import enroll_live as module

    calls = []
    monkeypatch.setattr(module, "enroll_live", lambda *_, **options: calls.append(options["since"]))
    before = time.time()
    job = enroll_sources._prepare_live(["crops"], camera=["door"], on_sighting=print)
    ready = time.time()
    monkeypatch.setattr(enroll_sources, "clock", lambda: ready + 100)
    job(None)
    assert before <= calls[0] <= ready


def test_a_watched_folder_is_logged_with_its_start(workspace, caplog):
    stop = threading.Event()
    stop.set()
    with caplog.at_level("INFO", "passerby"), Gallery("memory", model="runs/m") as gallery:
        enroll_live(gallery, {"door": "crops"}, boxes=detect_bright, since=5000.0, stop=stop)
    (message,) = [record.getMessage() for record in caplog.records if "watching" in record.getMessage()]
    assert message.startswith("door: watching crops for files modified since 1970-01-0")


def test_two_cameras_of_one_process_and_what_is_open_at_the_stop(workspace, tmp_path, quick_folders):
    """The images end while the people are in view: the stop enrolls them."""
    for name in ("a", "b"):
        write_frames(tmp_path / name, seconds=5000.0)
    with Gallery("memory", model="runs/m") as gallery:
        sources = {"north": str(tmp_path / "a"), "south": str(tmp_path / "b")}
        stop, used = threading.Event(), []

        def count(pixels):
            used.append(1)
            if len(used) == 80:
                stop.set()
            return detect_bright(pixels)

        result = enroll_live(gallery, sources, boxes=count, since=0.0, stop=stop)
        assert result.new == 4
        assert gallery.stats().cameras == {"north": 2, "south": 2}


def test_a_slow_detector_drops_frames_of_a_stream_and_keeps_its_memory(workspace, monkeypatch):
    """A camera of 1,000 frames per second and a detector of 20: all but every 50th frame are dropped, one waits."""
    from passerby.video import enroll_live as module
    from passerby.video.stream_source import StreamSource

    class Camera:
        def __init__(self, _source):
            self.number = 0

        def isOpened(self):  # noqa: N802
            return True

        def read(self):
            time.sleep(0.001)
            self.number += 1
            pixels = np.full((HEIGHT, WIDTH, 3), 70, np.uint8)
            pixels[40:100, 100:124] = (40, 40, 220)
            return True, pixels

        def release(self):
            pass

    sources = []

    def make(source, **options):
        sources.append(StreamSource(source, **options, open_capture=Camera))
        return sources[0]

    monkeypatch.setattr(module, "StreamSource", make)
    stop, used = threading.Event(), []

    def slow(pixels):
        used.append(1)
        time.sleep(0.05)
        if len(used) == 30:
            stop.set()
        return detect_bright(pixels)

    with Gallery("memory", model="runs/m") as gallery:
        result = enroll_live(gallery, {"hall": 0}, boxes=slow, stop=stop)
    assert (result.new, result.counts.frames) == (1, 30)
    assert result.counts.dropped > 30
    (source,) = sources
    assert source.received - result.counts.dropped - result.counts.frames in (0, 1)  # the one that waits


def test_a_signal_stops_and_the_second_one_has_its_usual_effect():
    usual = []
    before = signal.signal(signal.SIGINT, lambda *_: usual.append(1))
    stop = threading.Event()
    try:
        with stop_on_signals(stop):
            signal.raise_signal(signal.SIGINT)
            assert stop.is_set()
            assert usual == []
            signal.raise_signal(signal.SIGINT)
            assert usual == [1]
        signal.raise_signal(signal.SIGINT)
        assert usual == [1, 1]
    finally:
        signal.signal(signal.SIGINT, before)


def test_enroll_video_takes_a_live_source(workspace, tmp_path, quick_folders):
    """It is stopped by the signal of its own detector, which is called after the handlers are installed."""
    write_frames(tmp_path / "in", frames=2)

    sent = []

    def stop_at_once(pixels):
        if not sent:  # a second signal would end this process
            sent.append(os.kill(os.getpid(), signal.SIGTERM))
        return detect_bright(pixels)

    with Gallery("memory", model="runs/m") as gallery:
        result = enroll_video(gallery, tmp_path / "in", camera="door", boxes=stop_at_once, live=True, started=0.0)
        assert result.new == 0
        with pytest.raises(DataError, match="live: takes a detector as boxes, and neither tracks nor draw"):
            enroll_video(gallery, "0", camera="door", boxes={}, live=True)


def test_invalid_settings_raise(workspace):
    with Gallery("memory", model="runs/m") as gallery:
        for sources, options, message in (
            ({}, {}, "live: no source; expected at least one camera"),
            ({"door": "nowhere"}, {}, "nowhere: not a live source"),
            ({"door": "crops"}, {"every": 0}, r"every=0; expected at least 1, 0 and 1"),
        ):
            with pytest.raises(DataError, match=message):
                enroll_live(gallery, sources, boxes=detect_bright, **options)


CLI = (
    (("--live",), "--live needs --video: rtsp://..., the index of a camera such as 0, or a folder"),
    (("--live", "--video", "crops"), "1 --video and 0 different --camera; expected a camera for each video"),
    (
        ("--live", "--video", "crops", "--video", "0", "--camera", "a", "--camera", "a"),
        "2 --video and 1 different --camera",
    ),
    (("--live", "--video", "door.avi", "--camera", "a"), "door.avi: not a live source"),
    (("--live", "--video", f"http://ada:{PASSWORD}@h/1", "--camera", "a"), "http://h/1: not a live source"),
    (
        ("--live", "--video", "0", "--camera", "a", "--draw", "x.avi"),
        "--draw cannot be used with --video --live, which takes",
    ),
    (
        ("--live", "--images", "crops"),
        "expected one of --images, --data, --embeddings and --video; --live goes with --video",
    ),
    (("--video", "a.avi", "--video", "b.avi", "--camera", "a"), "--video is given 2 times; only --live takes several"),
    (("--video", "a.avi", "--camera", "a", "--camera", "b"), "--camera is given 2 times; only --live takes several"),
)


def test_the_command_line_refuses_what_does_not_fit(workspace, monkeypatch, capsys):
    from passerby.cli.main import main

    for words, message in CLI:
        monkeypatch.setattr("sys.argv", ["passerby", "enroll", "new", "--model", "runs/m", *words])
        with pytest.raises(SystemExit):
            main()
        captured = capsys.readouterr()
        assert message in captured.err, words
        assert PASSWORD not in captured.err
        assert not Path("new").exists()


def test_the_command_prints_a_line_for_each_sighting_and_stops_at_a_signal(workspace, tmp_path):
    """A detector that always finds one person at one place; the images end, so that the track ends."""
    from runtime.small_networks import save_constant

    save_constant("still.onnx", np.array([[0, 1, 0.9, 0.4, 0.2, 0.5, 0.6], [-1, 0, 0, 0, 0, 0, 0]])[None, None])
    write_frames(tmp_path / "in", frames=10, seconds=5000.0)
    words = ["enroll", "people-live", "--model", "runs/m", "--live", "--video", tmp_path / "in", "--camera", "door"]
    with started(
        "-m", "passerby", *words, "--time", "0", "--gap", "0", "--detector", "still.onnx", "--json"
    ) as process:
        sighting = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert (sighting["camera"], sighting["first"], sighting["identity"]) == ("door", True, sighting["id"])
    assert json.loads(out)["sightings"] == 1


def test_a_sighting_is_printed_as_one_line(capsys):
    for identity, more, expected in (
        ("s1", {"first": True}, "s1 (new; 4.0 s, 20 boxes)"),
        ("s0", {"first": False, "distance": 0.1}, "s0 (again, distance 0.100; 4.0 s, 20 boxes)"),
        ("Ada", {"first": False, "probability": 0.9}, "Ada (probability 0.90; 4.0 s, 20 boxes)"),
    ):
        _print_sighting(LiveSighting("s1", "door", 1000.0, 1004.0, 20, 0.8, identity, **more))
        assert capsys.readouterr().out == f"1970-01-01 00:16:40 door: {expected}\n"
