"""Lists of shards and adapted runs in the copies of a gallery, so that an erasure in a copy names the same.

In a gallery's folder the lists are two files. A backup is one database, which has them in the table `carried` until it
is first opened as a gallery. An exported file has them in its metadata.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from passerby.errors import GalleryError, explain
from passerby.files import parse_json
from passerby.gallery.adapted_runs import check_runs, merge_runs, read_runs
from passerby.gallery.enrolled_shards import add_jobs, check_jobs, read_jobs
from passerby.gallery.stores.sqlite_database import Database

_TABLE = "carried"
_EXISTS = f"SELECT 1 FROM sqlite_master WHERE name = '{_TABLE}'"


@dataclass(frozen=True)
class CarriedLists:
    """Lists of a gallery.

    Attributes:
        jobs: Folders of `passerby embed`, or shards, from which it was enrolled.
        runs: Runs that were adapted by its crops: `run` is the folder, `ids` are the sightings.
    """

    jobs: list[str]
    runs: list[dict[str, Any]]

    def __bool__(self) -> bool:
        return bool(self.jobs or self.runs)

    def among(self, ids: Collection[str]) -> CarriedLists:
        """Return the lists for a part of the sightings; runs without a sighting of it are left out."""
        kept = [{**entry, "ids": [name for name in entry["ids"] if name in ids]} for entry in self.runs]
        return CarriedLists(self.jobs, [entry for entry in kept if entry["ids"]])

    def to_json(self) -> str:
        """Return the text that `parse_lists` reads."""
        return json.dumps(asdict(self))


def read_lists(folder: Path) -> CarriedLists:
    """Read the lists of a gallery in a folder.

    Raises:
        GalleryError: If one cannot be read.

    Example:
        >>> read_lists(Path("nowhere"))
        CarriedLists(jobs=[], runs=[])
    """
    return CarriedLists(read_jobs(folder), read_runs(folder))


def parse_lists(text: str | bytes) -> CarriedLists:
    """Read the text of `CarriedLists.to_json`.

    Raises:
        ValueError: If it is another.

    Example:
        >>> parse_lists(CarriedLists(["/data/job"], []).to_json())
        CarriedLists(jobs=['/data/job'], runs=[])
    """
    lists = parse_json(text)
    if not isinstance(lists, dict) or lists.keys() != {"jobs", "runs"}:
        raise ValueError("expected an object with jobs and runs")
    return CarriedLists(check_jobs(lists["jobs"]), check_runs(lists["runs"]))


def add_lists(folder: Path, lists: CarriedLists) -> None:
    """Add lists to those of a gallery in a folder.

    Raises:
        GalleryError: If one cannot be read.
        WriteError: If one cannot be written.
    """
    add_jobs(folder, lists.jobs)
    merge_runs(folder, lists.runs)


def put_lists(database: Path, lists: Iterable[CarriedLists]) -> None:
    """Put lists into the file of a copy, beside those that it has."""
    texts = dict.fromkeys(carried.to_json() for carried in lists if carried)
    if not texts:
        return
    connection = sqlite3.connect(database)
    try:
        with connection:
            connection.execute(f"CREATE TABLE IF NOT EXISTS {_TABLE} (json TEXT NOT NULL)")
            connection.executemany(f"INSERT INTO {_TABLE} VALUES (?)", [(text,) for text in texts])
    finally:
        connection.close()


def take_lists(database: Database, folder: Path) -> None:
    """Move the lists of a copy that is opened as a gallery from its database to its files.

    Raises:
        GalleryError: If they cannot be read.
        WriteError: If they cannot be written; they stay in the database then.
    """
    with database.read() as run:
        if run.execute(_EXISTS).fetchone() is None:
            return
    with database.write() as run:
        if run.execute(_EXISTS).fetchone() is None:  # another process was faster
            return
        try:
            carried = [parse_lists(text) for (text,) in run.execute(f"SELECT json FROM {_TABLE}")]
        except (ValueError, TypeError, sqlite3.OperationalError) as error:
            raise GalleryError(
                f"{folder}: its lists of shards and adapted runs cannot be read ({explain(error)}); restore the backup "
                "again, or another one"
            ) from None
        for lists in carried:
            add_lists(folder, lists)
        run.execute(f"DROP TABLE {_TABLE}")
