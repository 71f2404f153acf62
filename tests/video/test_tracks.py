"""Tracking. Oracle: two drawn people whose paths are known, and the model's vectors of their crops."""

import io

import numpy as np
import pytest
import supervision
from PIL import Image

from passerby import Gallery, load
from passerby.errors import DataError
from passerby.gallery.filters import Filter
from passerby.runtime.visibility import measure_visibility
from passerby.synthesis.dataset import SynthSettings, render_image
from passerby.video.boxes import make_detections, read_boxes
from passerby.video.enroll_video import enroll_video
from passerby.video.frames import Frame
from passerby.video.pooling import compute_crop_quality, weigh_crops
from passerby.video.tracklets import Tracklet, join_tracklets
from passerby.video.tracks import VideoCounts, track_people
from video.walkers import COLORS, boxes_of, corners_of, damage, draw


@pytest.fixture(scope="module")
def model(tiny_run):
    return load(tiny_run)


def color_of(tracklet):
    with Image.open(io.BytesIO(tracklet.crop)) as image:
        mean = np.array(image.convert("RGB")).reshape(-1, 3).mean(axis=0)
    return min(COLORS, key=lambda person: np.abs(mean - COLORS[person]).sum())


def test_two_people_are_two_tracklets(walkers, model):
    tracklets = track_people(walkers, model, boxes=boxes_of(range(40))).tracklets
    assert sorted(map(color_of, tracklets)) == [1, 2]
    for sighting in tracklets:
        assert sighting.start <= 0.2
        assert sighting.end == pytest.approx(3.9)
        assert sighting.boxes >= 38
        truth = np.array([corners_of(color_of(sighting), sighting.frame)], float)
        assert supervision.box_iou_batch(np.array([sighting.corners]), truth)[0, 0] == 1
        assert np.linalg.norm(sighting.vector) == pytest.approx(1, abs=1e-5)


def test_given_tracks_are_kept_and_vectors_are_weighted_means(walkers, model):
    """Equal quality throughout: the weights of the crops' vectors are their squared visibility."""
    tracklets = track_people(walkers, model, boxes=boxes_of(range(0, 40, 10), people=(1,), tracked=True), min_boxes=4)
    (tracklet,) = tracklets.tracklets
    assert (tracklet.boxes, tracklet.start, tracklet.end) == (4, 0, pytest.approx(3.0))
    from passerby.video.frames import read_frames

    crops = []
    for frame in read_frames(walkers, every=10):
        left, top, right, bottom = corners_of(1, frame.number)
        crops.append(frame.pixels[top:bottom, left:right])
    mean = measure_visibility(crops).astype(float) ** 2 @ model.embed(crops)
    assert tracklet.vector == pytest.approx(mean / np.linalg.norm(mean), abs=1e-5)


def test_without_an_embedder_tracks_have_boxes_and_no_vectors(walkers, model):
    """Oracle: the tracks with vectors."""
    boxes = boxes_of(range(40))
    plain, full = (track_people(walkers, embedder, boxes=boxes).tracklets for embedder in (None, model))
    assert [len(track.vector) for track in plain] == [0, 0]
    for first, second in zip(plain, full, strict=True):
        np.testing.assert_array_equal(first.path, second.path)
        assert (first.start, first.end, first.boxes) == (second.start, second.end, second.boxes)
    with pytest.raises(DataError, match="joined by their vectors"):
        track_people(walkers, None, boxes=boxes, threshold=0.3)


def test_a_detector_is_called_for_each_frame(walkers, model):
    shapes = []

    def detect(pixels):
        shapes.append(pixels.shape)
        return boxes_of([2 * (len(shapes) - 1)], people=(2,))[2 * (len(shapes) - 1)]

    steps = []
    progress = lambda _task, *step: steps.append(step)  # noqa: E731
    (tracklet,) = track_people(walkers, model, boxes=detect, every=2, progress=progress).tracklets
    assert len(shapes) == 20
    assert color_of(tracklet) == 2
    assert steps[-1] == (39, 40)


