"""FAISS in memory: which of N vectors may be among the nearest. Candidates only: others compute the distances.

Small galleries are compared whole, in float32. Above that an inverted file (Jegou et al. 2011) holds float16, and only
the cells nearest to the query are looked into; with a filter, every cell is, and only the rows that pass are compared,
so that a filter never costs recall.

D embedding width   Q queries   N vectors   K candidates
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from passerby.types import FloatArray, IntArray

CELLS = 1024
"""Of an inverted file, when there are vectors enough."""
PROBES = 32
"""Cells that an unfiltered search looks into, at least: `tune` finds out how many it takes."""
RECALL, NEAREST = 0.99, 50
"""What `tune` asks for: this share of so many nearest."""
SAMPLE = 40
"""Vectors per cell that k-means learns from; FAISS complains below 39."""


def cells_for(count: int) -> int:
    """Cells of an inverted file over `count` vectors."""
    return max(1, min(CELLS, count // SAMPLE))


class Index:
    """Vectors by row number.

    Attributes:
        rows: (N,) int64 row numbers that are in it.
        probes: Cells of an inverted file that an unfiltered search looks into.
        whole: Whether every unfiltered search compares with every vector, too.
        slack: How far a candidate's distance may be from the true one: what rounding can do at most.
    """

    def __init__(self, dimension: int, sample: FloatArray | None = None) -> None:
        """Empty: exact without a sample, with the cells of a (S, D) sample otherwise."""
        self.rows: IntArray = np.empty(0, np.int64)
        self.probes = PROBES
        self.whole = sample is None
        single = (dimension + 8) * 2.0**-24  # a float32 product of unit vectors
        if sample is None:
            self.slack = single
            self._faiss: Any = faiss.IndexIDMap(faiss.IndexFlatIP(dimension))
            return
        self.slack = single + 2.0**-11 + dimension**0.5 * 2.0**-25  # and float16, normal and subnormal
        self._coarse = faiss.IndexFlatIP(dimension)  # FAISS does not own it
        self.cells = cells_for(len(sample))
        kind = faiss.ScalarQuantizer.QT_fp16
        metric = faiss.METRIC_INNER_PRODUCT
        self._faiss = faiss.IndexIVFScalarQuantizer(self._coarse, dimension, self.cells, kind, metric, False)
        self._faiss.cp.spherical = True
        self._faiss.cp.niter = 10
        self._faiss.parallel_mode = 1  # a single query is spread over the cores, too
        self._faiss.train(sample)

    def cells_of(self, vectors: FloatArray) -> IntArray:
        """(n,) the cell of each of (n, D) unit vectors; of an inverted file only."""
        found: IntArray = self._coarse.search(vectors, 1)[1][:, 0]
        return found

    def reserve(self, cells: IntArray) -> None:
        """Make room for vectors of these cells: lists that grow by doubling would take up to twice the memory."""
        for cell, count in enumerate(np.bincount(cells, minlength=self.cells).tolist()):
            held = self._faiss.invlists.list_size(cell)
            self._faiss.invlists.resize(cell, held + count)
            self._faiss.invlists.resize(cell, held)  # what was given is kept

    def add(self, rows: IntArray, vectors: FloatArray, *, cells: IntArray | None = None) -> None:
        """Take in (n,) rows and their (n, D) unit vectors, whose `cells` may be known."""
        if cells is None:
            self._faiss.add_with_ids(vectors, rows)
        else:
            arrays = [np.ascontiguousarray(each) for each in (vectors, rows, cells)]
            self._faiss.add_core(len(rows), *map(faiss.swig_ptr, arrays))
        self.rows = np.concatenate([self.rows, rows])

    def tune(self, queries: FloatArray) -> None:
        """Add half as many probes until these (Q, D) queries find `RECALL` of what looking into every cell finds.

        How many it takes depends on how many directions the embeddings fill, which only the vectors tell.
        """
        true, _ = self._faiss.search(queries, NEAREST, params=faiss.SearchParametersIVF(nprobe=self.cells))[::-1]
        while self.probes < self.cells:
            found, _ = self._faiss.search(queries, NEAREST, params=faiss.SearchParametersIVF(nprobe=self.probes))[::-1]
            shared = [len(np.intersect1d(a, b)) for a, b in zip(true, found, strict=True)]
            if np.mean(shared) >= RECALL * true.shape[1]:
                return
            self.probes = min(self.probes + max(1, self.probes // 2), self.cells)

    def remove(self, rows: IntArray) -> None:
        """Let go of rows."""
        self._faiss.remove_ids(faiss.IDSelectorBatch(rows))
        self.rows = self.rows[~np.isin(self.rows, rows)]

    def search(
        self, queries: FloatArray, *, count: int, allowed: IntArray | None = None, whole: bool = False
    ) -> tuple[IntArray, FloatArray]:
        """(Q, K) rows and distances of candidates, nearest first, K at most `count`; -1 where there are fewer.

        With `allowed` rows every one of them is compared, and with `whole` every vector.
        """
        count = min(count, len(self.rows) if allowed is None else len(allowed))
        chosen = None
        if allowed is not None:
            marks = np.zeros(int(max(self.rows.max(initial=0), allowed.max(initial=0))) // 8 * 8 + 8, np.bool_)
            marks[allowed] = True
            chosen = faiss.IDSelectorBitmap(np.packbits(marks, bitorder="little"))
        if self.whole:
            parameters = faiss.SearchParameters(sel=chosen)
        else:
            probes = self.cells if whole or allowed is not None else min(self.probes, self.cells)
            parameters = faiss.SearchParametersIVF(sel=chosen, nprobe=probes)
        similar, rows = self._faiss.search(queries, count, params=parameters)
        return rows, 1 - similar
