"""FAISS in memory: candidates for the nearest of N vectors. The caller computes exact distances.

Small galleries are searched completely, in float32. A large one is an inverted file (Jegou et al. 2011) of float16 of
which only the cells nearest to the query are searched; with a filter all cells are searched and only the rows that pass
are compared, so that a filter does not reduce recall.

D embedding width   Q queries   N vectors   K candidates
"""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np

from passerby.types import FloatArray, IntArray

MAX_CELLS = 1024
"""Largest number of cells of an inverted file."""
PROBES = 32
"""Least number of cells that an unfiltered search probes; `tune` increases it."""
RECALL, NEAREST = 0.99, 50
"""Recall of the nearest vectors that `tune` requires, and their number."""
VECTORS_PER_CELL = 40
"""Training vectors of k-means per cell; FAISS warns below 39."""


def count_cells(count: int) -> int:
    """Return the number of cells of an inverted file over `count` vectors."""
    return max(1, min(MAX_CELLS, count // VECTORS_PER_CELL))


class FaissIndex:
    """Vectors by row number.

    Args:
        dimension: D.
        sample: (S, D) unit vectors on which the cells of an inverted file are trained; None makes an exact index.

    Attributes:
        rows: (N,) int64 row numbers in the index.
        probes: Cells of an inverted file that an unfiltered search probes.
        whole: Whether every unfiltered search compares with every vector.
        slack: Largest difference between a candidate's distance and the exact one, caused by rounding.
    """

    def __init__(self, dimension: int, sample: FloatArray | None = None) -> None:
        self.rows: IntArray = np.empty(0, np.int64)
        self.probes = PROBES
        self.whole = sample is None
        single = (dimension + 8) * 2.0**-24  # float32 product of unit vectors
        if sample is None:
            self.slack = single
            self._faiss: Any = faiss.IndexIDMap(faiss.IndexFlatIP(dimension))
            return
        self.slack = single + 2.0**-11 + dimension**0.5 * 2.0**-25  # and float16, normal and subnormal
        self._coarse = faiss.IndexFlatIP(dimension)  # FAISS does not own it
        self.cells = count_cells(len(sample))
        kind = faiss.ScalarQuantizer.QT_fp16
        metric = faiss.METRIC_INNER_PRODUCT
        self._faiss = faiss.IndexIVFScalarQuantizer(self._coarse, dimension, self.cells, kind, metric, False)
        self._faiss.cp.spherical = True
        self._faiss.cp.niter = 10
        self._faiss.parallel_mode = 1  # a single query is spread over the cores, too
        self._faiss.train(sample)

    def find_cells(self, vectors: FloatArray) -> IntArray:
        """Return the (n,) cells of (n, D) unit vectors; for an inverted file only."""
        cells: IntArray = self._coarse.search(vectors, 1)[1][:, 0]
        return cells

    def reserve(self, cells: IntArray) -> None:
        """Allocate memory for vectors of these cells; lists that grow by doubling take up to twice the memory."""
        for cell, count in enumerate(np.bincount(cells, minlength=self.cells).tolist()):
            size = self._faiss.invlists.list_size(cell)
            self._faiss.invlists.resize(cell, size + count)
            self._faiss.invlists.resize(cell, size)  # the allocated memory is kept

    def add(self, rows: IntArray, vectors: FloatArray, *, cells: IntArray | None = None) -> None:
        """Add (n, D) unit vectors under (n,) row numbers; `cells` are computed if they are not given."""
        if cells is None:
            self._faiss.add_with_ids(vectors, rows)
        else:
            arrays = [np.ascontiguousarray(array) for array in (vectors, rows, cells)]
            self._faiss.add_core(len(rows), *map(faiss.swig_ptr, arrays))
        self.rows = np.concatenate([self.rows, rows])

    def tune(self, queries: FloatArray) -> None:
        """Increase `probes` by half until these (Q, D) queries reach `RECALL` against a search of every cell.

        The number that is needed depends on the dimension of the space that the embeddings fill.
        """
        exact, _ = self._faiss.search(queries, NEAREST, params=faiss.SearchParametersIVF(nprobe=self.cells))[::-1]
        while self.probes < self.cells:
            rows, _ = self._faiss.search(queries, NEAREST, params=faiss.SearchParametersIVF(nprobe=self.probes))[::-1]
            shared = [len(np.intersect1d(a, b)) for a, b in zip(exact, rows, strict=True)]
            if np.mean(shared) >= RECALL * exact.shape[1]:
                return
            self.probes = min(self.probes + max(1, self.probes // 2), self.cells)

    def remove(self, rows: IntArray) -> None:
        """Remove rows."""
        self._faiss.remove_ids(faiss.IDSelectorBatch(rows))
        self.rows = self.rows[~np.isin(self.rows, rows)]

    def search(
        self, queries: FloatArray, *, count: int, allowed: IntArray | None = None, whole: bool = False
    ) -> tuple[IntArray, FloatArray]:
        """Return rows and distances of candidates.

        Args:
            queries: (Q, D) unit vectors.
            count: Largest K.
            allowed: Rows to search, all of which are compared; None is all rows.
            whole: Compare with every vector.

        Returns:
            (Q, K) rows and (Q, K) approximate cosine distances, nearest first; row -1 where there are fewer.
        """
        count = min(count, len(self.rows) if allowed is None else len(allowed))
        selector = None
        if allowed is not None:
            marks = np.zeros(int(max(self.rows.max(initial=0), allowed.max(initial=0))) // 8 * 8 + 8, np.bool_)
            marks[allowed] = True
            selector = faiss.IDSelectorBitmap(np.packbits(marks, bitorder="little"))
        if self.whole:
            parameters = faiss.SearchParameters(sel=selector)
        else:
            probes = self.cells if whole or allowed is not None else min(self.probes, self.cells)
            parameters = faiss.SearchParametersIVF(sel=selector, nprobe=probes)
        similarities, rows = self._faiss.search(queries, count, params=parameters)
        return rows, 1 - similarities