def test_short_tracks_are_dropped(walkers, model):
    short = track_people(walkers, model, boxes=boxes_of(range(4), tracked=True))
    assert (short.tracklets, short.counts) == ((), VideoCounts(frames=40, boxes=8, short=2))
    assert len(track_people(walkers, model, boxes=boxes_of(range(4), tracked=True), min_boxes=4).tracklets) == 2


def test_boxes_beyond_the_video_and_invalid_settings_raise(walkers, model):
    with pytest.raises(DataError, match=r"has 40 frames, the boxes 61; are they of another video\?"):
        track_people(walkers, model, boxes=boxes_of([0, 60]))
    with pytest.raises(DataError, match=r"min_boxes is 0 and gap 3\.0, expected at least 1 box and 0 s"):
        track_people(walkers, model, boxes={}, min_boxes=0)


def tracklet(start, end, vector, quality=0.5, boxes=5, left=0):
    """A person of 100 pixels height who stands still, at 10 frames per second."""
    unit = np.array(vector, np.float32) / np.linalg.norm(vector)
    path = np.array([[round(time * 10), left, 0, left + 40, 100, 0.9] for time in (start, end)])
    return Tracklet(start, end, boxes, unit, quality, b"", (left, 0, left + 40, 100), round(start * 10), path)


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


def test_a_person_lost_twice_is_one_tracklet_and_the_nearest_follows():
    """The first and the third are 11 s apart: each gap counts by itself."""
    path = [tracklet(0, 10, (1, 0)), tracklet(11, 20, (1, 0.1)), tracklet(21, 30, (1, 0.2))]
    (whole,) = join_tracklets(path, threshold=0.2, gap=2.0)
    assert (whole.start, whole.end, whole.boxes) == (0, 30, 15)
    twin = tracklet(11, 15, (1, 0.05))  # more alike than the second, and seen beside it
    assert [(item.start, item.end) for item in join_tracklets([*path, twin], threshold=0.2, gap=2.0)] == [
        (0, 15),
        (11, 30),
    ]


def test_tracklets_out_of_reach_are_not_joined_however_alike():
    """A gap of 1 s permits 1.0 heights: 100 pixels."""
    before = tracklet(0, 2, (1, 0))
    assert len(join_tracklets([before, tracklet(3, 5, (1, 0), left=99)], threshold=0.2, gap=2.0)) == 1
    assert len(join_tracklets([before, tracklet(3, 5, (1, 0), left=101)], threshold=0.2, gap=2.0)) == 2


def test_the_nearest_that_can_be_reached_follows():
    before, far, near = tracklet(0, 2, (1, 0)), tracklet(3, 5, (1, 0), left=300), tracklet(3, 6, (1, 0.1), left=50)
    assert [(item.start, item.end) for item in join_tracklets([before, far, near], threshold=0.2, gap=2.0)] == [
        (0, 6),
        (3, 5),
    ]


def test_quality_decreases_with_score_height_and_occlusion():
    frame = Frame(0, 0.0, np.zeros((200, 200, 3), np.uint8))

    def quality(*corners, score=1.0):
        return compute_crop_quality(make_detections(corners, np.full(len(corners), score)), 0, frame)

    assert quality((10, 10, 60, 138)) == pytest.approx(1)
    assert quality((10, 10, 60, 138), score=0.5) == pytest.approx(0.5)
    assert quality((10, 10, 60, 74)) == pytest.approx(0.5)  # half as tall
    assert quality((-25, 10, 25, 138)) == pytest.approx(0.5)  # half outside
    assert quality((10, 10, 60, 138), (35, 10, 90, 150)) == pytest.approx(0.5)  # half hidden by a nearer person
    assert quality((10, 10, 60, 138), (35, 10, 90, 130)) == pytest.approx(1)  # half in front of a farther person


def test_the_weight_of_a_crop_is_quality_times_squared_visibility():
    whole = render_image(SynthSettings(identities=10, cameras=4, seed=5), 3, 1, 0).pixels
    crops = [(whole, 1.0), (whole, 0.5), (whole[:64], 1.0)]
    first, half, upper = weigh_crops(crops)
    seen = measure_visibility([whole, whole[:64]])
    assert (half / first, upper / first) == pytest.approx((0.5, float(seen[1] / seen[0]) ** 2))
    assert upper < first
    assert weigh_crops([(np.zeros((8, 8, 3), np.uint8), 0.0)]) > 0


