"""Index in memory that follows a database, and the exact order of the candidates that it returns.

FAISS returns candidates, their exact distances are computed from the stored vectors, and the search is widened until
rounding cannot have hidden a nearer sighting. Only an unfiltered search of a large gallery is approximate.

D embedding width   Q queries   N vectors   K candidates
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

import numpy as np

from passerby.gallery.stores.exact_distances import exact_distances, nearest_first
from passerby.gallery.stores.faiss_index import VECTORS_PER_CELL, FaissIndex, count_cells
from passerby.gallery.stores.sqlite_rows import AMONG, select_rows, stack
from passerby.types import FloatArray, IntArray

EXACT_BELOW = 200_000
"""Largest number of sightings for which every search compares with all of them."""
FEW = 1000
"""Largest number of rows that are compared without FAISS."""
_CHUNK = 4096  # vectors read at a time
_TUNING_QUERIES = 24  # vectors whose true neighbors are computed when an inverted file is made


class IndexFollower:
    """An index that is updated inside the reader's transaction before each search.

    Args:
        dimension: D.
        exact_below: Largest number of sightings for which every search is exact.
    """

    def __init__(self, dimension: int, *, exact_below: int = EXACT_BELOW) -> None:
        self._dimension, self._exact_below = dimension, exact_below
        self._index: FaissIndex | None = None  # made by the first search: a process that only adds needs none
        self._removals = 0

    def find_nearest(
        self, run: sqlite3.Connection, queries: FloatArray, *, top: int, allowed: IntArray | None
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield rows and exact distances of each query's nearest, nearest first.

        Args:
            run: Inside `Database.read`.
            queries: (Q, D) unit vectors.
            top: Largest number of rows per query.
            allowed: Rows to search; None is all, for which a search of a large gallery is approximate.
        """
        index = self._update(run)
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
        self, run: sqlite3.Connection, queries: FloatArray, *, count: int, allowed: IntArray | None
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield rows and approximate distances of each query's `count` nearest, nearest first; no vector is read.

        Args:
            run: Inside `Database.read`.
            queries: (Q, D) unit vectors.
            count: Largest number of rows per query.
            allowed: Rows to search; None is all.
        """
        index = self._update(run)
        if not len(index.rows if allowed is None else allowed):  # FAISS does not search for 0 rows
            yield from [(np.empty(0, np.int64), np.empty(0, np.float32))] * len(queries)
            return
        for rows, distances in zip(*index.search(queries, count=count, allowed=allowed), strict=True):
            yield rows[rows >= 0], distances[rows >= 0]

    def _settle(
        self,
        run: sqlite3.Connection,
        index: FaissIndex,
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

    def _update(self, run: sqlite3.Connection) -> FaissIndex:
        """Return the index with exactly the vectors that this transaction reads."""
        if self._index is None:
            self._index = self._make_index(run)
        index = self._index
        ((removals,),) = run.execute("SELECT removals FROM state")
        if removals != self._removals and len(index.rows):
            index.remove(np.setdiff1d(index.rows, select_rows(run)))
        self._removals = removals
        newest = int(index.rows.max(initial=0))
        cells = None
        if not index.whole and not len(index.rows):  # vectors are read twice, to allocate no more memory than needed
            cells = np.concatenate([index.find_cells(vectors) for _, vectors in self._read_newer(run, newest)])
            index.reserve(cells)
        filling = cells is not None
        for rows, vectors in self._read_newer(run, newest):
            known, cells = (None, None) if cells is None else (cells[: len(rows)], cells[len(rows) :])
            index.add(rows, vectors, cells=known)
            if index.whole and len(index.rows) > self._exact_below:  # too large for exact search
                self._index = None
                return self._update(run)
        if filling:
            index.tune(self._read_sample(run, _TUNING_QUERIES))
        return index

    def _read_newer(self, run: sqlite3.Connection, newest: int) -> Iterator[tuple[IntArray, FloatArray]]:
        """Yield (n,) rows after `newest` and their (n, D) unit vectors, `_CHUNK` at a time."""
        cursor = run.execute("SELECT row, vector FROM vectors WHERE row > ? ORDER BY row", (newest,))
        while chunk := cursor.fetchmany(_CHUNK):
            rows, blobs = zip(*chunk, strict=True)
            yield np.array(rows, np.int64), _normalize(stack(blobs, self._dimension))

    def _make_index(self, run: sqlite3.Connection) -> FaissIndex:
        """Make an empty index: exact, or for many vectors an inverted file trained on a sample."""
        ((count,),) = run.execute("SELECT count(*) FROM vectors")
        if count <= self._exact_below:
            return FaissIndex(self._dimension)
        return FaissIndex(self._dimension, self._read_sample(run, VECTORS_PER_CELL * count_cells(count)))

    def _read_sample(self, run: sqlite3.Connection, count: int) -> FloatArray:
        """Read at least `count` unit vectors, evenly spread over the rows, or all."""
        rows = np.sort(select_rows(run))
        drawn = rows[:: max(1, len(rows) // count)]
        cursor = run.execute(f"SELECT vector FROM vectors WHERE row {AMONG}", (json.dumps(drawn.tolist()),))
        return _normalize(stack([vector for (vector,) in cursor], self._dimension))


def _normalize(vectors: FloatArray) -> FloatArray:
    """Divide stored vectors by their length, which is within 0.001 of 1. FAISS compares inner products."""
    unit: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
