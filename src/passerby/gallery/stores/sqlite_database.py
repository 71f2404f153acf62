"""SQLite database of a gallery: opening, transactions, erasure, and error messages."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from passerby.errors import GalleryError, NoGalleryError, explain
from passerby.files import make_private
from passerby.gallery.card import UPGRADE_HINT
from passerby.gallery.stores.sqlite_schema import SCHEMA, SCHEMA_VERSION, TRIGGERS

FILE = "gallery.sqlite"
COPY = "gallery.sqlite.before-upgrade"
"""Copy that exists while a gallery is converted; see `passerby.gallery.upgrade`."""
_APPLICATION_ID = 0x50415342  # "PASB", to recognize databases of other programs
_PAGE_SIZE = 32768  # bytes; five vectors of 1,536 fit into a page, with 4096 a vector takes two pages
_TIMEOUT = 30.0  # seconds to wait for another process that writes

_WAIT_ALONE = 2.0  # seconds to wait for other connections to close

_MESSAGES = {
    sqlite3.SQLITE_BUSY: f"another process has been writing for {_TIMEOUT:.0f} s; try again when it has finished",
    sqlite3.SQLITE_FULL: "the disk is full; free space and repeat the call, everything acknowledged is intact",
    sqlite3.SQLITE_READONLY: "the files cannot be written; grant write access (searches write the audit log)",
    sqlite3.SQLITE_CANTOPEN: "the files cannot be opened; check the folder and its access rights",
    sqlite3.SQLITE_NOTADB: "not a database; name the folder of a gallery",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; restore it from a backup or an export",
    sqlite3.SQLITE_IOERR: "the disk cannot be read or written; check it first",
}


def empty_database_error(folder: str | Path) -> NoGalleryError:
    """Return the error for a database without tables, such as a file of 0 bytes."""
    return NoGalleryError(
        f"{folder}: {FILE} is empty: it was damaged, or interrupted while it was made; restore a backup, or enroll "
        "images with a model to make a new gallery"
    )


def no_gallery_error(address: str | Path) -> NoGalleryError:
    """Return the error for a folder without a gallery, or a file in the place of a folder."""
    if Path(address).is_file():
        return NoGalleryError(
            f"{address}: a file, and a gallery is a folder; add an exported file to a gallery with "
            f"`passerby gallery import GALLERY {address}`"
        )
    return NoGalleryError(f"{address}: no gallery here; enroll images with a model to make one")


class Database:
    """One connection to the database of a gallery, in a file or in memory.

    WAL mode lets readers and a writer work at the same time; with synchronous=FULL a commit is on the disk on return.

    Args:
        folder: Folder of the file; None is a new database in memory.
        exclusive: Let no other connection read or write until this one is closed; fails if there is one.
    """

    def __init__(self, folder: Path | None, *, exclusive: bool = False) -> None:
        self._exclusive = exclusive
        self.path = None if folder is None else folder / FILE
        self.name = "memory" if self.path is None else str(self.path)
        if self.path is not None:
            make_private(self.path)  # SQLite gives its other files the same mode
        with self.translate_errors():
            self.connection = sqlite3.connect(
                self.path or ":memory:", timeout=_WAIT_ALONE if exclusive else _TIMEOUT, isolation_level=None
            )
            try:
                self._configure()
            except BaseException:
                self.connection.close()
                raise

    def _configure(self) -> None:
        run = self.connection.execute
        if self._exclusive:
            run("PRAGMA locking_mode=EXCLUSIVE")  # in WAL mode refused while another connection is open
        for pragma in (
            "trusted_schema=OFF",
            f"page_size={_PAGE_SIZE}",
            "auto_vacuum=NONE",
            "secure_delete=ON",
            "foreign_keys=ON",
        ):
            run(f"PRAGMA {pragma}")
        if self.path is None:
            run("PRAGMA temp_store=MEMORY")  # nothing on the disk
            return
        application, version, objects = self._describe()
        if (application, version) == (0, 0):
            if objects:
                raise GalleryError(f"{self.name}: a database of another program; name the folder of a gallery")
            self._set_wal_mode()
        run("PRAGMA synchronous=FULL")

    def _set_wal_mode(self) -> None:
        """Switch to WAL mode. Several processes may make the file at once, and SQLite does not wait for this lock."""
        end = time.monotonic() + _TIMEOUT
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode=WAL")
                return
            except sqlite3.OperationalError as error:
                if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def _describe(self) -> tuple[int, int, int]:
        """Application id, schema version and number of objects, 0 for an empty file, in one state of the file."""
        if not self.connection.in_transaction:
            with self.read():  # another process may be making the tables
                return self._describe()
        queries = ("PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_master")
        application, version, objects = (int(self.connection.execute(query).fetchone()[0]) for query in queries)
        return application, version, objects

    def schema_version(self) -> int:
        """Return the schema version, 0 for an empty database.

        Raises:
            GalleryError: If the tables are those of another program.
        """
        with self.translate_errors():
            application, version, _ = self._describe()
        if application != (_APPLICATION_ID if version else 0):
            raise GalleryError(f"{self.name}: a database of another program; name the folder of a gallery")
        return version

    def has_tables(self) -> bool:
        """Return whether the tables exist.

        Raises:
            GalleryError: If they are those of another version or program.
        """
        version = self.schema_version()
        if 0 < version < SCHEMA_VERSION and self.path is not None:
            raise GalleryError(f"{self.name}: {UPGRADE_HINT.format(self.path.parent)}")
        if version > SCHEMA_VERSION:
            raise GalleryError(
                f"{self.name}: schema {version}, this version reads schema {SCHEMA_VERSION}; open it with the version "
                "of passerby that made it"
            )
        if version == SCHEMA_VERSION:
            self.check_programs(TRIGGERS)
        return version == SCHEMA_VERSION

    def check_programs(self, expected: Mapping[str, str | None]) -> None:
        """Check that the file has no program of its own, which SQLite would run when it is read or written.

        Args:
            expected: SQL of each permitted trigger by name; None for any.

        Raises:
            GalleryError: For a view, a virtual table, or another trigger.
        """
        query = (
            "SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'view') "
            "OR (type = 'table' AND sql LIKE 'CREATE VIRTUAL%')"
        )
        with self.translate_errors():
            programs = self.connection.execute(query).fetchall()
        for kind, name, sql in programs:
            if kind != "trigger" or name not in expected or expected[name] not in (None, sql):
                raise GalleryError(
                    f"{self.name}: contains the {kind} {name!r}, which no version of passerby makes; the file was "
                    "changed by another program: restore it from a backup or an export"
                )

    def make_tables(self) -> None:
        """Create the tables, inside `write`."""
        self.run_script(SCHEMA)
        self.connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        self.connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")

    def run_script(self, script: str) -> None:
        """Run SQL statements inside the current transaction, which `executescript` would commit."""
        statement = ""
        for line in script.strip().splitlines():
            statement += line + "\n"
            if sqlite3.complete_statement(statement):
                self.connection.execute(statement)
                statement = ""

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction that writes: all of it is durable on exit, or none of it after an error."""
        with self._transaction("IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction that reads the state at its beginning, whatever other processes write."""
        with self._transaction("DEFERRED") as connection:
            yield connection

    @contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        with self.translate_errors():
            self.connection.execute(f"BEGIN {kind}")
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            except BaseException:
                if self.connection.in_transaction:
                    self.connection.execute("ROLLBACK")
                raise

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise GalleryError with cause and remedy in place of SQLite's errors."""
        try:
            yield
        except sqlite3.ProgrammingError:
            raise GalleryError(
                f"{self.name}: closed, or opened in another thread; open the gallery once in each thread"
            ) from None
        except sqlite3.DatabaseError as error:
            if "decode to UTF-8" in str(error):  # Python's own error, which quotes the row
                damaged = _MESSAGES[sqlite3.SQLITE_CORRUPT]
                raise GalleryError(f"{self.name}: {damaged} (a text is not UTF-8)") from None
            code = _primary_code(error)
            message = _MESSAGES.get(code, "SQLite failed; check the disk, or restore a backup")
            if self._exclusive and code == sqlite3.SQLITE_BUSY:
                message = "another process has the gallery open; stop it (a service, an enrollment) and try again"
            raise GalleryError(f"{self.name}: {message} ({explain(error)})") from error

    def erase(self) -> bool:
        """Rewrite the file without removed rows and empty the write-ahead log.

        Returns:
            False if other processes still read or write after the connection's timeout.
        """
        with self.translate_errors():
            before = self.connection.execute("SELECT erasing FROM state").fetchone()[0]
            (timeout,) = self.connection.execute("PRAGMA busy_timeout").fetchone()
        end = time.monotonic() + timeout / 1000
        # In memory, secure_delete has overwritten the rows.
        if self.path is not None and not (
            self._repeat("VACUUM", end) and self._repeat("PRAGMA wal_checkpoint(TRUNCATE)", end)
        ):
            return False
        with self.write() as connection:
            connection.execute("UPDATE state SET erased = max(erased, ?)", (before,))
        return True

    def _repeat(self, statement: str, end: float) -> bool:
        """Run a statement until no other process is in its way; False at the end of the time.

        SQLite itself waits for one lock, and is refused when another process takes the next one first.
        """
        while True:
            with self.translate_errors():
                try:
                    row = self.connection.execute(statement).fetchone()
                    busy = row is not None and bool(row[0])
                except sqlite3.OperationalError as error:
                    if _primary_code(error) not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                        raise
                    busy = True
            if not busy or time.monotonic() > end:
                return not busy
            time.sleep(random.uniform(0.005, 0.05))

    def cut_log(self) -> None:
        """Empty the write-ahead log unless other processes use it.

        Its end may contain data that a killed process did not commit.
        """
        with self.translate_errors():
            (timeout,) = self.connection.execute("PRAGMA busy_timeout").fetchone()
            self.connection.execute("PRAGMA busy_timeout=0")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            self.connection.execute(f"PRAGMA busy_timeout={timeout}")

    def is_erased(self) -> bool:
        """Return whether everything that had to be erased is erased from the files."""
        with self.translate_errors():
            erasing, erased = self.connection.execute("SELECT erasing, erased FROM state").fetchone()
        return bool(erasing == erased)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def _primary_code(error: sqlite3.Error) -> int:
    """Return the primary result code, without the extended code in the higher bits."""
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
