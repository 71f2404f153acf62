"""Opening of the SQLite store: foreign, damaged and new folders. Oracle: the documented messages, and the files."""

import os
import sqlite3
import stat
import subprocess
import sys
import time

import pytest

from gallery.people import MODEL, people
from gallery.stores.embedded import embedded
from passerby.errors import GalleryError, NoGalleryError
from passerby.gallery.stores.opening import open_gallery

pytestmark = pytest.mark.usefixtures("closed_stores")


def test_opening_a_folder_without_a_gallery_creates_nothing(folder, tmp_path):
    for item in (folder, tmp_path):
        with pytest.raises(GalleryError, match="no gallery here; enroll images with a model to make one"):
            open_gallery(item)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", [None, MODEL])
def test_a_file_in_the_place_of_a_folder_is_named(tmp_path, model):
    path = tmp_path / "g.parquet"
    path.write_bytes(b"an export")
    with pytest.raises(
        NoGalleryError, match=rf"a file, and a gallery is a folder; .*`passerby gallery import .* {path}`"
    ):
        open_gallery(path, model=model)
    assert path.read_bytes() == b"an export"


def test_databases_of_other_programs_are_refused(folder):
    folder.mkdir()
    (folder / "gallery.sqlite").write_bytes(b"a diary, not a database " * 1000)
    with pytest.raises(GalleryError, match="not a database; name the folder of a gallery"):
        embedded(folder)
    (folder / "gallery.sqlite").unlink()
    foreign = sqlite3.connect(folder / "gallery.sqlite")
    foreign.execute("CREATE TABLE songs (title)")
    foreign.close()
    with pytest.raises(GalleryError, match="a database of another program"):
        embedded(folder)


def test_a_later_schema_is_refused(folder):
    embedded(folder).close()
    newer = sqlite3.connect(folder / "gallery.sqlite")
    newer.execute("PRAGMA user_version=9")
    newer.close()
    with pytest.raises(GalleryError, match="schema 9, this version reads schema 3; open it with the version"):
        embedded(folder)


def test_a_damaged_card_raises(folder):
    store = embedded(folder)
    store._database.connection.execute("UPDATE card SET json = '{\"format\": 9}'")
    store.close()
    with pytest.raises(GalleryError, match=r"card cannot be read \(format 9, this version reads 2 to"):
        embedded(folder)


def test_a_folder_that_cannot_be_made_raises(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GalleryError, match=r"cannot be made .*; name another folder"):
        embedded(tmp_path / "file" / "gallery")


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "CREATE TRIGGER spy AFTER INSERT ON sightings BEGIN UPDATE sightings SET label = 'Eve'; END",
            "contains the trigger 'spy', which no version of passerby makes",
        ),
        ("CREATE VIEW spy AS SELECT * FROM sightings", "contains the view 'spy'"),
        (
            "DROP TRIGGER audit_no_delete; "
            "CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit BEGIN DELETE FROM sightings; END",
            "contains the trigger 'audit_no_delete'",
        ),
        ("CREATE VIRTUAL TABLE spy USING fts5(text)", "contains the table 'spy'"),
    ],
)
def test_a_file_with_programs_of_its_own_is_refused(folder, statement, message):
    embedded(folder).close()
    connection = sqlite3.connect(folder / "gallery.sqlite")
    connection.executescript(statement)
    connection.close()
    with pytest.raises(GalleryError, match=message):
        embedded(folder, None)


def test_a_new_gallery_can_be_read_by_its_owner_only(tmp_path):
    old = os.umask(0)
    try:
        store = embedded(tmp_path / "new" / "gallery")
        store.add(people(3))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").rglob("*")}
    finally:
        os.umask(old)
    assert modes.pop("gallery") == 0o700
    assert {"gallery.sqlite", "gallery.sqlite-wal"} <= modes.keys()
    assert set(modes.values()) == {0o600}


_MAKE = """
import sys, time
from gallery.people import MODEL
from passerby.gallery.stores.opening import open_gallery
for number in range(40):
    while time.time() < float(sys.argv[2]) + 0.05 * number:
        pass
    open_gallery(f"{sys.argv[1]}/{number}", model=MODEL).close()
"""


def test_galleries_made_by_several_processes_at_the_same_moment(tmp_path):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", _MAKE, str(tmp_path), str(time.time() + 3)]
    makers = [subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for maker in makers:
        _, errors = maker.communicate(timeout=120)
        assert maker.returncode == 0, errors
