"""Files of the index of a large gallery, beside its database, so that opening the gallery builds nothing.

`index.json` names the cells' centers, the parts (see `faiss_index.Part`), and the state of the database of which they
are the vectors: the number of removals, and the last line of the audit log, which a database of another history does
not have. Every file is written under a new name before `index.json` is replaced. Files that it does not name are
deleted. A process that writes or erases holds a lock between processes.

N vectors   D embedding width   C cells
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import PasserbyError, explain
from passerby.files import hold_lock, make_private, read_json, write_atomic
from passerby.gallery.stores.faiss_index import InvertedFile, Part
from passerby.gallery.stores.row_numbers import NO_ROWS, subtract_rows
from passerby.gallery.stores.sqlite_database import FILE, Database
from passerby.gallery.stores.sqlite_rows import rank_by_camera, select_rows
from passerby.text import plural
from passerby.types import FloatArray, IntArray

FOLDER = f"{FILE}-index"
UNSAVED = 25_000
"""Vectors in memory at which they are written; reading so many from the database takes less than a second."""
GROWTH = 4
"""A part is joined with the next one that is written, unless it has more than this many times its vectors."""
_FORMAT = 1
_NAME = re.compile(r"[0-9a-f]{16}")
_LAST = "SELECT number, time FROM audit ORDER BY number DESC LIMIT 1"
_DAMAGED = (OSError, ValueError, TypeError, KeyError)
_NEVER = (0, 0.0)
_Named = tuple[str, tuple[int, ...]]
"""Name of a part and the numbers of vectors of its cells."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _State:
    """Content of `index.json`."""

    format: int
    probes: int
    removals: int
    removed: int  # rows in the parts that the database no longer had
    audit: tuple[int, float]
    centers: str
    parts: tuple[_Named, ...]


