"""A gallery in one directory, without a server: SQLite is the truth, FAISS in memory answers.

What is acknowledged is durable. Several processes may read and write: before each search a process catches up with what
the others have committed.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from passerby.errors import GalleryError, NoGalleryError
from passerby.gallery.card import GalleryCard
from passerby.gallery.sightings import EVERYTHING, Added, AuditEntry, Description, Filter, Hit, Removal, Sighting
from passerby.gallery.stored_crops import kept_picture
from passerby.gallery.stores.database import Database
from passerby.gallery.stores.index_follower import EXACT_BELOW, Follower
from passerby.gallery.stores.sqlite_rows import AMONG, FACTS, condition_of, facts_of, insert, read_sightings, rows_of
from passerby.gallery.stores.validation import check_label, check_queries, check_removal, check_sightings
from passerby.types import FloatArray, IntArray


class EmbeddedGallery:
    """One directory. Everything is as `GalleryStore` says; `database.py` has the tables."""

    def __init__(
        self,
        folder: str | Path,
        card: GalleryCard | None = None,
        *,
        who: str,
        clock: Callable[[], float] = time.time,
        exact_below: int = EXACT_BELOW,
    ) -> None:
        """Open the gallery, or make it when it is not there and a card is given.

        Raises:
            GalleryError: When it is not there and no card is given, or cannot be opened.
        """
        self.folder = Path(folder)
        self._who, self._clock, self._exact_below = who, clock, exact_below
        if card is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise GalleryError(f"{self.folder}: cannot be made ({error.strerror}); name another folder") from None
        elif not (self.folder / "gallery.sqlite").is_file():
            raise NoGalleryError(f"{self.folder}: no gallery; give a model to make one, or the folder of one")
        self._base = Database(self.folder)
        try:
            self.card = self._make_or_read(card)
        except BaseException:
            self._base.close()
            raise
        self._follower = Follower(self.card.model.dimension, exact_below=exact_below)
        if self._base.is_erased():
            self._base.cut_log()
        else:  # whoever was to erase it was interrupted, or others were reading
            self._base.erase()

    def _make_or_read(self, card: GalleryCard | None) -> GalleryCard:
        if not self._base.is_made():
            if card is None:
                raise NoGalleryError(f"{self.folder}: no gallery; give a model to make one, or the folder of one")
            with self._base.write() as run:
                if not self._base.is_made():  # another process may have been faster
                    self._base.make()
                    run.execute("INSERT INTO card VALUES (1, ?)", (card.to_json(),))
                    self._log(run, "create")
        with self._base.read() as run:
            text = run.execute("SELECT json FROM card").fetchone()[0]
        return GalleryCard.from_json(text, str(self.folder))

    def add(self, sightings: Sequence[Sighting]) -> Added:
        """As `GalleryStore.add`: one transaction."""
        distinct = check_sightings(sightings, self.card.model.dimension)
        pictures = [kept_picture(each, self.card.pictures) for each in distinct]  # slow: before others have to wait
        now = self._clock()
        new: list[str] = []
        known: list[str] = []
        with self._base.write() as run:
            for each, picture in zip(distinct, pictures, strict=True):
                (new if insert(run, each, picture, now=now) else known).append(each.id)
            self._log(run, "enroll", sightings=len(new), known=len(known))
        return Added(tuple(new), tuple(known))

    def search(
        self, vectors: FloatArray, *, top: int = 10, where: Filter = EVERYTHING, record: bool = True
    ) -> list[list[Hit]]:
        """As `GalleryStore.search`; above `exact_below` sightings and without a filter, nearly all of the nearest."""
        queries = check_queries(vectors, self.card.model.dimension, top=top)
        with self._base.read() as run:
            allowed = None if where.everything else rows_of(run, where)
            nearest = self._follower.nearest(run, queries, top=top, allowed=allowed)
            found = [self._hits(run, rows, distances) for rows, distances in nearest]
        if record:
            self.log("search", queries=len(queries), hits=sum(map(len, found)))
        return found

    @staticmethod
    def _hits(run: sqlite3.Connection, rows: IntArray, distances: FloatArray) -> list[Hit]:
        select = f"SELECT row, {FACTS} FROM sightings WHERE row {AMONG}"
        read = {row: facts_of(facts) for row, *facts in run.execute(select, (json.dumps(rows.tolist()),))}
        return [
            Hit(**read[row], distance=float(distance)) for row, distance in zip(rows.tolist(), distances, strict=True)
        ]

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """As `GalleryStore.get`."""
        with self._base.read() as run:
            found = {each.id: each for each in read_sightings(run, f"id {AMONG}", [json.dumps(list(ids))])}
        missing = [each for each in ids if each not in found]
        if missing:
            raise GalleryError(
                f"{self.folder}: no sighting {missing[0]!r} ({len(missing)} of {len(ids)} ids are not there)"
            )
        return [found[each] for each in ids]

    def walk(self, where: Filter = EVERYTHING, *, batch: int = 1000) -> Iterator[list[Sighting]]:
        """As `GalleryStore.walk`; each batch is a transaction of its own, so that a slow reader blocks nobody."""
        last = ""
        condition, values = condition_of(where)
        while True:
            with self._base.read() as run:
                found = read_sightings(run, f"id > ? AND {condition} ORDER BY id LIMIT ?", [last, *values, batch])
            if not found:
                return
            last = found[-1].id
            yield found

    def remove(self, where: Filter, *, what: Removal = "remove") -> int:
        """As `GalleryStore.remove`. `forget` and `expire` are finished by the next open when they are cut off here.

        Raises:
            GalleryError: When another process kept reading, so that the files could not be rewritten.
        """
        check_removal(where, what)
        condition, values = condition_of(where)
        erase = what != "remove"
        with self._base.write() as run:
            gone = run.execute(f"DELETE FROM sightings WHERE {condition}", values).rowcount
            if gone:
                run.execute("UPDATE state SET removals = removals + 1, erasing = erasing + ?", (erase,))
            self._log(run, what, sightings=gone)
        if gone and erase:
            self.compact()
        return gone

    def relabel(self, where: Filter, label: str | None) -> int:
        """As `GalleryStore.relabel`: one transaction."""
        check_label(where, label)
        condition, values = condition_of(where)
        with self._base.write() as run:
            changed = run.execute(f"UPDATE sightings SET label = ? WHERE {condition}", [label, *values]).rowcount
            self._log(run, "label", sightings=changed)
        return changed

    def compact(self) -> None:
        """As `GalleryStore.compact`; takes the time and the free disk space of a copy.

        Raises:
            GalleryError: When another process kept reading.
        """
        if not self._base.erase():
            raise GalleryError(
                f"{self.folder}: removed, but the files could not be rewritten because another process kept reading; "
                "they will be when the gallery is next opened, or compacted, without it"
            )

    def count(self, where: Filter = EVERYTHING) -> int:
        """As `GalleryStore.count`."""
        condition, values = condition_of(where)
        with self._base.read() as run:
            return int(run.execute(f"SELECT count(*) FROM sightings WHERE {condition}", values).fetchone()[0])

    def labels(self, where: Filter = EVERYTHING) -> int:
        """As `GalleryStore.labels`."""
        condition, values = condition_of(where)
        with self._base.read() as run:
            found = run.execute(f"SELECT count(DISTINCT label) FROM sightings WHERE {condition}", values)
            return int(found.fetchone()[0])

    def describe(self) -> Description:
        """As `GalleryStore.describe`."""
        with self._base.read() as run:
            count, labels, first, last = run.execute(
                "SELECT count(*), count(DISTINCT label), min(time), max(time) FROM sightings"
            ).fetchone()
            cameras = dict(run.execute("SELECT camera, count(*) FROM sightings GROUP BY camera ORDER BY camera"))
        exact = count <= self._exact_below
        return Description(
            address=str(self.folder),
            backend="embedded",
            card=self.card,
            sightings=count,
            labels=labels,
            cameras=cameras,
            first=first,
            last=last,
            bytes=sum(each.stat().st_size for each in self.folder.iterdir() if each.is_file()),
            index="every vector is compared" if exact else f"inverted file; exact with a filter (over {count:,})",
        )

    def audit(self) -> list[AuditEntry]:
        """As `GalleryStore.audit`."""
        with self._base.read() as run:
            lines = run.execute("SELECT time, who, what, counts FROM audit ORDER BY number").fetchall()
        return [AuditEntry(when, who, what, json.loads(counts)) for when, who, what, counts in lines]

    def log(self, what: str, **counts: int) -> None:
        """As `GalleryStore.log`."""
        with self._base.write() as run:
            self._log(run, what, **counts)

    def _log(self, run: sqlite3.Connection, what: str, **counts: int) -> None:
        line = (self._clock(), self._who, what, json.dumps(counts))
        run.execute("INSERT INTO audit (time, who, what, counts) VALUES (?, ?, ?, ?)", line)

    def close(self) -> None:
        """As `GalleryStore.close`."""
        self._base.close()
