"""Sightings that a review removed and that an undo restores, in the SQLite database of a gallery.

No search, list, count or export has them. `forget` and `expire` erase them as they erase other sightings.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.stores.sqlite_rows import AMONG, INFO, to_condition
from passerby.text import plural

_TABLES = (
    """CREATE TABLE IF NOT EXISTS removed (
    action INTEGER NOT NULL REFERENCES actions (number),
    identity TEXT,
    probability REAL,
    vector BLOB NOT NULL,
    crop BLOB,
    id TEXT NOT NULL,
    camera TEXT NOT NULL,
    time REAL,
    label TEXT,
    source TEXT NOT NULL,
    quality REAL,
    attributes TEXT NOT NULL,
    enrolled REAL NOT NULL
)""",
    """CREATE TABLE IF NOT EXISTS removed_answers (
    number INTEGER PRIMARY KEY,
    action INTEGER NOT NULL REFERENCES actions (number),
    first TEXT NOT NULL,
    second TEXT NOT NULL,
    answer TEXT NOT NULL,
    user TEXT NOT NULL,
    time REAL NOT NULL,
    reason TEXT NOT NULL
)""",
)
"""Made with the first removal: galleries of this schema that were made before have no such tables."""
_STORED = "(SELECT id FROM sightings)"
_ANSWER = "number, action, first, second, answer, user, time, reason"


def has_removed(run: sqlite3.Connection) -> bool:
    """Return whether the tables exist, inside a transaction; so also for the functions below."""
    return run.execute("SELECT 1 FROM sqlite_master WHERE name = 'removed'").fetchone() is not None


def set_aside(run: sqlite3.Connection, ids: Sequence[str], *, action: int, address: str) -> None:
    """Move sightings with vectors, crops, answers and identities to the tables of what was removed.

    Raises:
        GalleryError: If an id is not stored, or none is given.
    """
    chosen = json.dumps(list(ids))
    (stored,) = run.execute(f"SELECT count(*) FROM sightings WHERE id {AMONG}", [chosen]).fetchone()
    if not ids or stored < len(set(ids)):
        raise GalleryError(
            f"{address}: {stored:,} of {plural(len(set(ids)), 'sighting')} in the gallery, expected one or more and "
            "all of them; nothing was removed"
        )
    for statement in _TABLES:
        run.execute(statement)
    run.execute(
        f"INSERT INTO removed SELECT ?, identity, probability, vector, crop, {INFO} FROM sightings "
        f"JOIN vectors USING (row) LEFT JOIN crops USING (row) LEFT JOIN members ON sighting = id WHERE id {AMONG}",
        [action, chosen],
    )
    run.execute(
        f"INSERT INTO removed_answers SELECT {_ANSWER} FROM answers WHERE first {AMONG} OR second {AMONG}",
        [chosen, chosen],
    )
    run.execute(f"DELETE FROM sightings WHERE id {AMONG}", [chosen])
    run.execute("UPDATE state SET removals = removals + 1")


def restore(run: sqlite3.Connection, *, action: int, address: str) -> int:
    """Put the sightings of a removal back; those that were enrolled again since stay as they are. Return their number.

    Raises:
        GalleryError: If they were all erased since.
    """
    query = f"SELECT identity, probability, vector, crop, {INFO} FROM removed WHERE action = ?"
    rows = run.execute(query, [action]).fetchall()
    if not rows:
        raise GalleryError(f"{address}: action {action}: its sightings were erased since; they cannot be restored")
    for identity, probability, vector, crop, *info in rows:
        cursor = run.execute(
            f"INSERT INTO sightings ({INFO}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING", info
        )
        if cursor.rowcount:
            run.execute("INSERT INTO vectors VALUES (?, ?)", (cursor.lastrowid, vector))
            if crop is not None:
                run.execute("INSERT INTO crops VALUES (?, ?)", (cursor.lastrowid, crop))
            run.execute(
                "INSERT INTO members SELECT ?, id, ? FROM identities WHERE id = ?", (info[0], probability, identity)
            )
    ids = json.dumps([row[4] for row in rows])
    complete = f"(first {AMONG} OR second {AMONG}) AND first IN {_STORED} AND second IN {_STORED}"
    run.execute(f"INSERT INTO answers ({_ANSWER}) SELECT {_ANSWER} FROM removed_answers WHERE {complete}", [ids, ids])
    run.execute(f"DELETE FROM removed_answers WHERE {complete}", [ids, ids])
    run.execute("DELETE FROM removed WHERE action = ?", [action])
    return len(rows)


def find_removed(run: sqlite3.Connection, where: Filter) -> list[str]:
    """Return the ids of the removed sightings that pass a filter."""
    if not has_removed(run):
        return []
    condition, values = to_condition(where)
    return [name for (name,) in run.execute(f"SELECT DISTINCT id FROM removed WHERE {condition}", values)]


def find_erasable(run: sqlite3.Connection, where: Filter) -> list[str]:
    """Return the ids of the sightings that pass a filter, stored or removed, in their order."""
    condition, values = to_condition(where)
    stored = {name for (name,) in run.execute(f"SELECT id FROM sightings WHERE {condition}", values)}
    return sorted(stored.union(find_removed(run, where)))


def find_removed_of(run: sqlite3.Connection, identities: Sequence[str]) -> list[str]:
    """Return the ids of the removed sightings that identities had."""
    if not has_removed(run):
        return []
    query = f"SELECT DISTINCT id FROM removed WHERE identity {AMONG}"
    return [name for (name,) in run.execute(query, [json.dumps(list(identities))])]


def erase_removed(run: sqlite3.Connection, where: Filter) -> int:
    """Delete the removed sightings that pass a filter; return their number."""
    if not has_removed(run):
        return 0
    condition, values = to_condition(where)
    return run.execute(f"DELETE FROM removed WHERE {condition}", values).rowcount


def drop_lost_answers(run: sqlite3.Connection) -> None:
    """Delete the answers about removed sightings whose other sighting is neither stored nor removed."""
    known = "(SELECT id FROM sightings UNION SELECT id FROM removed)"
    if has_removed(run):
        run.execute(f"DELETE FROM removed_answers WHERE first NOT IN {known} OR second NOT IN {known}")
