"""Conversion of galleries of format 1. Oracle: the rows of a gallery written with the earlier schema."""

import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gallery.people import MODEL, NOW, D, encoded_image, people
from passerby import Gallery
from passerby.errors import GalleryError, NoGalleryError
from passerby.gallery.card import GalleryModel
from passerby.gallery.embedding_model import load_model
from passerby.gallery.filters import Filter
from passerby.gallery.parquet import export_gallery, import_sightings, read_card
from passerby.gallery.results import EnrollResult
from passerby.gallery.stores import sqlite_database as database
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.upgrade import upgrade_gallery
from passerby.reviewing.answers import Answer

SCHEMA_1 = """
CREATE TABLE card (one INTEGER PRIMARY KEY CHECK (one = 1), json TEXT NOT NULL);
CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 1), removals INTEGER NOT NULL, erasing INTEGER NOT NULL,
    erased INTEGER NOT NULL);
INSERT INTO state VALUES (1, 0, 0, 0);
CREATE TABLE sightings (row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, camera TEXT NOT NULL, time REAL,
    label TEXT, source TEXT NOT NULL, quality REAL, attributes TEXT NOT NULL, enrolled REAL NOT NULL);
CREATE INDEX sightings_camera ON sightings (camera);
CREATE INDEX sightings_time ON sightings (time);
CREATE INDEX sightings_label ON sightings (label) WHERE label IS NOT NULL;
CREATE INDEX sightings_enrolled ON sightings (enrolled);
CREATE TABLE vectors (row INTEGER PRIMARY KEY REFERENCES sightings (row) ON DELETE CASCADE, vector BLOB NOT NULL);
CREATE TABLE pictures (row INTEGER PRIMARY KEY REFERENCES sightings (row) ON DELETE CASCADE, picture BLOB NOT NULL);
CREATE TABLE audit (number INTEGER PRIMARY KEY AUTOINCREMENT, time REAL NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,
    counts TEXT NOT NULL);
CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_grows BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
PRAGMA application_id=1346458434;
PRAGMA user_version=1;
"""
CROP = encoded_image(size=(16, 32))


def card_1(model, *, source):
    """A card of format 1, with the SHA-256 of the whole manifest."""
    record = {**dataclasses.asdict(model), "manifest": "e" * 64, "source": source}
    del record["architecture"]
    return json.dumps({"format": 1, "model": record, "pictures": "crops", "retention": 50.0})


def make_gallery_1(folder, sightings, *, model=MODEL, source=None):
    """Write a gallery with schema 1."""
    folder.mkdir()
    connection = sqlite3.connect(folder / "gallery.sqlite")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript(SCHEMA_1)
    connection.execute("INSERT INTO card VALUES (1, ?)", (card_1(model, source=source),))
    connection.execute(
        "INSERT INTO audit (time, who, what, counts) VALUES (1.5, 'anna', 'enrol', '{\"sightings\": 3}')"
    )
    for s in sightings:
        values = (s.id, s.camera, s.time, s.label, s.source, s.quality, json.dumps(dict(s.attributes)), NOW)
        row = connection.execute("INSERT INTO sightings VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", values).lastrowid
        connection.execute("INSERT INTO vectors VALUES (?, ?)", (row, s.vector.tobytes()))
        connection.execute("INSERT INTO pictures VALUES (?, ?)", (row, CROP))
    connection.commit()
    connection.close()


def contents(store):
    return {
        s.id: (s.camera, s.time, s.label, s.source, s.quality, dict(s.attributes), s.vector.tobytes(), s.crop)
        for batch in store.walk()
        for s in batch
    }


def expected(sightings):
    return {
        s.id: (s.camera, s.time, s.label, s.source, s.quality, dict(s.attributes), s.vector.tobytes(), CROP)
        for s in sightings
    }


def test_a_gallery_of_format_1_is_refused_with_the_command_and_then_converted(tmp_path):
    folder, sightings = tmp_path / "old", people(30)
    make_gallery_1(folder, sightings)
    with pytest.raises(
        GalleryError, match=r"gallery\.sqlite: written by an earlier .* `passerby gallery upgrade .*old`"
    ):
        open_gallery(folder)
    assert upgrade_gallery(folder)
    assert not upgrade_gallery(folder)
    assert not (folder / database.COPY).exists()
    store = open_gallery(folder, clock=lambda: NOW)
    assert contents(store) == expected(sightings)
    assert (store.card.keep, store.card.retention, store.card.model.source) == ("crops", 50, None)
    first, second = store.audit()
    assert (first.time, first.user, first.action, dict(first.counts)) == (1.5, "anna", "enroll", {"sightings": 3})
    assert second.action == "upgrade"
    (hits,) = store.search(sightings[2].vector, top=1)
    assert hits[0].id == sightings[2].id
    assert store.remove(Filter(ids=[sightings[2].id])) == 1
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        store._database.connection.execute("DELETE FROM audit")
    store.close()


def test_the_model_is_recorded_by_its_settings_and_another_one_is_refused(tiny_run, tmp_path):
    embedder, record = load_model(str(tiny_run), "cpu")
    folder = tmp_path / "old"
    make_gallery_1(folder, [], model=record, source=str(tmp_path / "moved"))
    with pytest.raises(GalleryError, match=r"its model's folder .*moved is missing; name its present folder"):
        upgrade_gallery(folder)
    with pytest.raises(GalleryError, match=r"contains vectors of .*; name its own model"):
        upgrade_gallery(folder, model="default")
    assert upgrade_gallery(folder, model=tiny_run)
    with Gallery(folder) as gallery:
        assert gallery.store.card.model.same_vectors(record)
        assert gallery.store.card.model.source == str(tiny_run)
        assert gallery.embedder.manifest == embedder.manifest