def test_a_video_is_enrolled_once_with_times(walkers, tiny_run):
    with Gallery("memory", model=tiny_run) as gallery:
        for new in (2, 0):
            result = enroll_video(gallery, walkers, camera="door", boxes=boxes_of(range(40)), started=1000.0, gap=0)
            assert (result.new, result.known) == (new, 2 - new)
        rows = [sighting for some in gallery.store.walk(Filter(since=999.0, until=1001.0)) for sighting in some]
        assert len(rows) == 2
        for sighting in rows:
            assert sighting.crop
            assert sighting.attributes["track.end"] == pytest.approx(1003.9)
        assert len(gallery.cluster(threshold=2.0).clusters) == 2  # seen at the same time: two people, however alike


def test_unknown_scores_keep_every_box_and_the_quality(walkers, model, tmp_path):
    rows = [f"{n + 1} -1 {left} {top} 24 60 -1 -1 -1 -1" for n in range(40) for left, top, *_ in [corners_of(1, n)]]
    (tmp_path / "spaces.txt").write_text("\n".join(rows))
    (tracklet,) = track_people(walkers, model, boxes=read_boxes(tmp_path / "spaces.txt")).tracklets
    assert tracklet.boxes >= 38
    assert tracklet.quality == pytest.approx(60 / 128)


def test_the_path_of_a_tracklet_is_its_boxes(walkers, model):
    first, _ = track_people(walkers, model, boxes=boxes_of(range(40), tracked=True)).tracklets
    person = color_of(first)
    assert first.path.tolist() == [[n, *corners_of(person, n), pytest.approx(0.9)] for n in range(40)]


def test_boxes_that_make_no_track_are_counted(walkers, model):
    """A detector: one person, one flat box in each frame, one box of a score at which no track starts, 3 left out."""
    frame = 0

    def detect(_pixels):
        nonlocal frame
        boxes = [corners_of(1, frame), (5, 5, 5, 60), corners_of(2, frame)]
        frame += 1
        return make_detections(boxes, [0.9, 0.9, 0.1], left_out=3)

    counts = track_people(walkers, model, boxes=detect).counts
    assert (counts.frames, counts.boxes, counts.flat, counts.left_out) == (40, 240, 40, 120)
    assert 40 <= counts.untracked <= 42


def test_fractions_of_the_frame_raise(walkers, model):
    for boxes in (lambda _: make_detections([[0.1, 0.2, 0.2, 0.5]]), {3: make_detections([[0.1, 0.2, 0.2, 0.5]])}):
        with pytest.raises(DataError, match=r"all within the first 2 pixels.*probably fractions of the frame"):
            track_people(walkers, model, boxes=boxes)


@pytest.mark.parametrize("rate", [0.5, 1, 2, 10])
def test_slow_cameras_keep_a_person_over_a_missed_frame(tmp_path, model, rate):
    """A person who stands still, with one frame of ten without a box: one track of nine boxes at every rate."""
    draw(tmp_path / "slow.avi", rate=rate, frames=10)
    still = {n: make_detections([[100, 40, 124, 100]]) for n in range(10) if n != 5}
    (tracklet,) = track_people(tmp_path / "slow.avi", model, boxes=still).tracklets
    assert tracklet.boxes >= 8
    assert tracklet.end == pytest.approx(9 / rate)


def test_too_few_frames_for_a_track_raise(walkers, model):
    with pytest.raises(
        DataError, match=r"40 frames, of which every=10 uses 4; a track needs 5 boxes: use more of the frames"
    ):
        track_people(walkers, model, boxes=boxes_of(range(40)), every=10)


def test_a_damaged_frame_does_not_end_the_video(tmp_path, walkers, model):
    damage(walkers, tmp_path / "damaged.avi", [19, 20])
    tracked = track_people(tmp_path / "damaged.avi", model, boxes=boxes_of(range(40), tracked=True))
    assert (tracked.counts.frames, tracked.counts.damaged) == (38, 2)
    assert [(item.boxes, item.end) for item in tracked.tracklets] == [(38, pytest.approx(3.9))] * 2
