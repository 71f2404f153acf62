"""Tracks of a live source. Oracle: boxes of people who come and go at known times."""

import numpy as np
import pytest

from passerby.video.boxes import make_detections
from passerby.video.frame_tracker import FrameTracker
from passerby.video.frames import Frame
from passerby.video.live_tracks import LONGEST, LiveTracks

PIXELS = np.zeros((240, 320, 3), np.uint8)


class Colors:
    """An embedder whose vector is the mean color."""

    def embed(self, images, batch=0, cache=True):
        vectors = np.array([image.reshape(-1, 3).mean(axis=0) + 1 for image in images], np.float32).reshape(-1, 3)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make(people, *, gap=3.0, threshold=0.05):
    """Live tracks of people: (first second, last second, left, color)."""

    def detect(_pixels):
        now = detect.now
        return make_detections([(left, 40, left + 40, 140) for first, last, left, _ in people if first <= now <= last])

    tracker = FrameTracker(Colors(), boxes=detect, min_boxes=5, rate=None, name="camera door", kept=50)
    tracks = LiveTracks(tracker, gap=gap, threshold=threshold)

    def run(start, end, *, rate=10):
        found = []
        for number in range(round(start * rate), round(end * rate)):
            detect.now = number / rate
            pixels = PIXELS.copy()
            for first, last, left, color in people:
                if first <= detect.now <= last:
                    pixels[40:140, left : left + 40] = color
            tracker.add(Frame(number, detect.now, pixels))
            found += [(detect.now, item) for item in tracks.pop(detect.now)]
        return found

    return tracks, tracker, run


RED, BLUE = (250, 0, 0), (0, 0, 250)


def spans(found):
    return [(pytest.approx(item.start, abs=0.15), pytest.approx(item.end, abs=0.15)) for item in found]


def test_a_track_is_returned_after_the_gap_and_a_second():
    tracks, _, run = make([(1, 3, 50, RED), (1, 6, 200, BLUE)])
    (first, second) = run(0, 12)
    assert first[0] == pytest.approx(3 + 3 + 1, abs=0.25)
    assert spans([first[1], second[1]]) == [(1, 3), (1, 6)]
    assert tracks.finish() == []


def test_without_joining_a_track_is_returned_when_it_has_ended():
    _, _, run = make([(1, 3, 50, RED)], threshold=None)
    ((now, _),) = run(0, 6)
    assert now == pytest.approx(3 + 1, abs=0.25)


def test_a_person_who_is_lost_for_two_seconds_is_one_track():
    """Lost twice; the second time the following track is open when the first is decided."""
    people = [(1, 3, 50, RED), (5, 6, 50, RED), (8, 15, 50, RED), (5, 6, 200, BLUE)]
    _, _, run = make(people)
    found = [item for _, item in run(0, 25)]
    assert sorted((round(item.start), round(item.end)) for item in found) == [(1, 15), (5, 6)]
    assert max(item.boxes for item in found) >= 95


def test_another_person_in_the_same_place_is_another_track():
    _, _, run = make([(1, 3, 50, RED), (5, 7, 50, BLUE)])
    assert len(run(0, 15)) == 2


def test_what_is_open_at_the_end_is_returned_and_joined():
    tracks, tracker, run = make([(1, 3, 50, RED), (5, 9, 50, RED)])
    assert run(0, 6.5) == []
    (whole,) = tracks.finish()
    assert spans([whole]) == [(1, 6.4)]
    assert tracker.collector.numbers == set()


def test_a_track_goes_on_after_a_short_loss_of_the_connection():
    tracks, _, run = make([(0, 8, 50, RED)])
    run(0, 3)
    tracks.restart()
    found = run(5, 15)
    assert spans([item for _, item in found]) == [(0.1, 8)]


def test_too_short_a_track_after_a_loss_does_not_lose_the_one_before():
    tracks, tracker, run = make([(0, 3, 50, RED), (5, 5.2, 50, RED)])
    assert spans([item for _, item in run(0, 12)]) == [(0, 3)]
    assert tracker.collector.short == 1
    assert tracks.finish() == []


def test_a_person_who_stays_is_split_and_memory_is_bounded():
    """1,000 s of one person who stays, and of 100 who come for 3 s: at most two open tracks of 50 boxes."""
    people = [(0, 1000, 50, RED), *((10 * n, 10 * n + 3, 200, BLUE) for n in range(100))]
    tracks, tracker, run = make(people)
    found = []
    for start in range(0, 1000, 50):
        found += [item for _, item in run(start, start + 50, rate=2)]
        assert len(tracker.collector._tracks) <= 2
        assert len(tracks._waiting) + len(tracks._before) <= 2
        assert max(len(track.path) for track in tracker.collector._tracks.values()) <= 50
        assert len(tracker.collector._waiting) <= 64
    found += tracks.finish()
    long = [item for item in found if item.end - item.start > 10]
    assert len(long) == pytest.approx(1000 / LONGEST, abs=1)
    assert max(item.end - item.start for item in long) <= LONGEST + 1
    assert len(found) - len(long) == pytest.approx(100, abs=2)
