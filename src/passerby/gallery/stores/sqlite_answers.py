"""Answers, identities and their history in the SQLite database of a gallery."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.stores.sqlite_database import Database
from passerby.gallery.stores.sqlite_removed import (
    drop_lost_answers,
    find_removed,
    find_removed_of,
    has_removed,
    restore,
    set_aside,
)
from passerby.gallery.stores.sqlite_rows import AMONG
from passerby.reviewing.answers import Answer
from passerby.text import plural
from passerby.types import Result

Observer = Callable[[sqlite3.Connection, Mapping[str, str]], None]
"""Takes the connection inside a transaction, and the first sighting of each identity that the transaction makes."""


@dataclass(frozen=True)
class ReviewAction(Result):
    """One entry of the history of identities.

    Attributes:
        number: Number of the action, by which it is undone.
        time: Seconds since 1970 UTC.
        user: User.
        kind: `answer`, `merge`, `split`, `rename`, `remove`, `import` or `undo`.
        answers: Number of its answers about sightings that are still in the gallery.
        undone: Time at which it was undone; None if it counts.
        undoes: Number of the action that an `undo` took back; None for other kinds.
        removed: Number of sightings that a `remove` took out of the gallery and that can be restored.
    """

    number: int
    time: float
    user: str
    kind: str
    answers: int
    undone: float | None
    undoes: int | None = None
    removed: int = 0


_UNDOS = """CREATE TABLE IF NOT EXISTS undos (
    action INTEGER PRIMARY KEY REFERENCES actions (number),
    undoes INTEGER NOT NULL REFERENCES actions (number)
)"""
"""Made with the first undo: galleries of this schema that were made before have no such table."""


@dataclass(frozen=True)
class StoredIdentity(Result):
    """An identity without its sightings.

    Attributes:
        id: Stable id.
        anchor: Sighting by which it is found again after a merge is undone.
        label: Name; None without one.
    """

    id: str
    anchor: str
    label: str | None


class SqliteAnswers:
    """Answers about the sightings of a gallery, and the identities that follow.

    Answers are removed with their sightings. An answer that is undone stays in the history and counts no more.

    Args:
        database: Database of the gallery.
        address: Name of the gallery in messages.
        user: Name in the history.
        clock: Returns seconds since 1970 UTC.
        changed: Called after sightings were removed or restored.
    """

    def __init__(
        self,
        database: Database,
        *,
        address: str,
        user: str,
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self._database, self._address, self.user = database, address, user
        self._clock, self._changed = clock, changed
        self._observer: Observer | None = None

    def add(self, answers: Sequence[Answer], *, kind: str = "answer") -> int:
        """Store answers as one action; return its number. User and time are added where they are missing.

        Raises:
            GalleryError: If a sighting is not in the gallery; nothing is stored then.
        """
        now = self._clock()
        with self._database.write() as run:
            ids = sorted({name for answer in answers for name in (answer.first, answer.second)})
            found = {name for (name,) in run.execute(f"SELECT id FROM sightings WHERE id {AMONG}", [json.dumps(ids)])}
            missing = [name for name in ids if name not in found]
            if missing:
                raise GalleryError(
                    f"{self._address}: no sighting {missing[0]!r} ({len(missing)} of {plural(len(ids), 'id')} "
                    "missing); no answer was stored"
                )
            action = self._add_action(run, kind)
            run.executemany(
                "INSERT INTO answers (action, first, second, answer, user, time, reason) VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(action, a.first, a.second, a.answer, a.user or self.user, a.time or now, a.reason) for a in answers],
            )
            self._log(run, kind, answers=len(answers))
        return action

    def read(self) -> list[Answer]:
        """Return the answers that count, oldest first."""
        query = (
            "SELECT first, second, answer, answers.user, answers.time, reason, action FROM answers "
            "JOIN actions ON actions.number = action WHERE undone IS NULL ORDER BY answers.number"
        )
        with self._database.read() as run:
            return [Answer(*row) for row in run.execute(query)]

    def history(self) -> list[ReviewAction]:
        """Return all actions, oldest first."""
        query = (
            "SELECT number, time, user, kind, (SELECT count(*) FROM answers WHERE action = actions.number), undone, "
            "{}, {} FROM actions ORDER BY number"
        )
        with self._database.read() as run:
            has_undos = run.execute("SELECT 1 FROM sqlite_master WHERE name = 'undos'").fetchone() is not None
            undoes = "(SELECT undoes FROM undos WHERE undos.action = actions.number)" if has_undos else "NULL"
            removed = "(SELECT count(*) FROM removed WHERE action = actions.number)" if has_removed(run) else "0"
            return [ReviewAction(*row) for row in run.execute(query.format(undoes, removed))]

    def undo(self, action: int | None = None) -> int:
        """Undo an action, None for this user's latest; return its number. The undo is a row of the history itself.

        Raises:
            GalleryError: If there is no such action, it is undone, it is an undo, or what it removed was erased.
        """
        with self._database.write() as run:
            if action is None:
                row = run.execute(
                    "SELECT max(number) FROM actions WHERE user = ? AND undone IS NULL AND kind <> 'undo'", [self.user]
                ).fetchone()
                if row[0] is None:
                    raise GalleryError(f"{self._address}: no action of {self.user!r} to undo; name one of the history")
                action = int(row[0])
            row = run.execute("SELECT undone, kind FROM actions WHERE number = ?", [action]).fetchone()
            if row is None or row[0] is not None or row[1] == "undo":
                state = "no such action" if row is None else "undone before"
                if row is not None and row[1] == "undo":
                    state = "an undo cannot be undone, repeat the action that it took back"
                raise GalleryError(f"{self._address}: action {action}: {state}; see the history")
            for identity, before, after in run.execute(
                "SELECT identity, before, after FROM renames WHERE action = ?", [action]
            ).fetchall():
                changed = run.execute(
                    "UPDATE identities SET label = ? WHERE id = ? AND label IS ?", [before, identity, after]
                )
                if not changed.rowcount:
                    raise GalleryError(
                        f"{self._address}: action {action}: the identity was renamed again since; undo that first"
                    )
            if row[1] == "remove":
                restore(run, action=action, address=self._address)
            run.execute("UPDATE actions SET undone = ? WHERE number = ?", [self._clock(), action])
            run.execute(_UNDOS)
            run.execute("INSERT INTO undos VALUES (?, ?)", [self._add_action(run, "undo"), action])
            self._log(run, "undo", actions=1)
        self._changed()
        return action

    def identities(self) -> list[StoredIdentity]:
        """Return all identities, those without sightings too, the oldest first."""
        with self._database.read() as run:
            return [
                StoredIdentity(*row) for row in run.execute("SELECT id, anchor, label FROM identities ORDER BY rowid")
            ]

    def members(self) -> dict[str, tuple[str, float]]:
        """Return identity and probability by sighting."""
        with self._database.read() as run:
            rows = run.execute("SELECT sighting, identity, probability FROM members").fetchall()
        return {sighting: (identity, probability) for sighting, identity, probability in rows}

    def find_members(self, sightings: Sequence[str]) -> dict[str, str]:
        """Return the identity of those of the sightings that have one."""
        query = f"SELECT sighting, identity FROM members WHERE sighting {AMONG}"
        with self._database.read() as run:
            return dict(run.execute(query, [json.dumps(list(sightings))]).fetchall())

    @contextmanager
    def observe(self, observer: Observer) -> Iterator[None]:
        """Call a function inside each transaction of `set_members` while the context is open."""
        self._observer = observer
        try:
            yield
        finally:
            self._observer = None

    def set_members(self, members: Mapping[str, tuple[str, float]]) -> None:
        """Set the identity of sightings; an identity that is missing is made, with its first sighting as anchor."""
        anchors: dict[str, str] = {}
        for sighting, (identity, _) in members.items():
            anchors.setdefault(identity, sighting)
        with self._database.write() as run:
            if self._observer is not None:
                query = f"SELECT id FROM identities WHERE id {AMONG}"
                known = {name for (name,) in run.execute(query, [json.dumps(list(anchors))])}
            run.executemany("INSERT OR IGNORE INTO identities (id, anchor) VALUES (?, ?)", list(anchors.items()))
            run.executemany(
                "INSERT INTO members SELECT id, ?, ? FROM sightings WHERE id = ? "
                "ON CONFLICT (sighting) DO UPDATE SET identity = excluded.identity, probability = excluded.probability",
                [(identity, probability, sighting) for sighting, (identity, probability) in members.items()],
            )
            if self._observer is not None:
                self._observer(run, {name: anchor for name, anchor in anchors.items() if name not in known})

    def rename(self, identity: str, label: str | None) -> int:
        """Set the label of an identity, None to remove it; return the number of the action.

        Raises:
            GalleryError: If there is no such identity.
        """
        with self._database.write() as run:
            row = run.execute("SELECT label FROM identities WHERE id = ?", [identity]).fetchone()
            if row is None:
                raise GalleryError(f"{self._address}: no identity {identity!r}; see the list of identities")
            action = self._add_action(run, "rename")
            run.execute("UPDATE identities SET label = ? WHERE id = ?", [label, identity])
            run.execute("INSERT INTO renames VALUES (?, ?, ?, ?)", [action, identity, row[0], label])
            self._log(run, "rename", identities=1)
        return action

    def remove(self, sightings: Sequence[str]) -> int:
        """Remove sightings so that `undo` restores them; return the number of the action.

        Raises:
            GalleryError: If one is not in the gallery, or none is given; nothing is removed then.
        """
        with self._database.write() as run:
            action = self._add_action(run, "remove")
            set_aside(run, sightings, action=action, address=self._address)
            run.execute("DELETE FROM survey")  # the draws were made from a larger gallery
            self._log(run, "remove", sightings=len(set(sightings)))
        self._changed()
        return action

    def find_removed(self, where: Filter) -> list[str]:
        """Return the ids of the removed sightings that pass a filter and can be restored."""
        with self._database.read() as run:
            return find_removed(run, where)

    def find_removed_of(self, identities: Sequence[str]) -> list[str]:
        """Return the ids of the removed sightings that identities had."""
        with self._database.read() as run:
            return find_removed_of(run, identities)

    def add_survey(self, rows: Sequence[tuple[str, int, float, float, float]]) -> None:
        """Store drawn sightings: id, number of sightings, expectation, probability and sum of expectations."""
        insert = "INSERT INTO survey (sighting, sightings, expected, chance, total) VALUES (?, ?, ?, ?, ?)"
        with self._database.write() as run:
            run.executemany(insert, rows)

    def survey(self, sightings: int) -> list[tuple[str, float, float, float]]:
        """Return the sightings drawn from a gallery of this size: id, expectation, probability, sum of expectations."""
        query = "SELECT sighting, expected, chance, total FROM survey WHERE sightings = ? ORDER BY number"
        with self._database.read() as run:
            return run.execute(query, [sightings]).fetchall()

    def _add_action(self, run: sqlite3.Connection, kind: str) -> int:
        cursor = run.execute(
            "INSERT INTO actions (time, user, kind) VALUES (?, ?, ?)", [self._clock(), self.user, kind]
        )
        return int(cursor.lastrowid or 0)

    def _log(self, run: sqlite3.Connection, action: str, **counts: int) -> None:
        row = (self._clock(), self.user, action, json.dumps(counts))
        run.execute("INSERT INTO audit (time, user, action, counts) VALUES (?, ?, ?, ?)", row)


def drop_empty_identities(run: sqlite3.Connection) -> None:
    """Remove what is left of identities after their sightings were erased, inside `Database.write`.

    An anchor that was erased is replaced. An identity without sightings is removed with its label, one that was merged
    away too: no record tells whether its sightings were among those erased. A sighting that can be restored counts.
    """
    drop_lost_answers(run)
    run.execute(
        "UPDATE identities SET anchor = "
        "coalesce((SELECT min(sighting) FROM members WHERE identity = identities.id), '') "
        "WHERE anchor NOT IN (SELECT id FROM sightings)"
    )
    removed = " UNION SELECT identity FROM removed WHERE identity IS NOT NULL" if has_removed(run) else ""
    run.execute(f"DELETE FROM identities WHERE id NOT IN (SELECT identity FROM members{removed})")
