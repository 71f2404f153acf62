"""The index in memory that follows a database, and the exact order of what it proposes.

FAISS proposes candidates, their distances are computed from the stored vectors, and the search is widened until
rounding can have hidden none. Only an unfiltered search of a large gallery is left as it is found.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator

import numpy as np

from passerby.gallery.stores.exact_distances import exact_distances, nearest_first
from passerby.gallery.stores.faiss_index import SAMPLE, Index, cells_for
from passerby.gallery.stores.sqlite_rows import AMONG, integers, stack
from passerby.types import FloatArray, IntArray

EXACT_BELOW = 200_000
"""Sightings up to which every search compares with all of them."""
FEW = 1000
"""Rows that are compared without asking FAISS."""
_CHUNK = 4096  # vectors read at a time
_TUNED = 24  # vectors whose true neighbors are looked up when an inverted file is made


class Follower:
    """An index that is brought up to date inside the reader's transaction, before it is asked."""

    def __init__(self, dimension: int, *, exact_below: int = EXACT_BELOW) -> None:
        self._dimension, self._exact_below = dimension, exact_below
        self._index: Index | None = None  # made by the first search: who only adds does not pay for it
        self._removals = 0

    def nearest(
        self, run: sqlite3.Connection, queries: FloatArray, *, top: int, allowed: IntArray | None
    ) -> Iterator[tuple[IntArray, FloatArray]]:
        """Rows and exact distances of each query's nearest, nearest first.

        Args:
            run: Inside `Database.read`.
            queries: (Q, D) unit vectors.
            top: How many at most.
            allowed: Rows that count; None is all of them, which is answered nearly exactly in a large gallery.
        """
        index = self._catch_up(run)
        pool = index.rows if allowed is None else allowed
        if len(pool) <= FEW:
            for query in queries:
                ids, distances = self._distances(run, query, pool)
                best = nearest_first(distances, ids, top=top)
                yield pool[best], distances[best]
            return
        found = index.search(queries, count=2 * top + 50, allowed=allowed)
        for query, rows, near in zip(queries, *found, strict=True):
            yield self._settled(run, index, query, (rows, near), top=top, allowed=allowed)

    def _settled(
        self,
        run: sqlite3.Connection,
        index: Index,
        query: FloatArray,
        found: tuple[IntArray, FloatArray],
        *,
        top: int,
        allowed: IntArray | None,
    ) -> tuple[IntArray, FloatArray]:
        """The nearest of the candidates found, which become more until rounding can have hidden none."""
        pool = len(index.rows) if allowed is None else len(allowed)
        asked, whole = found[0].size, False
        while True:
            rows, near = found[0][found[0] >= 0], found[1]
            ids, distances = self._distances(run, query, rows)
            best = nearest_first(distances, ids, top=top)
            if len(rows) < min(asked, pool):  # the cells looked into hold no more
                if len(best) == min(top, pool):
                    return rows[best], distances[best]
                whole = True
            elif asked >= pool or near[-1] - index.slack > distances[best[-1]]:
                return rows[best], distances[best]
            asked = min(4 * asked, pool)
            (more,), (nearer,) = index.search(query[None], count=asked, allowed=allowed, whole=whole)
            found = more, nearer

    @staticmethod
    def _distances(run: sqlite3.Connection, query: FloatArray, rows: IntArray) -> tuple[list[str], FloatArray]:
        """Ids and distances in the order of `rows`."""
        joined = f"SELECT row, id, vector FROM vectors JOIN sightings USING (row) WHERE row {AMONG}"
        read = {row: (name, vector) for row, name, vector in run.execute(joined, (json.dumps(rows.tolist()),))}
        vectors = stack([read[row][1] for row in rows.tolist()], len(query))
        return [read[row][0] for row in rows.tolist()], exact_distances(query, vectors)

    def _catch_up(self, run: sqlite3.Connection) -> Index:
        """The index with everything that this transaction sees, and nothing else."""
        if self._index is None:
            self._index = self._empty_index(run)
        ((removals,),) = run.execute("SELECT removals FROM state")
        if removals != self._removals and len(self._index.rows):
            present = integers(run.execute("SELECT row FROM vectors"))
            self._index.remove(np.setdiff1d(self._index.rows, present))
        self._removals = removals
        newest = int(self._index.rows.max(initial=0))
        cells = None
        if not self._index.whole and not len(self._index.rows):  # twice over the vectors, for memory that is not wasted
            cells = np.concatenate([self._index.cells_of(vectors) for _, vectors in self._newer(run, newest)])
            self._index.reserve(cells)
        filling = cells is not None
        for rows, vectors in self._newer(run, newest):
            known, cells = (None, None) if cells is None else (cells[: len(rows)], cells[len(rows) :])
            self._index.add(rows, vectors, cells=known)
            if self._index.whole and len(self._index.rows) > self._exact_below:  # it has outgrown exact search
                self._index = None
                return self._catch_up(run)
        if filling:
            self._index.tune(self._sample(run, _TUNED))
        return self._index

    def _newer(self, run: sqlite3.Connection, newest: int) -> Iterator[tuple[IntArray, FloatArray]]:
        """(n,) rows after `newest` and their (n, D) unit vectors, some at a time."""
        cursor = run.execute("SELECT row, vector FROM vectors WHERE row > ? ORDER BY row", (newest,))
        while chunk := cursor.fetchmany(_CHUNK):
            rows, blobs = zip(*chunk, strict=True)
            yield np.array(rows, np.int64), _normal(stack(blobs, self._dimension))

    def _empty_index(self, run: sqlite3.Connection) -> Index:
        """Exact, or with the cells of a sample of what is there."""
        ((count,),) = run.execute("SELECT count(*) FROM vectors")
        if count <= self._exact_below:
            return Index(self._dimension)
        return Index(self._dimension, self._sample(run, SAMPLE * cells_for(count)))

    def _sample(self, run: sqlite3.Connection, count: int) -> FloatArray:
        """At least `count` unit vectors, evenly spread over the rows, or all."""
        rows = integers(run.execute("SELECT row FROM vectors"))
        drawn = rows[:: max(1, len(rows) // count)]
        cursor = run.execute(f"SELECT vector FROM vectors WHERE row {AMONG}", (json.dumps(drawn.tolist()),))
        return _normal(stack([vector for (vector,) in cursor], self._dimension))


def _normal(vectors: FloatArray) -> FloatArray:
    """Stored vectors are of length 1 within 0.001; FAISS compares them by their inner product alone."""
    unit: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
