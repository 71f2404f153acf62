"""The SQLite file of an embedded gallery: its tables, its transactions, and what its errors mean to a user."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from passerby.errors import GalleryError

SCHEMA_VERSION = 1
FILE = "gallery.sqlite"
_APPLICATION = 0x50415342  # "PASB", so that another program's database is told apart
_PAGE = 32768  # bytes; five vectors of 1,536 fit into a page, with 4096 a vector takes two
_WAIT = 30.0  # seconds for another process to finish writing

_SCHEMA = """
CREATE TABLE card (one INTEGER PRIMARY KEY CHECK (one = 1), json TEXT NOT NULL);
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    removals INTEGER NOT NULL,  -- how often rows were removed: readers look again when it changes
    erasing INTEGER NOT NULL,   -- how often something had to be erased from the files
    erased INTEGER NOT NULL     -- up to which of those it is
);
INSERT INTO state VALUES (1, 0, 0, 0);
CREATE TABLE sightings (
    row INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice: readers ask for what is new by it
    id TEXT NOT NULL UNIQUE,
    camera TEXT NOT NULL,
    time REAL,
    label TEXT,
    source TEXT NOT NULL,
    quality REAL,
    attributes TEXT NOT NULL,
    enrolled REAL NOT NULL
);
CREATE INDEX sightings_camera ON sightings (camera);
CREATE INDEX sightings_time ON sightings (time);
CREATE INDEX sightings_label ON sightings (label) WHERE label IS NOT NULL;
CREATE INDEX sightings_enrolled ON sightings (enrolled);
CREATE TABLE vectors (
    row INTEGER PRIMARY KEY REFERENCES sightings (row) ON DELETE CASCADE,
    vector BLOB NOT NULL  -- little-endian float32
);
CREATE TABLE pictures (
    row INTEGER PRIMARY KEY REFERENCES sightings (row) ON DELETE CASCADE,
    picture BLOB NOT NULL
);
CREATE TABLE audit (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    counts TEXT NOT NULL
);
CREATE TRIGGER audit_keeps BEFORE UPDATE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_grows BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE number = NEW.number)
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;  -- REPLACE deletes without the other trigger
CREATE TRIGGER audit_stays BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
"""

_MEANING = {
    sqlite3.SQLITE_BUSY: f"another process has been writing for {_WAIT:.0f} s; try again when it has finished",
    sqlite3.SQLITE_FULL: "the disk is full; free space and do it again, what was acknowledged is intact",
    sqlite3.SQLITE_READONLY: "the files cannot be written; searches write the audit log, so give rights to the folder",
    sqlite3.SQLITE_CANTOPEN: "the files cannot be opened; look at the folder and its rights",
    sqlite3.SQLITE_NOTADB: "not a database; name the folder of a gallery",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a backup or an export",
    sqlite3.SQLITE_IOERR: "the disk does not read or write; look at it before anything else",
}


class Database:
    """One connection. WAL mode, so that readers and a writer do not wait for each other; synchronous=FULL, so that a
    commit is on the disk when it returns.
    """  # noqa: D205

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE
        with self.told():
            self.connection = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self.connection.close()
                raise

    def _open(self) -> None:
        run = self.connection.execute
        for pragma in (f"page_size={_PAGE}", "auto_vacuum=NONE", "secure_delete=ON", "foreign_keys=ON"):
            run(f"PRAGMA {pragma}")
        if (run("PRAGMA application_id").fetchone()[0], self._version()) == (0, 0):
            if run("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise GalleryError(f"{self.path}: a database of another program; name the folder of a gallery")
            self._into_wal()
        run("PRAGMA synchronous=FULL")

    def _into_wal(self) -> None:
        """Several processes may make the file at once, and SQLite does not wait for this lock by itself."""
        end = time.monotonic() + _WAIT
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def _version(self) -> int:
        return int(self.connection.execute("PRAGMA user_version").fetchone()[0])

    def is_made(self) -> bool:
        """Whether the tables are there.

        Raises:
            GalleryError: When they are another version's.
        """
        with self.told():
            version = self._version()
            application = self.connection.execute("PRAGMA application_id").fetchone()[0]
        if (application, version) not in {(0, 0), (_APPLICATION, SCHEMA_VERSION)}:
            raise GalleryError(
                f"{self.path}: schema {version} of application {application:#x}, this version reads schema "
                f"{SCHEMA_VERSION} of {_APPLICATION:#x}; open it with the version of passerby that made it"
            )
        return version == SCHEMA_VERSION

    def make(self) -> None:
        """Create the tables, inside `write`."""
        statement = ""
        for line in _SCHEMA.strip().splitlines():
            statement += line + "\n"
            if sqlite3.complete_statement(statement):
                self.connection.execute(statement)
                statement = ""
        self.connection.execute(f"PRAGMA application_id={_APPLICATION}")
        self.connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes: all of it is durable on leaving, or none of it after an error."""
        with self._transaction("IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A transaction in which everything is seen as it was at its beginning, whatever others write."""
        with self._transaction("DEFERRED") as connection:
            yield connection

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        with self.told():
            self.connection.execute(f"BEGIN {kind}")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextmanager
    def told(self) -> Iterator[None]:
        """SQLite's errors in the user's words.

        Raises:
            GalleryError: In place of `sqlite3.DatabaseError`.
        """
        try:
            yield
        except sqlite3.ProgrammingError:
            raise GalleryError(
                f"{self.path}: closed, or opened in another thread; open the gallery once in each thread"
            ) from None
        except sqlite3.DatabaseError as error:
            raise GalleryError(f"{self.path}: {_MEANING.get(_code(error), 'SQLite cannot go on')} ({error})") from error

    def erase(self) -> bool:
        """Rewrite the file without what was removed and empty the log beside it; False while others are reading."""
        with self.told():
            before = self.connection.execute("SELECT erasing FROM state").fetchone()[0]
            self.connection.execute("VACUUM")
            if self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:  # after waiting for them
                return False
        with self.write() as connection:
            connection.execute("UPDATE state SET erased = max(erased, ?)", (before,))
        return True

    def cut_log(self) -> None:
        """Empty the log, whose end may hold what a killed process never committed; not while others are at work."""
        with self.told():
            (patience,) = self.connection.execute("PRAGMA busy_timeout").fetchone()
            self.connection.execute("PRAGMA busy_timeout=0")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self.connection.execute(f"PRAGMA busy_timeout={patience}")

    def is_erased(self) -> bool:
        """Whether nothing that was to be erased may still be in the files."""
        with self.told():
            erasing, erased = self.connection.execute("SELECT erasing, erased FROM state").fetchone()
        return bool(erasing == erased)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def _code(error: sqlite3.Error) -> int:
    """The primary result code, without what SQLite adds in the higher bits."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