@pytest.mark.parametrize("moment", ["before the transaction", "in the transaction", "after the transaction"])
def test_a_conversion_that_is_killed_leaves_the_old_or_the_new_state(tmp_path, moment):
    """kill -9 of a process at three points; nothing is lost, and no copy remains after the next call."""
    folder, sightings = tmp_path / "old", people(12)
    make_gallery_1(folder, sightings)
    target = {
        "before the transaction": "database.Database.run_script = lambda *_: die()",
        "in the transaction": "run = database.Database.run_script\n"
        "database.Database.run_script = lambda *arguments: (run(*arguments), die())",
        "after the transaction": "pathlib.Path.unlink = lambda path, **_: path.exists() and die()",
    }[moment]
    code = (
        "import os, pathlib, signal\nfrom passerby.gallery import upgrade\n"
        "from passerby.gallery.stores import sqlite_database as database\n"
        "def die(): os.kill(os.getpid(), signal.SIGKILL)\n"
        f"{target}\nupgrade.upgrade_gallery({str(folder)!r})\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert (folder / database.COPY).is_file()
    assert upgrade_gallery(folder) == (moment != "after the transaction")
    store = open_gallery(folder, clock=lambda: NOW)
    assert contents(store) == expected(sightings)
    assert [entry.action for entry in store.audit()] == ["enroll", "upgrade"]
    store.close()
    assert not (folder / database.COPY).exists()


def test_a_copy_that_a_killed_conversion_left_is_deleted_when_the_gallery_is_opened(tmp_path):
    folder = tmp_path / "old"
    make_gallery_1(folder, people(3))
    assert upgrade_gallery(folder)
    (folder / database.COPY).write_bytes(b"vectors of people")
    open_gallery(folder, clock=lambda: NOW).close()
    assert not (folder / database.COPY).exists()


def test_an_exported_file_of_format_1_is_refused_with_the_command_and_then_converted(tmp_path):
    path, sightings = tmp_path / "g.parquet", people(20)
    store = open_gallery("memory", model=MODEL, keep="crops", clock=lambda: NOW)
    store.add([dataclasses.replace(sighting, crop=CROP) for sighting in sightings])
    export_gallery(store, tmp_path / "new.parquet")
    table = pq.read_table(tmp_path / "new.parquet").rename_columns({"crop": "picture"})
    pq.write_table(table.replace_schema_metadata({"passerby.gallery": card_1(MODEL, source=None)}), path)
    with pytest.raises(
        GalleryError, match=r"g\.parquet: written by an earlier .* `passerby gallery upgrade .*g\.parquet`"
    ):
        read_card(path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f".g.parquet.{ended.pid}.part").write_bytes(b"vectors that a killed conversion has left")
    assert upgrade_gallery(path)
    assert not upgrade_gallery(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["g.parquet", "new.parquet"]
    other = open_gallery("memory", model=read_card(path).model, keep="crops", clock=lambda: NOW)
    assert import_sightings(other, path) == EnrollResult(20, 0)
    assert contents(other) == expected(sightings)


def test_what_cannot_be_converted_raises(tmp_path):
    with pytest.raises(NoGalleryError, match=r"no gallery; expected a folder with gallery\.sqlite"):
        upgrade_gallery(tmp_path)
    with pytest.raises(GalleryError, match="a gallery on a server cannot be converted in place; export it"):
        upgrade_gallery("milvus://localhost/people")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(GalleryError, match="not an exported gallery"):
        upgrade_gallery(tmp_path / "other.parquet")
    wide = GalleryModel("a", "b", {}, D)
    make_gallery_1(tmp_path / "old", [], model=wide)
    connection = sqlite3.connect(tmp_path / "old" / "gallery.sqlite")
    connection.execute("UPDATE card SET json = '{}'")
    connection.commit()
    connection.close()
    with pytest.raises(GalleryError, match="old: the gallery's card cannot be converted"):
        upgrade_gallery(tmp_path / "old")


def test_a_gallery_of_schema_2_gets_the_tables_of_answers(tmp_path):
    folder, sightings = tmp_path / "old", people(12)
    store = open_gallery(folder, model=MODEL)
    store.add(sightings)
    before = contents(store)
    store.close()
    connection = sqlite3.connect(folder / "gallery.sqlite")
    for table in ("survey", "answers", "renames", "members", "identities", "actions"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("PRAGMA user_version=2")
    connection.commit()
    connection.close()
    with pytest.raises(GalleryError, match=r"`passerby gallery upgrade .*old`"):
        open_gallery(folder)
    assert upgrade_gallery(folder)
    assert not upgrade_gallery(folder)
    assert not (folder / database.COPY).exists()
    store = open_gallery(folder)
    assert contents(store) == before
    assert store.answers.add([Answer(sightings[0].id, sightings[2].id, "same")]) == 1
    assert len(store.answers.read()) == 1
    assert [entry.action for entry in store.audit()] == ["create", "enroll", "upgrade", "answer"]
    store.close()
