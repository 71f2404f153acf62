"""Folders as live sources. Oracle: files of known pixels and times that the test writes."""

import contextlib
import os
import time

import numpy as np
import pytest
from PIL import Image

from passerby.video import live_sources
from passerby.video.live_sources import FolderSource


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(live_sources, "_POLL", 0.0)
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def write(path, *, gray=0, seconds=1000.0):
    """Write an image of one gray with a time of modification."""
    Image.fromarray(np.full((8, 8, 3), gray, np.uint8)).save(path)
    os.utime(path, (seconds, seconds))


def take_all(source):
    """Frames until the folder was looked at twice without one."""
    frames = []
    empty = 0
    while empty < 2:
        frame = source.take()
        empty = empty + 1 if frame is None else 0
        frames += [frame] if frame is not None else []
    return frames


def start(folder, **options):
    messages = []
    source = FolderSource(folder, warn=messages.append, **{"since": 0.0, **options})
    source.start()
    return source, messages


def test_images_are_frames_in_the_order_of_their_times(folder):
    write(folder / "b.png", gray=10, seconds=1000)
    write(folder / "a.png", gray=20, seconds=1001)
    write(folder / "c.PNG", gray=30, seconds=1001)
    (folder / "notes.txt").write_text("text")
    write(folder / ".part.png", gray=40)
    source, _ = start(folder)
    frames = [item.frame for item in take_all(source)]
    assert [(frame.time, frame.pixels[0, 0, 0]) for frame in frames] == [(1000, 10), (1001, 20), (1001.001, 30)]
    assert take_all(source) == []
    write(folder / "d.png", gray=50, seconds=1002)
    assert [item.frame.time for item in take_all(source)] == [1002]
    write(folder / "d.png", gray=60, seconds=1003)  # replaced
    assert [item.frame.pixels[0, 0, 0] for item in take_all(source)] == [60]
    assert (source.received, source.dropped, source.to_wall(5.0)) == (5, 0, 5.0)


def test_a_file_is_read_when_it_does_not_change_any_more(folder):
    write(folder / "a.png")
    content = (folder / "a.png").read_bytes()
    source, messages = start(folder)
    for size in (10, 30, 50):
        (folder / "b.png").write_bytes(content[:size])
        source.take()
    (folder / "b.png").write_bytes(content)
    assert len(take_all(source)) == 1
    assert (source.received, messages) == (2, [])


def test_a_file_that_is_removed_before_it_is_read_is_reported_and_no_other_is_lost(folder):
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        write(folder / name, gray=10 * number, seconds=1000 + number)
    source, messages = start(folder)
    first = source.take()
    (folder / "b.png").unlink()  # in the list of files to read
    assert [item.frame.pixels[0, 0, 0] for item in (first, *take_all(source))] == [0, 20]
    assert messages == [f"{folder}/b.png: removed before it was read"]
    assert source.damaged == 0


def test_a_file_that_is_removed_while_the_folder_is_listed_hides_no_other(folder, monkeypatch):
    """The folder names a file of which there is no state, as of one that another process removes meanwhile."""
    write(folder / "a.png")
    source, messages = start(folder)
    scandir = os.scandir

    class Gone:
        name = "b.png"

        def is_file(self):
            return True

        def stat(self):
            raise FileNotFoundError(2, "No such file or directory")

    @contextlib.contextmanager
    def listed(path):
        with scandir(path) as entries:
            yield [Gone(), *entries]

    monkeypatch.setattr(os, "scandir", listed)
    assert len(take_all(source)) == 1
    assert messages == []


def test_a_file_whose_writer_pauses_is_read_again_when_it_is_complete(folder):
    write(folder / "a.png", gray=7)
    content = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(content[:40])
    source, messages = start(folder)
    assert take_all(source) == []
    assert source.damaged == len(messages) == 1
    (folder / "a.png").write_bytes(content)
    assert [item.frame.pixels[0, 0, 0] for item in take_all(source)] == [7]


def test_older_files_and_later_ones_that_are_damaged_are_left_out(folder):
    write(folder / "old.png", seconds=1000)
    source, messages = start(folder, since=2000.0)
    (folder / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    write(folder / "new.png", seconds=3000)
    assert [item.frame.time for item in take_all(source)] == [3000]
    assert source.damaged == 1
    (message,) = messages
    assert message.startswith(f"{folder}/damaged.png: not read (")


def test_the_last_frame_of_a_video_has_the_time_of_its_file(folder, walkers):
    """40 frames at 10 per second end at the time of the file."""
    (folder / "door.avi").write_bytes(walkers.read_bytes())
    os.utime(folder / "door.avi", (5000, 5000))
    write(folder / "later.png", seconds=6000)
    source, _ = start(folder, every=2)
    items = take_all(source)
    assert len(items) == 21
    assert [round(item.frame.time, 3) for item in items[:3]] == [4996, 4996.2, 4996.4]
    assert [item.origin for item in items[-2:]] == [str(folder / "door.avi"), str(folder)]
    assert items[-1].part > items[0].part
    assert len({item.part for item in items[:20]}) == 1


def test_an_image_that_is_older_than_the_last_one_begins_a_part(folder):
    write(folder / "a.png", seconds=1000)
    source, _ = start(folder)
    (first,) = take_all(source)
    write(folder / "b.png", seconds=900)
    (second,) = take_all(source)
    assert (second.frame.time, second.part) == (900, first.part + 1)


def test_the_state_of_a_folder_is_bounded_by_its_files(folder):
    source, _ = start(folder)
    for number in range(30):
        write(folder / f"{number}.png", seconds=1000 + number)
        assert len(take_all(source)) == 1
        (folder / f"{number}.png").unlink()
    source.take()
    assert source._states == {}


def test_a_folder_that_disappears_is_reported_once_and_read_again(folder):
    source, messages = start(folder)
    folder.rmdir()
    for _ in range(3):
        assert source.take() is None
    folder.mkdir()
    write(folder / "a.png")
    assert len(take_all(source)) == 1
    assert messages == [
        f"{folder}: cannot be listed (No such file or directory); trying again every second",
        f"{folder}: can be listed again",
    ]


def test_the_clock_goes_on_while_no_file_comes(folder):
    write(folder / "a.png", seconds=1000)
    source, _ = start(folder)
    assert source.now() is None
    take_all(source)
    first = source.now()
    time.sleep(0.01)
    assert 1000 <= first < source.now()
