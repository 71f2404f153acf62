"""SQLite refuses some locks at once instead of waiting. Oracle: a second connection that holds one for a while."""

import sqlite3
import threading
from contextlib import closing

import pytest

from gallery.people import MODEL
from passerby.errors import GalleryError
from passerby.gallery.stores import sqlite_database
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.stores.sqlite_database import FILE, Database


def test_a_new_gallery_waits_for_another_process_that_begins_to_write_the_empty_file(tmp_path):
    """SQLite does not wait for this lock in the change to WAL mode."""
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.5, other.execute, ["COMMIT"])
    release.start()
    Database(tmp_path).close()
    assert not other.in_transaction
    release.join()
    other.close()
    with closing(sqlite3.connect(tmp_path / FILE)) as later:
        assert later.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_gallery_that_another_process_makes_at_the_same_moment_is_seen_whole_or_not_at_all(tmp_path, monkeypatch):
    """The other process makes the tables between the questions that tell an empty file from a foreign database."""
    first = sqlite3.connect(tmp_path / FILE)
    first.execute("PRAGMA journal_mode=WAL")
    first.close()
    made = []
    connect = sqlite3.connect

    def make(statement):
        if "sqlite_master" in statement and not made:
            made.append(statement)
            open_gallery(tmp_path, model=MODEL).close()

    def traced(*args, **options):
        connection = connect(*args, **options)
        if not made:
            connection.set_trace_callback(make)
        return connection

    monkeypatch.setattr(sqlite_database.sqlite3, "connect", traced)
    open_gallery(tmp_path, model=MODEL).close()
    assert len(made) == 1


class _Busy:
    """A connection whose statements are refused a number of times, as an exception or as a row."""

    def __init__(self, refusals):
        self.refusals, self.statements = list(refusals), []

    def execute(self, statement):
        self.statements.append(statement)
        refusal = self.refusals.pop(0) if self.refusals else (0, 3, 3)
        if isinstance(refusal, int):
            error = sqlite3.OperationalError("refused")
            error.sqlite_errorcode = refusal
            raise error
        return _Row(refusal)


class _Row(tuple):
    def fetchone(self):
        return tuple(self)


BUSY_SNAPSHOT = sqlite3.SQLITE_BUSY | 2 << 8


def test_an_erasure_is_repeated_while_other_processes_are_in_its_way(tmp_path):
    database = Database(tmp_path)
    database.close()
    database.connection = _Busy([sqlite3.SQLITE_BUSY, BUSY_SNAPSHOT, sqlite3.SQLITE_LOCKED, (1, 3, 0)])
    assert database._repeat("VACUUM", float("inf"))
    assert database.connection.statements == ["VACUUM"] * 5
    database.connection = _Busy([sqlite3.SQLITE_BUSY] * 3)
    assert not database._repeat("VACUUM", 0.0)  # the time is over after one attempt
    assert database.connection.statements == ["VACUUM"]


def test_another_error_of_an_erasure_is_not_repeated(tmp_path):
    database = Database(tmp_path)
    database.close()
    database.connection = _Busy([sqlite3.SQLITE_FULL])
    with pytest.raises(GalleryError, match=r"\(refused\)"):
        database._repeat("VACUUM", float("inf"))
    assert database.connection.statements == ["VACUUM"]
