"""Files of tracks. Oracle: the drawn people whose paths are known."""

import numpy as np
import pytest

from passerby import load
from passerby.errors import DataError, WriteError
from passerby.video.boxes import read_boxes
from passerby.video.frames import read_frames, read_video_info
from passerby.video.outputs import draw_tracks, write_tracks
from passerby.video.tracks import track_people
from video.walkers import RATE, boxes_of, corners_of, damage


@pytest.fixture(scope="module")
def tracklets(walkers, tiny_run):
    return track_people(walkers, load(tiny_run), boxes=boxes_of(range(0, 40, 2), tracked=True), every=2).tracklets


def test_written_tracks_are_read_again(tracklets, tmp_path):
    write_tracks(tracklets, tmp_path / "tracks.txt")
    assert (tmp_path / "tracks.txt").read_text().splitlines()[0].endswith(",24.00,60.00,0.9000,-1,-1,-1")
    detections = read_boxes(tmp_path / "tracks.txt")
    assert sorted(detections) == list(range(0, 40, 2))
    for frame, boxes in detections.items():
        assert boxes.tracker_id.tolist() == [1, 2]
        assert sorted(boxes.xyxy.tolist()) == sorted(list(corners_of(person, frame)) for person in (1, 2))


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_drawn_boxes_surround_the_people(tracklets, walkers, tmp_path, suffix):
    draw_tracks(tracklets, tmp_path / f"drawn{suffix}", video=walkers, every=2)
    info = read_video_info(tmp_path / f"drawn{suffix}")
    assert (info.frames, info.rate) == (20, RATE / 2)
    assert [path.name for path in tmp_path.iterdir()] == [f"drawn{suffix}"]  # no draft stays
    for drawn, original in zip(read_frames(tmp_path / f"drawn{suffix}"), read_frames(walkers, every=2), strict=True):
        left, top, _, bottom = corners_of(1, original.number)
        changed = np.abs(drawn.pixels.astype(int) - original.pixels).max(axis=2)
        assert changed[top + 15 : bottom - 15, left].min() > 25  # a vertical side of the box
        assert changed[top + 15 : bottom - 15, left + 12].max() < 25  # the person inside
        assert changed[220:, :].max() < 25  # the street


def test_damaged_frames_keep_the_length_of_the_drawn_video(tracklets, walkers, tmp_path):
    damage(walkers, tmp_path / "damaged.avi", [20, 21, 22])
    draw_tracks(tracklets, tmp_path / "drawn.avi", video=tmp_path / "damaged.avi")
    assert read_video_info(tmp_path / "drawn.avi").frames == 40


def test_drawings_with_another_suffix_or_into_a_file_raise(tracklets, walkers, tmp_path):
    with pytest.raises(DataError, match=r"drawn\.gif: expected a name that ends in \.mp4 or \.avi"):
        draw_tracks(tracklets, tmp_path / "drawn.gif", video=walkers)
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"drawn\.avi: not written"):
        draw_tracks(tracklets, tmp_path / "file" / "drawn.avi", video=walkers)
