"""Tracking. Oracle: two drawn people whose paths are known, and the model's vectors of their crops."""

import io

import numpy as np
import pytest
import supervision
from PIL import Image

from passerby import Gallery, load
from passerby.errors import DataError
from passerby.gallery.filters import Filter
from passerby.video.boxes import make_detections
from passerby.video.enroll_video import enroll_video
from passerby.video.frames import Frame
from passerby.video.tracks import Tracklet, compute_crop_quality, join_tracklets, track_people
from video.walkers import COLORS, boxes_of, corners_of


@pytest.fixture(scope="module")
def model(tiny_run):
    return load(tiny_run)


def color_of(tracklet):
    with Image.open(io.BytesIO(tracklet.crop)) as image:
        mean = np.array(image.convert("RGB")).reshape(-1, 3).mean(axis=0)
    return min(COLORS, key=lambda person: np.abs(mean - COLORS[person]).sum())


def test_two_people_are_two_tracklets(walkers, model):
    tracklets = track_people(walkers, model, boxes=boxes_of(range(40)))
    assert sorted(map(color_of, tracklets)) == [1, 2]
    for sighting in tracklets:
        assert sighting.start <= 0.2
        assert sighting.end == pytest.approx(3.9)
        assert sighting.boxes >= 38
        truth = np.array([corners_of(color_of(sighting), sighting.frame)], float)
        assert supervision.box_iou_batch(np.array([sighting.corners]), truth)[0, 0] == 1
        assert np.linalg.norm(sighting.vector) == pytest.approx(1, abs=1e-5)


def test_given_tracks_are_kept_and_vectors_are_weighted_means(walkers, model):
    """Equal quality throughout: the vector is the plain mean of the crops' vectors."""
    tracklets = track_people(walkers, model, boxes=boxes_of(range(0, 40, 10), people=(1,), tracked=True), min_boxes=4)
    (tracklet,) = tracklets
    assert (tracklet.boxes, tracklet.start, tracklet.end) == (4, 0, pytest.approx(3.0))
    from passerby.video.frames import read_frames

    crops = []
    for frame in read_frames(walkers, every=10):
        left, top, right, bottom = corners_of(1, frame.number)
        crops.append(frame.pixels[top:bottom, left:right])
    mean = model.embed(crops).astype(float).mean(axis=0)
    assert tracklet.vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_a_detector_is_called_for_each_frame(walkers, model):
    shapes = []

    def detect(pixels):
        shapes.append(pixels.shape)
        return boxes_of([2 * (len(shapes) - 1)], people=(2,))[2 * (len(shapes) - 1)]

    steps = []
    (tracklet,) = track_people(walkers, model, boxes=detect, every=2, progress=lambda _task, *step: steps.append(step))
    assert len(shapes) == 20
    assert color_of(tracklet) == 2
    assert steps[-1] == (39, 40)


def test_short_tracks_are_dropped(walkers, model):
    assert track_people(walkers, model, boxes=boxes_of(range(4), tracked=True)) == []
    assert len(track_people(walkers, model, boxes=boxes_of(range(4), tracked=True), min_boxes=4)) == 2


def test_boxes_beyond_the_video_and_invalid_settings_raise(walkers, model):
    with pytest.raises(DataError, match=r"has 40 frames, the boxes 61; are they of another video\?"):
        track_people(walkers, model, boxes=boxes_of([0, 60]))
    with pytest.raises(DataError, match=r"min_boxes is 0 and gap 3\.0, expected at least 1 box and 0 s"):
        track_people(walkers, model, boxes={}, min_boxes=0)


def tracklet(start, end, vector, quality=0.5, boxes=5):
    unit = np.array(vector, np.float32) / np.linalg.norm(vector)
    return Tracklet(start, end, boxes, unit, quality, b"", (0, 0, 1, 1), round(start * 10))


def test_short_gaps_are_joined_by_appearance():
    a, b = tracklet(0, 2, (1, 0)), tracklet(3, 5, (1, 0.1), quality=0.9, boxes=15)
    other, late = tracklet(3, 5, (0, 1)), tracklet(20, 21, (1, 0))
    joined = join_tracklets([a, b, other, late], threshold=0.2, gap=2.0)
    assert [(item.start, item.end, item.boxes) for item in joined] == [(0, 5, 20), (3, 5, 5), (20, 21, 5)]
    assert joined[0].quality == 0.9
    mean = 5 * a.vector + 15 * b.vector
    assert joined[0].vector == pytest.approx(mean / np.linalg.norm(mean))
    together = [tracklet(0, 5, (1, 0)), tracklet(4, 6, (1, 0))]
    assert len(join_tracklets(together, threshold=0.2, gap=2.0)) == 2
    assert join_tracklets([a], threshold=0.2, gap=2.0) == [a]


def test_a_person_lost_twice_is_one_trackletand_the_nearest_follows():
    """The first and the third are 11 s apart: each gap counts by itself."""
    path = [tracklet(0, 10, (1, 0)), tracklet(11, 20, (1, 0.1)), tracklet(21, 30, (1, 0.2))]
    (whole,) = join_tracklets(path, threshold=0.2, gap=2.0)
    assert (whole.start, whole.end, whole.boxes) == (0, 30, 15)
    twin = tracklet(11, 15, (1, 0.05))  # more alike than the second, and seen beside it
    assert [(item.start, item.end) for item in join_tracklets([*path, twin], threshold=0.2, gap=2.0)] == [
        (0, 15),
        (11, 30),
    ]


def test_quality_decreases_with_score_height_and_occlusion():
    frame = Frame(0, 0.0, np.zeros((200, 200, 3), np.uint8))

    def quality(*corners, score=1.0):
        return compute_crop_quality(make_detections(corners, np.full(len(corners), score)), 0, frame)

    assert quality((10, 10, 60, 138)) == pytest.approx(1)
    assert quality((10, 10, 60, 138), score=0.5) == pytest.approx(0.5)
    assert quality((10, 10, 60, 74)) == pytest.approx(0.5)  # half as tall
    assert quality((-25, 10, 25, 138)) == pytest.approx(0.5)  # half outside
    assert quality((10, 10, 60, 138), (35, 10, 90, 150)) == pytest.approx(0.5)  # half behind somebody nearer
    assert quality((10, 10, 60, 138), (35, 10, 90, 130)) == pytest.approx(1)  # half before somebody further


def test_a_video_is_enrolled_once_with_times(walkers, tiny_run):
    with Gallery("memory", model=tiny_run) as gallery:
        for new in (2, 0):
            result = enroll_video(gallery, walkers, camera="door", boxes=boxes_of(range(40)), started=1000.0, gap=0)
            assert (result.new, result.known) == (new, 2 - new)
        rows = [sighting for some in gallery.store.walk(Filter(since=999.0, until=1001.0)) for sighting in some]
        assert len(rows) == 2
        for sighting in rows:
            assert sighting.crop
            assert sighting.attributes["end"] == pytest.approx(1003.9)
        assert len(gallery.cluster(threshold=2.0).clusters) == 2  # seen at the same time: two people, however alike
