"""Frames of a drawn video. Oracle: what was drawn."""

import os

import numpy as np
import pytest

from passerby.errors import DataError, MissingExtraError
from passerby.video.frames import read_frames, read_video_info
from video.walkers import COLORS, HEIGHT, RATE, WIDTH, corners_of, damage


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
    with pytest.raises(DataError, match=r"gone\.avi: cannot be read: No such file or directory"):
        read_video_info(tmp_path / "gone.avi")
    with pytest.raises(DataError, match="every: got 0, expected at least 1 frame"):
        list(read_frames(walkers, every=0))


@pytest.mark.parametrize(
    ("damaged", "every", "reported"),
    [([19], 1, [(19, 1)]), ([0, 1], 1, [(0, 2)]), ([5, 6, 30], 1, [(5, 2), (30, 1)]), ([38, 39], 3, [(38, 2)])],
)
def test_damaged_frames_are_skipped_and_reported(tmp_path, walkers, damaged, every, reported):
    damage(walkers, tmp_path / "damaged.avi", damaged)
    calls = []
    frames = list(read_frames(tmp_path / "damaged.avi", every=every, on_damaged=lambda *call: calls.append(call)))
    assert [frame.number for frame in frames] == [n for n in range(0, 40, every) if n not in damaged]
    assert calls == reported
    for frame in frames:
        left, top, _, _ = corners_of(1, frame.number)
        assert np.abs(frame.pixels[top + 30, left + 12].astype(int) - COLORS[1]).max() < 25  # the frame of its number


def test_the_missing_end_of_a_file_is_reported(tmp_path, walkers):
    content = walkers.read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    calls = []
    frames = list(read_frames(tmp_path / "cut.avi", on_damaged=lambda *call: calls.append(call)))
    assert calls in ([], [(len(frames), 40 - len(frames))])  # FFmpeg counts the frames of a file without an index
    assert 10 < len(frames) < 30


def test_addresses_and_playlists_raise(tmp_path):
    with pytest.raises(DataError, match="rtsp://camera/1: is an address, expected a video file"):
        read_video_info("rtsp://camera/1")
    playlists = (
        "#EXTM3U\n/etc/hostname\n",
        "\ufeff\n#EXTM3U\n",
        "ffconcat version 1.0\n",
        "v=0\nc=IN IP4 10.0.0.1\n",
        "<MPD/>",
    )
    for text in playlists:
        (tmp_path / "list.mp4").write_text(text)
        with pytest.raises(DataError, match="is a playlist of other files"):
            read_video_info(tmp_path / "list.mp4")
    with pytest.raises(DataError, match=r"^0: no such file, expected a video; a camera of that index needs live=True"):
        read_video_info("0")
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(DataError, match="is a pipe, a device or a socket; expected a file"):
        read_video_info(tmp_path / "pipe.mp4")


def test_a_missing_opencv_raises_with_the_extra(walkers, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r'pip install "passerby\[video\]"'):
        read_video_info(walkers)
