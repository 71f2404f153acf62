"""Index that follows a database, and the exact order of the candidates that it returns.

FAISS returns candidates, their exact distances are computed from the stored vectors, and the search is widened until
rounding cannot have hidden a nearer sighting. Only an unfiltered search of a large gallery is approximate.

D embedding width   Q queries   N vectors   K candidates
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from passerby.gallery.stores.exact_distances import exact_distances, nearest_first
from passerby.gallery.stores.faiss_index import (
    VECTORS_PER_CELL,
    DamagedIndexError,
    ExactIndex,
    InvertedFile,
    count_cells,
)
from passerby.gallery.stores.index_files import UNSAVED, IndexFiles
from passerby.gallery.stores.near_cells import NearCells
from passerby.gallery.stores.proposals import Key, Proposal, ScoredPart, merge_proposals
from passerby.gallery.stores.row_numbers import subtract_rows
from passerby.gallery.stores.sqlite_database import Database
from passerby.gallery.stores.sqlite_rows import AMONG, select_rows, stack
from passerby.types import FloatArray, IntArray

EXACT_BELOW = 200_000
"""Largest number of sightings for which every search compares with all of them."""
FEW = 1000
"""Largest number of rows that are compared without FAISS."""
_MORE = 32  # proposals of a part beyond twice its share
_CHUNK = 4096  # vectors read at a time
_TUNING_QUERIES = 24  # vectors whose true neighbors are computed when an inverted file is made

_Index = ExactIndex | InvertedFile
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class IndexFollower:
    """An index that is updated inside the reader's transaction before each search.

    Args:
        dimension: D.
        exact_below: Largest number of sightings for which every search is exact.
        files: Files of the index of a large gallery; None keeps it in memory.
    """

    def __init__(self, dimension: int, *, exact_below: int = EXACT_BELOW, files: IndexFiles | None = None) -> None:
        self._dimension, self._exact_below, self._files = dimension, exact_below, files
        # Made by the first search: a process that only adds needs none.
        self._index: _Index | None = None
        self._removals = 0
        self._near_cells = NearCells()

    def find_nearest(
        self, run: sqlite3.Connection, queries: FloatArray, *, top: int, allowed: IntArray | None
    ) -> list[tuple[IntArray, FloatArray]]:
        """Return rows and exact distances of each query's nearest, nearest first.

        Args:
            run: Inside `Database.read`.
            queries: (Q, D) unit vectors.
            top: Largest number of rows per query.
            allowed: Rows to search; None is all, for which a search of a large gallery is approximate.
        """
        return self._search(run, lambda index: list(self._find_nearest(run, index, queries, top=top, allowed=allowed)))

    def _find_nearest(
        self, run: sqlite3.Connection, index: _Index, queries: FloatArray, *, top: int, allowed: IntArray | None
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        pool = index.rows if allowed is None else allowed
        if len(pool) <= FEW:
            for query in queries:
                ids, distances = self._compute_distances(run, query, pool)
                best = nearest_first(distances, ids, top=top)
                yield pool[best], distances[best]
            return
        candidates = index.search(queries, count=2 * top + 50, allowed=allowed)
        for query, rows, approximate in zip(queries, *candidates, strict=True):
            yield self._settle(run, index, query, (rows, approximate), top=top, allowed=allowed)

    def propose(
        self, run: sqlite3.Connection, parts: Sequence[ScoredPart], *, count: int, allowed: Sequence[IntArray]
    ) -> list[list[int]]:
        """Return the rows of each query's best scores, best first; see `GalleryStore.propose`.

        Args:
            run: Inside `Database.read`.
            parts: Parts with unit directions.
            count: Largest number of rows per query.
            allowed: Rows of each part.
        """
        return self._search(run, lambda index: self._propose(run, index, parts, count=count, allowed=allowed))

    def _propose(
        self,
        run: sqlite3.Connection,
        index: _Index,
        parts: Sequence[ScoredPart],
        *,
        count: int,
        allowed: Sequence[IntArray],
    ) -> list[list[int]]:
        if isinstance(index, ExactIndex):
            return index.propose(parts, allowed, count=count)
        points = [part.near for part in parts if part.near is not None]
        near = len(points) == len(parts)
        probes = self._near_cells.probes(index) if near else None
        if probes is not None:
            cells = np.split(self._near_cells.find(index, np.concatenate(points), probes), len(parts))
            merged = self._search_parts(index, parts, count=count, allowed=allowed, cells=cells)
            if all(len(best) == count for best in merged):
                return [[int(row) for _, row in best] for best in merged]
        merged = self._search_parts(index, parts, count=count, allowed=allowed, cells=[None] * len(parts))
        if near and probes is None:
            for number, best in enumerate(merged):
                vectors = self._read_vectors(run, [int(row) for _, row in best])
                self._near_cells.note(index, np.stack([points[place][number] for place, _ in best]), vectors)
        return [[int(row) for _, row in best] for best in merged]

    @staticmethod
    def _search_parts(
        index: InvertedFile,
        parts: Sequence[ScoredPart],
        *,
        count: int,
        allowed: Sequence[IntArray],
        cells: Sequence[IntArray | None],
    ) -> list[list[tuple[int, Key]]]:
        """Search each part, in given cells or in all, and merge their proposals.

        Few are requested of each part, because a longer list takes longer. A part of which all are among the best can
        have more of the best, and is searched again.
        """
        searches = [partial(_propose_part, index, *values) for values in zip(parts, allowed, cells, strict=True)]
        few = min(count, 2 * count // len(parts) + _MORE)
        proposals = [search(few) for search in searches]
        merged = merge_proposals(parts, proposals, count=count)
        numbers = [Counter(place for place, _ in best) for best in merged]
        full = {place for of_query in numbers for place, number in of_query.items() if number == few}
        if few == count or not full:
            return merged
        proposals = [searches[place](count) if place in full else kept for place, kept in enumerate(proposals)]
        return merge_proposals(parts, proposals, count=count)

    def _search(self, run: sqlite3.Connection, compute: Callable[[_Index], _Result]) -> _Result:
        """Apply a function to the index, which is built from the database if its files turn out to be damaged."""
        try:
            return compute(self.update(run))
        except DamagedIndexError as error:
            assert self._files is not None
            _log.warning("%s: %s is damaged; the index is built from the database", self._files.folder, error)
            self._files.discard()
            self._index = None
            return compute(self.update(run))

    def _settle(
        self,
        run: sqlite3.Connection,
        index: _Index,
        query: FloatArray,
        candidates: tuple[IntArray, FloatArray],
        *,
        top: int,
        allowed: IntArray | None,
    ) -> tuple[IntArray, FloatArray]:
        """Order the candidates exactly, and search for more until rounding cannot have hidden a nearer one."""
        pool = len(index.rows) if allowed is None else len(allowed)
        count, whole = candidates[0].size, False
        while True:
            rows, approximate = candidates[0][candidates[0] >= 0], candidates[1]
            ids, distances = self._compute_distances(run, query, rows)
            best = nearest_first(distances, ids, top=top)
            if len(rows) < min(count, pool):  # the probed cells contain no more
                if len(best) == min(top, pool):
                    return rows[best], distances[best]
                whole = True
            elif count >= pool or approximate[-1] - index.slack > distances[best[-1]]:
                return rows[best], distances[best]
            count = min(4 * count, pool)
            (more_rows,), (more_distances,) = index.search(query[None], count=count, allowed=allowed, whole=whole)
            candidates = more_rows, more_distances

    @staticmethod
    def _compute_distances(run: sqlite3.Connection, query: FloatArray, rows: IntArray) -> tuple[list[str], FloatArray]:
        """Return ids and exact distances in the order of `rows`."""
        select = f"SELECT row, id, vector FROM vectors JOIN sightings USING (row) WHERE row {AMONG}"
        stored = {row: (name, vector) for row, name, vector in run.execute(select, (json.dumps(rows.tolist()),))}
        vectors = stack([stored[row][1] for row in rows.tolist()], len(query))
        return [stored[row][0] for row in rows.tolist()], exact_distances(query, vectors)

    def update(self, run: sqlite3.Connection) -> _Index:
        """Return the index with exactly the vectors that this transaction reads.

        Args:
            run: Inside `Database.read`.
        """
        ((removals,),) = run.execute("SELECT removals FROM state")
        if self._index is None:
            self._index, self._removals = self._open_index(run), removals
        index = self._index
        if removals != self._removals and len(index.rows):
            index.remove(subtract_rows(index.rows, select_rows(run)))
        self._removals = removals
        newest = int(index.rows.max(initial=0))
        if isinstance(index, InvertedFile):
            self._fill(run, index, newest)
            return index
        for rows, vectors in self._read_newer(run, newest):
            index.add(rows, vectors)
            if len(index.rows) > self._exact_below:  # too large for exact search
                self._index = None
                return self.update(run)
        return index

    def _fill(self, run: sqlite3.Connection, index: InvertedFile, newest: int) -> None:
        first, cells = not len(index.rows), None
        if first:  # vectors are read twice, to allocate no more memory than needed
            cells = np.concatenate([index.find_cells(vectors, 1)[:, 0] for _, vectors in self._read_newer(run, newest)])
            index.reserve(cells)
        for rows, vectors in self._read_newer(run, newest):
            known, cells = (None, None) if cells is None else (cells[: len(rows)], cells[len(rows) :])
            index.add(rows, vectors, cells=known)
        if first:
            index.tune(self._read_sample(run, _TUNING_QUERIES))

    def save(self, database: Database) -> None:
        """Write an inverted file beside the database, if enough of it is in memory alone.

        Args:
            database: Outside a transaction.
        """
        index = self._index
        if self._files is None or not isinstance(index, InvertedFile):
            return
        if (not index.parts or len(index.tail.rows) >= UNSAVED) and not self._files.save(
            index, database, self._removals
        ):
            self._index = None

    def _read_newer(self, run: sqlite3.Connection, newest: int) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield (n,) rows after `newest` and their (n, D) unit vectors, `_CHUNK` at a time."""
        cursor = run.execute("SELECT row, vector FROM vectors WHERE row > ? ORDER BY row", (newest,))
        while chunk := cursor.fetchmany(_CHUNK):
            rows, blobs = zip(*chunk, strict=True)
            yield np.array(rows, np.int64), _normalize(stack(blobs, self._dimension))

    def _open_index(self, run: sqlite3.Connection) -> _Index:
        """Return the stored index, or an empty one: exact, or for many vectors an inverted file trained on a sample."""
        ((count,),) = run.execute("SELECT count(*) FROM vectors")
        if count <= self._exact_below:
            return ExactIndex(self._dimension)
        stored = None if self._files is None else self._files.load(run, self._dimension)
        return stored or InvertedFile.train(self._read_sample(run, VECTORS_PER_CELL * count_cells(count)))

    def _read_sample(self, run: sqlite3.Connection, count: int) -> FloatArray:
        """Read at least `count` unit vectors, evenly spread over the rows, or all."""
        rows = np.sort(select_rows(run))
        return self._read_vectors(run, rows[:: max(1, len(rows) // count)].tolist())

    def _read_vectors(self, run: sqlite3.Connection, rows: list[int]) -> FloatArray:
        """Read the (n, D) unit vectors of rows, in their order."""
        stored = dict(run.execute(f"SELECT row, vector FROM vectors WHERE row {AMONG}", (json.dumps(rows),)))
        return _normalize(stack([stored[row] for row in rows], self._dimension))


def _propose_part(
    index: InvertedFile, part: ScoredPart, allowed: IntArray, cells: IntArray | None, count: int
) -> list[Proposal]:
    """Search one part, in given cells or in all."""
    if not len(allowed):  # FAISS does not search for 0 rows
        return [([], np.empty(0, np.float32))] * len(part.directions)
    found = index.search(part.directions, count=count, allowed=allowed, cells=cells)
    return [(rows[rows >= 0].tolist(), distances[rows >= 0]) for rows, distances in zip(*found, strict=True)]


def _normalize(vectors: FloatArray) -> FloatArray:
    """Divide stored vectors by their length, which is within 0.001 of 1. FAISS compares inner products."""
    unit: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
