"""Store of a gallery in one folder or in memory, without a server: SQLite stores, FAISS in memory searches.

Added sightings are durable. Several processes may read and write: before each search a process reads what the others
have committed.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from numpy.typing import ArrayLike

from passerby.errors import GalleryError, NoGalleryError
from passerby.gallery.card import GalleryCard
from passerby.gallery.filters import EVERYTHING, Filter, Removal
from passerby.gallery.results import AddResult, AuditEntry, GalleryStats
from passerby.gallery.sightings import Hit, Sighting
from passerby.gallery.stored_crops import crop_name, encode_stored_crop
from passerby.gallery.stores.index_follower import EXACT_BELOW, IndexFollower
from passerby.gallery.stores.sqlite_database import COPY, FILE, Database
from passerby.gallery.stores.sqlite_rows import AMONG, INFO, insert, read_sightings, select_rows, to_condition, to_info
from passerby.gallery.stores.validation import check_label, check_queries, check_removal, check_sightings
from passerby.types import FloatArray, IntArray


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
        self._user, self._clock, self._exact_below = user, clock, exact_below
        self._missing = NoGalleryError(f"{self.address}: no gallery; give a model to make one, or an existing gallery")
        if self.folder is not None:
            self._require_folder(self.folder, make=card is not None)
        elif card is None:
            raise self._missing
        self._database = Database(self.folder)
        try:
            self.card = self._make_or_read(card)
            if self.folder is not None:
                (self.folder / COPY).unlink(missing_ok=True)  # of a conversion that was killed after its completion
        except BaseException:
            self._database.close()
            raise
        self._follower = IndexFollower(self.card.model.dimension, exact_below=exact_below)
        if self._database.is_erased():
            self._database.cut_log()
        else:  # an earlier erasure was interrupted, or could not finish because of readers
            self._database.erase()

    def _require_folder(self, folder: Path, *, make: bool) -> None:
        if not make:
            if not (folder / FILE).is_file():
                raise self._missing
            return
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise GalleryError(f"{folder}: cannot be made ({error.strerror}); name another folder") from None

    def _make_or_read(self, card: GalleryCard | None) -> GalleryCard:
        if not self._database.has_tables():
            if card is None:
                raise self._missing
            with self._database.write() as run:
                if not self._database.has_tables():  # another process may have been faster
                    self._database.make_tables()
                    run.execute("INSERT INTO card VALUES (1, ?)", (card.to_json(),))
                    self._log(run, "create")
        with self._database.read() as run:
            text = run.execute("SELECT json FROM card").fetchone()[0]
        return GalleryCard.from_json(text, self.address)

    def add(self, sightings: Sequence[Sighting]) -> AddResult:
        """Add sightings in one transaction; see `GalleryStore.add`."""
        distinct = check_sightings(sightings, self.card.model.dimension)
        # Crops are encoded before the transaction, so that other processes do not wait for it.
        crops = [encode_stored_crop(item.crop, self.card.keep, name=crop_name(item)) for item in distinct]
        now = self._clock()
        new: list[str] = []
        known: list[str] = []
        with self._database.write() as run:
            for sighting, crop in zip(distinct, crops, strict=True):
                (new if insert(run, sighting, crop, now=now) else known).append(sighting.id)
            self._log(run, "enroll", sightings=len(new), known=len(known))
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
            allowed = None if where.selects_all else select_rows(run, where)
            nearest = self._follower.find_nearest(run, queries, top=top, allowed=allowed)
            hits = [self._read_hits(run, rows, distances) for rows, distances in nearest]
        if record:
            self.log("search", queries=len(queries), hits=sum(map(len, hits)))
        return hits

    @staticmethod
    def _read_hits(run: sqlite3.Connection, rows: IntArray, distances: FloatArray) -> list[Hit]:
        cursor = run.execute(f"SELECT row, {INFO} FROM sightings WHERE row {AMONG}", [_to_json(rows.tolist())])
        infos = {row: to_info(columns) for row, *columns in cursor}
        return [Hit(**infos[row], distance=float(x)) for row, x in zip(rows.tolist(), distances, strict=True)]

    def propose(self, vectors: ArrayLike, *, count: int, where: Filter) -> list[tuple[list[str], FloatArray]]:
        """Find candidates for the nearest sightings; see `GalleryStore.propose`."""
        queries = check_queries(vectors, self.card.model.dimension, top=count)
        with self._database.read() as run:
            allowed = None if where.selects_all else select_rows(run, where)
            proposals = []
            for rows, distances in self._follower.propose(run, queries, count=count, allowed=allowed):
                cursor = run.execute(f"SELECT row, id FROM sightings WHERE row {AMONG}", [_to_json(rows.tolist())])
                ids = dict(cursor.fetchall())
                proposals.append(([ids[row] for row in rows.tolist()], distances))
        return proposals

    def get(self, ids: Sequence[str]) -> list[Sighting]:
        """Return sightings with vectors and crops; see `GalleryStore.get`."""
        with self._database.read() as run:
            sightings = {sighting.id: sighting for sighting in read_sightings(run, f"id {AMONG}", [_to_json(ids)])}
        missing = [name for name in ids if name not in sightings]
        if missing:
            raise GalleryError(f"{self.address}: no sighting {missing[0]!r} ({len(missing)} of {len(ids)} ids missing)")
        return [sightings[name] for name in ids]

    def walk(self, where: Filter = EVERYTHING, *, batch: int = 1000, crops: bool = True) -> Iterator[list[Sighting]]:
        """Iterate over sightings; see `GalleryStore.walk`. Each batch is one transaction, so readers do not block."""
        last = ""
        condition, values = to_condition(where)
        while True:
            with self._database.read() as run:
                selection = f"id > ? AND {condition} ORDER BY id LIMIT ?"
                sightings = read_sightings(run, selection, [last, *values, batch], crops=crops)
            if not sightings:
                return
            last = sightings[-1].id
            yield sightings

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
            if removed:
                run.execute("UPDATE state SET removals = removals + 1, erasing = erasing + ?", (erase,))
            self._log(run, action, sightings=removed)
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
        return changed

    def compact(self) -> None:
        """Rewrite the file without removed sightings; takes the time and the free disk space of a copy.

        Raises:
            GalleryError: If another process kept reading.
        """
        if not self._database.erase():
            raise GalleryError(
                f"{self.address}: removed, but the files could not be rewritten because another process kept reading; "
                "they will be rewritten when the gallery is next opened without it"
            )

    def count(self, where: Filter = EVERYTHING) -> int:
        """Count sightings; see `GalleryStore.count`."""
        return self._count("*", where)

    def count_labels(self, where: Filter = EVERYTHING) -> int:
        """Count different labels; see `GalleryStore.count_labels`."""
        return self._count("DISTINCT label", where)

    def _count(self, what: str, where: Filter) -> int:
        condition, values = to_condition(where)
        with self._database.read() as run:
            return int(run.execute(f"SELECT count({what}) FROM sightings WHERE {condition}", values).fetchone()[0])

    def stats(self) -> GalleryStats:
        """Return size, contents and settings; see `GalleryStore.stats`."""
        with self._database.read() as run:
            count, labels, first, last = run.execute(
                "SELECT count(*), count(DISTINCT label), min(time), max(time) FROM sightings"
            ).fetchone()
            cameras = dict(run.execute("SELECT camera, count(*) FROM sightings GROUP BY camera ORDER BY camera"))
        files = [] if self.folder is None else [path for path in self.folder.iterdir() if path.is_file()]
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
        row = (self._clock(), self._user, action, json.dumps(counts))
        run.execute("INSERT INTO audit (time, user, action, counts) VALUES (?, ?, ?, ?)", row)

    def close(self) -> None:
        """Close the database; see `GalleryStore.close`."""
        self._database.close()


def _to_json(values: Sequence[str] | Sequence[int]) -> str:
    return json.dumps(list(values))