class IndexFiles:
    """The files of one gallery.

    Args:
        gallery: Folder of the gallery.
    """

    def __init__(self, gallery: Path) -> None:
        self.folder = gallery / FOLDER
        self._known: _State | None = None  # of which the index of this process was read or written
        self._failed = False

    def load(self, run: sqlite3.Connection, dimension: int) -> InvertedFile | None:
        """Return the stored index without the rows that the database no longer has, or None.

        Args:
            run: Inside `Database.read`.
            dimension: D.
        """
        try:
            self._known = self._read_if_whole()
            state, index = self._read(dimension)
        except FileNotFoundError:
            return None
        except (*_DAMAGED, PasserbyError) as error:
            _log.warning("%s: not used (%s); the index is built from the database", self.folder, explain(error))
            return None
        number, time = state.audit
        if run.execute("SELECT time FROM audit WHERE number = ?", (number,)).fetchone() != (time,):
            _log.warning("%s: of another gallery; the index is built from the database", self.folder)
            return None
        (last,) = run.execute("SELECT seq FROM sqlite_sequence WHERE name = 'sightings'").fetchone()
        if index.rows.max(initial=0) > last:
            _log.warning("%s: has rows that the database never had; it is built from the database", self.folder)
            return None
        ((removals,),) = run.execute("SELECT removals FROM state")
        if removals != state.removals or state.removed:
            index.set_parts(index.parts, removed=subtract_rows(index.rows, select_rows(run)))
        return index

    def save(self, index: InvertedFile, database: Database, removals: int) -> bool:
        """Write the vectors in memory as a part, joined with small parts, and map them.

        Args:
            index: The index, with exactly the vectors of a state of the database.
            database: Outside a transaction.
            removals: Number of removals in that state.

        Returns:
            False if another process has written or erased meanwhile: the index has to be loaded again.
        """
        if self._failed:
            return True
        try:
            self.folder.mkdir(mode=0o700, exist_ok=True)
            with hold_lock(self.folder / "lock", wait=False):
                try:
                    return self._save(index, database, removals)
                finally:
                    self._clean()
        except BlockingIOError:  # another process writes; the next search tries again
            return True
        except (OSError, PasserbyError) as error:
            self._failed = True  # a full disk would be filled again by each search
            reason = explain(error)
            _log.warning("%s: not written (%s); the next opening reads the database", self.folder, reason)
            return True

    def _save(self, index: InvertedFile, database: Database, removals: int) -> bool:
        state = self._read_if_whole()
        if state != self._known:
            return False
        kept = list(index.parts)
        joined: list[Part] = [index.tail]
        count = len(index.tail.rows)
        if len(index.removed) > sum(len(part.rows) for part in kept) // 5:
            joined, kept = [*kept, index.tail], []
        while kept and len(kept[-1].rows) <= GROWTH * count:
            joined.insert(0, kept.pop())
            count += len(joined[0].rows)
        known = {} if state is None else dict(state.parts)
        names = [self._name(part) for part in kept]
        removed = np.intersect1d(
            index.removed, np.concatenate([NO_ROWS, *(part.rows for part in kept)]), assume_unique=True
        )
        with database.read() as run:
            ranks = rank_by_camera(run)
        written = self._write_part(joined, index.removed, index.cells, ranks)
        centers = state.centers if state and kept else self._write_array(index.centers)
        parts = (*((name, known[name]) for name in names), *written)
        published = self._publish(
            database, _State(_FORMAT, index.probes, removals, len(removed), _NEVER, centers, parts)
        )
        if published:
            index.set_parts([*kept, *(self._open(index, *part) for part in written)], removed=removed)
        return published

    def erase(self, database: Database) -> None:
        """Write parts that have vectors of removed rows again, without them; delete all files where this fails."""
        if not self.folder.is_dir():
            return
        with hold_lock(self.folder / "lock", wait=True):
            try:
                self._erase_rows(database)
            except (*_DAMAGED, PasserbyError) as error:
                if not isinstance(error, FileNotFoundError):
                    _log.warning("%s: deleted (%s); the next search builds it", self.folder, explain(error))
                (self.folder / "index.json").unlink(missing_ok=True)
            self._clean()

    def _erase_rows(self, database: Database) -> None:
        with database.read() as run:
            vector = run.execute("SELECT vector FROM vectors LIMIT 1").fetchone()
            if vector is None:
                raise FileNotFoundError("no vector is left")
            state, index = self._read(len(vector[0]) // 4)
            ((removals,),) = run.execute("SELECT removals FROM state")
            removed = subtract_rows(index.rows, select_rows(run))
            ranks = rank_by_camera(run)
        parts: list[_Named] = []
        for part, named in zip(index.parts, state.parts, strict=True):
            touched = np.isin(part.rows, removed).any()
            parts += self._write_part([part], removed, index.cells, ranks) if touched else [named]
        if not self._publish(database, replace(state, removals=removals, removed=0, parts=tuple(parts))):
            raise ValueError("sightings were removed meanwhile")

    def discard(self) -> None:
        """Delete all files."""
        self._known = None
        with hold_lock(self.folder / "lock", wait=True):
            (self.folder / "index.json").unlink(missing_ok=True)
            self._clean()

    def _publish(self, database: Database, state: _State) -> bool:
        """Replace `index.json` unless rows were removed meanwhile; removals wait until the transaction here ends."""
        with database.write() as run:
            if run.execute("SELECT removals FROM state").fetchone() != (state.removals,):
                return False
            number, time = run.execute(_LAST).fetchone()
            state = replace(state, audit=(number, time))
            write_atomic(self.folder / "index.json", json.dumps(asdict(state)).encode(), private=True)
        self._known = state
        return True

    def _read_if_whole(self) -> _State | None:
        try:
            return self._read_state()
        except _DAMAGED:
            return None

    def _read_state(self) -> _State | None:
        try:
            values = read_json(self.folder / "index.json")
        except FileNotFoundError:
            return None
        if values["format"] != _FORMAT:
            raise ValueError(f"format {values['format']}, this version reads {_FORMAT}")
        parts = tuple((str(name), tuple(map(int, sizes))) for name, sizes in values["parts"])
        number, time = values["audit"]
        state = _State(
            _FORMAT,
            int(values["probes"]),
            int(values["removals"]),
            int(values["removed"]),
            (int(number), float(time)),
            str(values["centers"]),
            parts,
        )
        if not all(_NAME.fullmatch(name) for name in (state.centers, *(name for name, _ in parts))):
            raise ValueError("index.json: names a file that is none of the index")
        if state.probes < 1 or any(not 0 <= size < 2**40 for _, sizes in parts for size in sizes):
            raise ValueError("index.json: a number is out of range")
        return state

    def _read(self, dimension: int) -> tuple[_State, InvertedFile]:
        state = self._read_state()
        if state is None:
            raise FileNotFoundError(self.folder / "index.json")
        centers = self._read_array(state.centers, np.float32)
        if centers.ndim != 2 or centers.shape[1] != dimension or not len(centers):
            raise ValueError(f"{state.centers}.npy: shape {centers.shape}, expected (C, {dimension})")
        index = InvertedFile(centers, probes=state.probes)
        index.set_parts([self._open(index, *part) for part in state.parts], removed=NO_ROWS)
        return state, index

    def _open(self, index: InvertedFile, name: str, sizes: Sequence[int]) -> Part:
        rows = self._read_array(name, np.int64)
        path = self.folder / f"{name}.cells"
        expected = sum(sizes) * (2 * index.centers.shape[1] + 8)
        size = path.stat().st_size
        if len(sizes) != index.cells or rows.shape != (sum(sizes),) or size != expected or not path.is_file():
            raise ValueError(f"{path.name}: {plural(size, 'byte')}, expected {expected:,}")
        return index.open_part(path, np.array(sizes, np.uint64), rows)

    @staticmethod
    def _name(part: Part) -> str:
        assert part.path is not None
        return part.path.stem

    def _write_part(self, parts: Sequence[Part], removed: IntArray, cells: int, ranks: IntArray) -> list[_Named]:
        """Write the vectors of parts, without removed rows, as one part; the list is empty if none is left.

        In a cell, vectors are in the order of `ranks` by row, those of one camera together: a search of one camera
        then reads memory in order.
        """
        rows = np.concatenate([part.rows for part in parts])
        dropped = np.zeros(int(rows.max(initial=0)) + 1, np.bool_)
        dropped[removed[removed < len(dropped)]] = True
        if dropped[rows].all():
            return []
        name, sizes, written = secrets.token_hex(8), [], [NO_ROWS]
        path = self.folder / f"{name}.cells"
        make_private(path)
        with path.open("wb") as file:
            for cell in range(cells):
                codes, ids = map(np.concatenate, zip(*(part.read_cell(cell) for part in parts), strict=True))
                chosen = np.flatnonzero(~dropped[ids])
                chosen = chosen[np.argsort(ranks[ids[chosen]])]
                ids = ids[chosen]
                file.write(codes[chosen].tobytes())
                file.write(ids.tobytes())
                written.append(ids)
                sizes.append(len(ids))
            file.flush()
            os.fsync(file.fileno())
        self._write_array(np.concatenate(written), name)
        return [(name, tuple(sizes))]

    def _write_array(self, array: FloatArray | IntArray, name: str | None = None) -> str:
        name = secrets.token_hex(8) if name is None else name
        path = self.folder / f"{name}.npy"
        make_private(path)
        with path.open("wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        return name

    def _read_array(self, name: str, kind: Any) -> Any:
        path = self.folder / f"{name}.npy"
        if not path.is_file():
            raise ValueError(f"{path.name}: no such file")
        array = np.load(path, allow_pickle=False)
        if array.dtype != kind:
            raise ValueError(f"{path.name}: numbers of type {array.dtype}, expected {np.dtype(kind)}")
        if kind is np.int64 and len(array) and not 0 < array.min() <= array.max() < 2**48:
            raise ValueError(f"{path.name}: a row number is out of range")
        return array

    def _clean(self) -> None:
        """Delete the files that `index.json` does not name; the lock is held."""
        state = self._read_if_whole()
        names = set() if state is None else {state.centers, *(name for name, _ in state.parts)}
        for path in self.folder.iterdir():
            if path.stem not in names and path.name not in ("index.json", "lock"):
                path.unlink(missing_ok=True)
