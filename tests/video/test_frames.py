"""Frames of a drawn video. Oracle: what was drawn."""

import numpy as np
import pytest

from passerby.errors import DataError, MissingExtraError
from passerby.video.frames import read_frames, read_video_info
from video.walkers import COLORS, HEIGHT, RATE, WIDTH, corners_of


def test_frames_come_in_order_with_their_times_and_colors(walkers):
    assert read_video_info(walkers).frames == 40
    frames = list(read_frames(walkers, every=7))
    assert [frame.number for frame in frames] == list(range(0, 40, 7))
    assert [frame.time for frame in frames] == pytest.approx([n / RATE for n in range(0, 40, 7)])
    for frame in frames:
        assert frame.pixels.shape == (HEIGHT, WIDTH, 3)
        left, top, _, _ = corners_of(1, frame.number)
        assert np.abs(frame.pixels[top + 30, left + 12].astype(int) - COLORS[1]).max() < 25  # JPEG


def test_invalid_videos_raise(tmp_path, walkers):
    (tmp_path / "no.avi").write_bytes(b"nothing" * 50)
    with pytest.raises(DataError, match=r"no\.avi: not a video that can be read \(350 bytes\)"):
        list(read_frames(tmp_path / "no.avi"))
    with pytest.raises(DataError, match=r"gone\.avi: no such file; expected a video"):
        read_video_info(tmp_path / "gone.avi")
    with pytest.raises(DataError, match="every: got 0, expected at least 1 frame"):
        list(read_frames(walkers, every=0))


def test_a_missing_opencv_raises_with_the_extra(walkers, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r'pip install "passerby\[video\]"'):
        read_video_info(walkers)
