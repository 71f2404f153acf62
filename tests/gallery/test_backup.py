"""Backup and restoring. Oracle: the sightings of the gallery at the moment of the backup."""

import contextlib
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading

import pytest

from gallery.people import MODEL, NOW, people
from passerby.errors import GalleryError, NoGalleryError
from passerby.gallery.backup import backup_gallery, restore_gallery
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.stores.sqlite_database import FILE
from passerby.gallery.upgrade import upgrade_gallery


def contents(where):
    store = open_gallery(where)
    try:
        return {sighting.id: sighting.vector.tobytes() for batch in store.walk() for sighting in batch}
    finally:
        store.close()


def test_a_backup_and_what_is_restored_of_it_are_the_gallery(tmp_path):
    store = open_gallery(tmp_path / "people", model=MODEL)
    store.add(people(30))  # still open: its changes are in the write-ahead log
    assert backup_gallery(tmp_path / "people", tmp_path / "copy") == 30
    store.add(people(10, seed=1))
    store.close()
    assert restore_gallery(tmp_path / "copy", tmp_path / "again") == 30
    assert contents(tmp_path / "copy") == contents(tmp_path / "again")
    assert contents(tmp_path / "again").items() <= contents(tmp_path / "people").items()
    assert (tmp_path / "copy" / FILE).stat().st_mode & 0o777 == 0o600


def test_what_a_killed_backup_has_left_is_deleted_by_the_next_into_the_folder(tmp_path):
    """kill -9 when the copy is written and not yet checked. The draft of a process that runs is another backup's."""
    store = open_gallery(tmp_path / "people", model=MODEL)
    store.add(people(30))
    store.close()
    code = (
        "import os, signal, sys\n"
        "from passerby.gallery import backup\n"
        "backup.check_copy = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "backup.backup_gallery(sys.argv[1], sys.argv[2])\n"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "people"), str(tmp_path / "copy")]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    (draft,) = (tmp_path / "copy").iterdir()
    live = draft.with_name(f".{FILE}.{os.getppid()}.part")
    live.write_bytes(b"of a process that runs")
    with pytest.raises(GalleryError, match="exists and is not an empty folder"):
        backup_gallery(tmp_path / "people", tmp_path / "copy")
    live.unlink()
    assert backup_gallery(tmp_path / "people", tmp_path / "copy") == 30
    assert [path.name for path in (tmp_path / "copy").iterdir()] == [FILE]


@pytest.mark.parametrize("name", ["people #1", "what?mode=memory", "50%25 off", "a b&c=d"])
def test_names_that_mean_something_in_an_address(tmp_path, name):
    store = open_gallery(tmp_path / name, model=MODEL)
    store.add(people(7))
    store.close()
    assert backup_gallery(tmp_path / name, tmp_path / f"copy of {name}") == 7
    assert restore_gallery(tmp_path / f"copy of {name}", tmp_path / f"again {name}") == 7
    assert contents(tmp_path / f"again {name}") == contents(tmp_path / name)
    assert (tmp_path / f"again {name}").stat().st_mode & 0o777 == 0o700
    assert {path.name for path in tmp_path.iterdir()} == {name, f"copy of {name}", f"again {name}"}


def test_a_backup_while_another_thread_adds_has_whole_batches(tmp_path):
    open_gallery(tmp_path / "people", model=MODEL).close()
    stop = threading.Event()

    def add():
        store = open_gallery(tmp_path / "people")
        for seed in range(1000):
            store.add(people(20, seed=seed))
            if stop.is_set():
                break
        store.close()

    writer = threading.Thread(target=add)
    writer.start()
    counts = [backup_gallery(tmp_path / "people", tmp_path / f"copy{number}") for number in range(3)]
    stop.set()
    writer.join()
    assert [count % 20 for count in counts] == [0, 0, 0]
    assert counts == sorted(counts)


def test_a_backup_keeps_what_is_past_its_retention(tmp_path):
    store = open_gallery(tmp_path / "people", model=MODEL, retention=1, clock=lambda: NOW)
    store.add(people(5))
    store.close()
    assert backup_gallery(tmp_path / "people", tmp_path / "copy") == 5


def test_what_cannot_be_backed_up_or_restored(tmp_path):
    with pytest.raises(NoGalleryError, match="no gallery here"):
        backup_gallery(tmp_path / "people", tmp_path / "copy")
    open_gallery(tmp_path / "people", model=MODEL).close()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(GalleryError, match="full: exists and is not an empty folder"):
        backup_gallery(tmp_path / "people", tmp_path / "full")
    with pytest.raises(GalleryError, match="people: exists and is not an empty folder"):
        restore_gallery(tmp_path / "people", tmp_path / "people")
    with pytest.raises(GalleryError, match="with the server's own tools"):
        backup_gallery("milvus://localhost/people", tmp_path / "copy")
    backup_gallery(tmp_path / "people", tmp_path / "copy")
    with pytest.raises(GalleryError, match="a file; put it into a folder as"):
        restore_gallery(tmp_path / "copy" / FILE, tmp_path / "again")
    (tmp_path / "copy" / FILE).write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    with pytest.raises(GalleryError, match="damaged"):
        restore_gallery(tmp_path / "copy", tmp_path / "again")
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("UPDATE card SET json = '{'", "people: the gallery's card cannot be read (Expecting"),
        ("UPDATE card SET json = replace(json, '\"dimension\"', '\"size\"')", "unexpected keyword argument 'size'"),
        ("UPDATE card SET json = replace(json, '\"dimension\": ', '\"dimension\": -')", "dimension is -"),
        ("DELETE FROM card", "people: the gallery's card is missing; restore a backup"),
        ("DROP TABLE sightings", "people: damaged, or not a gallery (no such table: sightings)"),
    ],
)
def test_a_damaged_gallery_is_not_backed_up(tmp_path, damage, message):
    open_gallery(tmp_path / "people", model=MODEL).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "people" / FILE, isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute(damage)
    with pytest.raises(GalleryError, match=re.escape(message)):
        backup_gallery(tmp_path / "people", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_an_empty_database_is_named(tmp_path):
    """A file of 0 bytes. Oracle: the message, and the file that stays as it is."""
    (tmp_path / "people").mkdir()
    file = tmp_path / "people" / FILE
    file.touch()
    for call in (
        lambda: backup_gallery(tmp_path / "people", tmp_path / "copy"),
        lambda: restore_gallery(tmp_path / "people", tmp_path / "copy"),
        lambda: open_gallery(tmp_path / "people"),
        lambda: upgrade_gallery(tmp_path / "people"),
    ):
        with pytest.raises(NoGalleryError, match=r"people: gallery\.sqlite is empty: it was damaged"):
            call()
    assert not (tmp_path / "copy").exists()
    open_gallery(tmp_path / "people", model=MODEL).close()  # an interrupted enrollment is repeated
    assert backup_gallery(tmp_path / "people", tmp_path / "copy") == 0
