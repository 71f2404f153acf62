"""Events of a gallery that wait for delivery, in its SQLite database.

An event refers to sightings and has no label of its own, so that it is erased with them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from passerby.gallery.stores.sqlite_database import Database
from passerby.types import Result

EventKind = Literal["identified", "unknown", "new identity"]

_TABLE = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    time REAL NOT NULL,
    kind TEXT NOT NULL,
    sighting TEXT NOT NULL REFERENCES sightings (id) ON DELETE CASCADE,
    nearest TEXT REFERENCES sightings (id) ON DELETE CASCADE,
    identity TEXT,
    probability REAL
);
CREATE INDEX IF NOT EXISTS events_sighting ON events (sighting);
CREATE INDEX IF NOT EXISTS events_nearest ON events (nearest);
"""


@dataclass(frozen=True)
class NewEvent(Result):
    """An event to be delivered.

    Attributes:
        kind: `identified`, `unknown` or `new identity`.
        sighting: Id of the sighting.
        nearest: Id of the sighting whose label it was identified by; None for the other kinds.
        identity: Id of the new identity; None for the other kinds.
        probability: Probability of the answer, 0 to 1; None for a new identity.
    """

    kind: EventKind
    sighting: str
    nearest: str | None = None
    identity: str | None = None
    probability: float | None = None


@dataclass(frozen=True)
class StoredEvent(Result):
    """An event that waits, with what its sightings have now.

    Attributes:
        number: Number by which receivers recognize an event that is delivered twice.
        time: Time at which it was stored, seconds since 1970 UTC.
        event: `identified`, `unknown` or `new identity`.
        sighting: Id of the sighting.
        camera: Its camera.
        seen: Its time, seconds since 1970 UTC; None if unknown.
        label: Label that it was identified as; None for the other kinds.
        identity: Id of the new identity; None for the other kinds.
        probability: Probability of the answer, 0 to 1.
    """

    number: int
    time: float
    event: EventKind
    sighting: str
    camera: str
    seen: float | None
    label: str | None
    identity: str | None
    probability: float | None


class SqliteEvents:
    """Queue of events, one line per target.

    Args:
        database: Database of the gallery; the table is made at the first use.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.write():
            database.run_script(_TABLE)

    def add(self, events: Sequence[NewEvent], *, targets: Sequence[str], time: float) -> None:
        """Store events for each target; durable on return. Those of sightings that were erased are left out."""
        with self._database.write() as run:
            self.insert(run, events, targets=targets, time=time)

    @staticmethod
    def insert(run: sqlite3.Connection, events: Sequence[NewEvent], *, targets: Sequence[str], time: float) -> None:
        """Store events inside the transaction of what they report, so that neither is stored without the other."""
        rows = [
            (target, time, event.kind, event.nearest, event.identity, event.probability, event.sighting, event.nearest)
            for event in events
            for target in targets
        ]
        run.executemany(
            "INSERT INTO events (target, time, kind, nearest, identity, probability, sighting) "
            "SELECT ?, ?, ?, ?, ?, ?, id FROM sightings WHERE id = ? "
            "AND (?8 IS NULL OR EXISTS (SELECT 1 FROM sightings WHERE id = ?8))",
            rows,
        )

    def first(self, target: str, *, count: int = 100) -> list[StoredEvent]:
        """Return the oldest events of a target."""
        query = (
            "SELECT number, events.time, kind, sighting, s.camera, s.time, n.label, identity, probability FROM events "
            "JOIN sightings AS s ON s.id = sighting LEFT JOIN sightings AS n ON n.id = nearest "
            "WHERE target = ? ORDER BY number LIMIT ?"
        )
        with self._database.read() as run:
            return [StoredEvent(*row) for row in run.execute(query, [target, count])]

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove events that were delivered."""
        with self._database.write() as run:
            run.executemany("DELETE FROM events WHERE number = ?", [(number,) for number in numbers])

    def count(self, target: str) -> int:
        """Return the number of events of a target."""
        with self._database.read() as run:
            return int(run.execute("SELECT count(*) FROM events WHERE target = ?", [target]).fetchone()[0])
