"""Store of a gallery in one folder or in memory, without a server: SQLite stores, FAISS in memory searches.

Added sightings are durable. Several processes may read and write: before each search a process reads what the others
have committed.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from passerby.errors import GalleryError
from passerby.gallery.card import GalleryCard, GalleryModel
from passerby.gallery.filters import EVERYTHING, Filter, Removal
from passerby.gallery.results import AddResult, AuditEntry, GalleryStats
from passerby.gallery.sightings import Hit, Sighting
from passerby.gallery.stored_crops import crop_name, encode_stored_crop
from passerby.gallery.stores.index_files import UNSAVED, IndexFiles
from passerby.gallery.stores.index_follower import EXACT_BELOW, IndexFollower
from passerby.gallery.stores.proposals import Candidates, Key, ScoredPart
from passerby.gallery.stores.selection_cache import SelectionCache
from passerby.gallery.stores.sqlite_answers import SqliteAnswers, drop_empty_identities
from passerby.gallery.stores.sqlite_card import read_stored_card, write_card
from passerby.gallery.stores.sqlite_events import NewEvent, SqliteEvents
from passerby.gallery.stores.sqlite_opening import open_database
from passerby.gallery.stores.sqlite_removed import erase_removed, find_erasable
from passerby.gallery.stores.sqlite_rows import (
    AMONG,
    insert,
    read_candidates,
    read_hits,
    read_sightings,
    stack,
    to_condition,
)
from passerby.gallery.stores.validation import check_label, check_queries, check_removal, check_sightings, in_order
from passerby.types import FloatArray


class SqliteStore:
    """Gallery in one folder, or in memory. All methods are those of `GalleryStore`.

    The store is made if it is missing and a card is given.

    Args:
        folder: Folder; None is a new gallery in memory.
        card: Model and settings of a new gallery.
        user: Name in the audit log.
        clock: Returns seconds since 1970 UTC.
        exact_below: Largest number of sightings for which every search is exact.

    Raises:
        NoGalleryError: If the gallery is missing and no card is given.
        GalleryError: If it cannot be opened.
    """

    keeps_answers = True

    def __init__(
        self,
        folder: str | Path | None,
        card: GalleryCard | None = None,
        *,
        user: str,
        clock: Callable[[], float] = time.time,
        exact_below: int = EXACT_BELOW,
    ) -> None:
        self.folder = None if folder is None else Path(folder)
        self.address = "memory" if folder is None else str(folder)
        self.user, self._clock, self._exact_below = user, clock, exact_below
        self._database, self.card = open_database(self.folder, card, address=self.address, log=self._log)
        self._events: SqliteEvents | None = None
        self._selections = SelectionCache()
        self.answers = SqliteAnswers(
            self._database, address=self.address, user=user, clock=clock, changed=self._selections.clear
        )
        self._files = None if self.folder is None else IndexFiles(self.folder)
        self._follower = IndexFollower(self.card.model.dimension, exact_below=exact_below, files=self._files)
        self._added = 0
        if self._database.is_erased():
            self._database.cut_log()
        else:  # an earlier erasure was interrupted, or could not finish because of readers
            self._erase()

    @property
    def events(self) -> SqliteEvents:
        """Events that wait for delivery by a service."""
        if self._events is None:
            self._events = SqliteEvents(self._database)
        return self._events

    def add(self, sightings: Sequence[Sighting]) -> AddResult:
        """Add sightings in one transaction; see `GalleryStore.add`."""
        return self.add_reported(sightings, (), targets=())

    def add_reported(
        self, sightings: Sequence[Sighting], events: Sequence[NewEvent], *, targets: Sequence[str]
    ) -> AddResult:
        """Add sightings and the events about them in one transaction: neither is stored without the other.

        Args:
            sightings: As for `add`.
            events: Events about them; those about sightings that are known are left out.
            targets: Names of the receivers.
        """
        distinct = check_sightings(sightings, self.card.model.dimension)
        # Crops are encoded before the transaction, so that other processes do not wait for it.
        crops = [encode_stored_crop(item.crop, self.card.keep, name=crop_name(item)) for item in distinct]
        now, queue = self._clock(), self.events if events else SqliteEvents
        new: list[str] = []
        known: list[str] = []
        with self._database.write() as run:
            for sighting, crop in zip(distinct, crops, strict=True):
                (new if insert(run, sighting, crop, now=now) else known).append(sighting.id)
            if reported := [event for event in events if event.sighting in {*new}]:
                queue.insert(run, reported, targets=targets, time=now)
            self._log(run, "enroll", sightings=len(new), known=len(known))
        self._selections.clear()
        self._added += len(new)
        return AddResult(tuple(new), tuple(known))

    def stored_labels(self, ids: Sequence[str]) -> dict[str, str | None]:
        """Return the labels of stored ids; see `GalleryStore.stored_labels`."""
        with self._database.read() as run:
            return dict(run.execute(f"SELECT id, label FROM sightings WHERE id {AMONG}", [_to_json(ids)]).fetchall())

    def search(
        self, vectors: ArrayLike, *, top: int = 10, where: Filter = EVERYTHING, record: bool = True
    ) -> list[list[Hit]]:
        """Find the nearest sightings; see `GalleryStore.search`.

        Above `exact_below` sightings a search without a filter may miss some of the nearest.
        """
        queries = check_queries(vectors, self.card.model.dimension, top=top)
        with self._database.read() as run:
            allowed = None if where.selects_all else self._selections.find_rows(run, where)
            nearest = self._follower.find_nearest(run, queries, top=top, allowed=allowed)
            hits = [read_hits(run, rows, distances) for rows, distances in nearest]
        self._follower.save(self._database)
        if record:
            self.log("search", queries=len(queries), hits=sum(map(len, hits)))
        return hits

    def propose(self, parts: Sequence[ScoredPart], *, count: int) -> list[list[Key]]:
        """Find the rows with the best scores; see `GalleryStore.propose`."""
        dimension = self.card.model.dimension
        parts = [replace(part, directions=check_queries(part.directions, dimension, top=count)) for part in parts]
        with self._database.read() as run:
            allowed = [self._selections.find_rows(run, part.where) for part in parts]
            proposed = self._follower.propose(run, parts, count=count, allowed=allowed)
        self._follower.save(self._database)
        return [[*rows] for rows in proposed]

    def read_proposed(self, keys: Sequence[Key]) -> Candidates:
        """Read the sightings of rows; see `GalleryStore.read_proposed`."""
        with self._database.read() as run:
            return read_candidates(run, [int(key) for key in keys], self.card.model.dimension)

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """Return sightings with vectors and crops; see `GalleryStore.get`."""
        with self._database.read() as run:
            sightings = {sighting.id: sighting for sighting in read_sightings(run, f"id {AMONG}", [_to_json(ids)])}
        return in_order(sightings, ids, self.address)

    def draw_vectors(self, count: int, *, seed: int) -> tuple[list[str], FloatArray]:
        """Draw sightings at random: the camera and the vector of each.

        Args:
            count: Largest number of sightings.
            seed: Seed of the draw.

        Returns:
            N cameras, (N, D) vectors.
        """
        generator = np.random.default_rng(seed)
        with self._database.read() as run:
            (last,) = run.execute("SELECT ifnull(max(row), 0) FROM sightings").fetchone()
            # Rows of removed sightings are missing, so that more are drawn; without a pass over the whole table.
            rows = (
                generator.permutation(last)[: 4 * count] if last <= 100_000 else generator.integers(0, last, 4 * count)
            )
            query = f"SELECT camera, vector FROM sightings JOIN vectors USING (row) WHERE row {AMONG}"
            drawn = run.execute(query, [_to_json((1 + np.unique(rows)).tolist())]).fetchall()
        chosen = generator.permutation(len(drawn))[:count]
        return [drawn[i][0] for i in chosen], stack([drawn[i][1] for i in chosen], self.card.model.dimension)

    def count_removals(self) -> int:
        """Return the number of removals so far: what is kept of sightings outside the store is old when it changes."""
        with self._database.read() as run:
            return int(run.execute("SELECT removals FROM state").fetchone()[0])

    def walk(
        self, where: Filter = EVERYTHING, *, batch: int = 1000, crops: bool = True, after: str = ""
    ) -> Iterator[list[Sighting]]:
        """Iterate over sightings; see `GalleryStore.walk`. Each batch is one transaction, so readers do not block."""
        last = after
        condition, values = to_condition(where)
        while True:
            with self._database.read() as run:
                # SQLite would read the vectors of all that pass, and sort them, before it takes the first.
                first = f"SELECT row FROM sightings WHERE id > ? AND {condition} ORDER BY id LIMIT ?"
                sightings = read_sightings(run, f"row IN ({first}) ORDER BY id", [last, *values, batch], crops=crops)
            if not sightings:
                return
            last = sightings[-1].id
            yield sightings

    def find_ids(self, where: Filter) -> list[str]:
        """Return the ids that an erasure erases; see `GalleryStore.find_ids`."""
        with self._database.read() as run:
            return find_erasable(run, where)

    def remove(self, where: Filter, *, action: Removal = "remove") -> int:
        """Remove sightings; see `GalleryStore.remove`.

        `forget` and `expire` are completed when the gallery is next opened, if they are interrupted.

        Raises:
            GalleryError: If another process kept reading, so that the files could not be rewritten.
        """
        check_removal(where, action)
        condition, values = to_condition(where)
        erase = action != "remove"
        with self._database.write() as run:
            removed = run.execute(f"DELETE FROM sightings WHERE {condition}", values).rowcount
            removed += erase_removed(run, where) if erase else 0
            if removed:
                drop_empty_identities(run)
                run.execute("UPDATE state SET removals = removals + 1, erasing = erasing + ?", (erase,))
            self._log(run, action, sightings=removed)
        self._selections.clear()
        if removed and erase:
            self.compact()
        return removed

    def relabel(self, where: Filter, label: str | None) -> int:
        """Set labels in one transaction; see `GalleryStore.relabel`."""
        check_label(where, label)
        condition, values = to_condition(where)
        with self._database.write() as run:
            changed = run.execute(f"UPDATE sightings SET label = ? WHERE {condition}", [label, *values]).rowcount
            self._log(run, "label", sightings=changed)
        self._selections.clear()
        return changed

    def set_retention(self, days: float | None) -> None:
        """Change the retention; see `GalleryStore.set_retention`."""
        counts = {} if days is None else {"days": round(days)}
        self._change_card(lambda card: replace(card, retention=days), "retention", **counts)

    def accept_model(self, model: GalleryModel) -> None:
        """Accept the vectors of another model; see `GalleryStore.accept_model`."""
        self._change_card(lambda card: card.accept(model), "accept")

    def _change_card(self, change: Callable[[GalleryCard], GalleryCard], action: str, **counts: int) -> None:
        """Change the stored card, which another process may have changed since it was read."""
        with self._database.write() as run:
            card = change(read_stored_card(run, self.address))
            write_card(run, card)
            self._log(run, action, **counts)
        self.card = card

    def compact(self) -> None:
        """Rewrite the file without removed sightings; takes the time and the free disk space of a copy.

        Raises:
            GalleryError: If another process kept reading.
        """
        if not self._erase():
            raise GalleryError(
                f"{self.address}: removed, but the files could not be rewritten because another process kept reading; "
                "they will be rewritten when the gallery is next opened without it"
            )

    def _erase(self) -> bool:
        if self._files is not None:
            self._files.erase(self._database)
        return self._database.erase()

    def count(self, where: Filter = EVERYTHING) -> int:
        """Count sightings; see `GalleryStore.count`."""
        return self._count("*", where)

    def count_labels(self, where: Filter = EVERYTHING) -> int:
        """Count different labels; see `GalleryStore.count_labels`."""
        return self._count("DISTINCT label", where)

    def _count(self, what: str, where: Filter) -> int:
        with self._database.read() as run:
            return self._selections.count(run, what, where)

    def stats(self) -> GalleryStats:
        """Return size, contents and settings; see `GalleryStore.stats`."""
        with self._database.read() as run:
            count, labels, first, last = run.execute(
                "SELECT count(*), count(DISTINCT label), min(time), max(time) FROM sightings"
            ).fetchone()
            cameras = dict(run.execute("SELECT camera, count(*) FROM sightings GROUP BY camera ORDER BY camera"))
        files = [] if self.folder is None else [path for path in self.folder.rglob("*") if path.is_file()]
        exact = count <= self._exact_below
        return GalleryStats(
            address=self.address,
            store="memory" if self.folder is None else "sqlite",
            card=self.card,
            sightings=count,
            labels=labels,
            cameras=cameras,
            first=first,
            last=last,
            bytes=sum(path.stat().st_size for path in files),
            index="exact" if exact else f"inverted file; exact with a filter (over {count:,})",
        )

    def audit(self) -> list[AuditEntry]:
        """Return the audit log; see `GalleryStore.audit`."""
        with self._database.read() as run:
            rows = run.execute("SELECT time, user, action, counts FROM audit ORDER BY number").fetchall()
        return [AuditEntry(moment, user, action, json.loads(counts)) for moment, user, action, counts in rows]

    def log(self, action: str, **counts: int) -> None:
        """Add a line to the audit log; see `GalleryStore.log`."""
        with self._database.write() as run:
            self._log(run, action, **counts)

    def _log(self, run: sqlite3.Connection, action: str, **counts: int) -> None:
        row = (self._clock(), self.user, action, json.dumps(counts))
        run.execute("INSERT INTO audit (time, user, action, counts) VALUES (?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close the database; see `GalleryStore.close`. After many additions the index is written first."""
        if self._added >= UNSAVED and self.count() > self._exact_below:
            with self._database.read() as run:
                self._follower.update(run)
            self._follower.save(self._database)
        self._added = 0
        self._database.close()


def _to_json(values: Sequence[str] | Sequence[int]) -> str:
    return json.dumps(list(values))
