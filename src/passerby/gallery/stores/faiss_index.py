"""FAISS: candidates for the nearest of N vectors. The caller computes exact distances.

Small galleries are searched completely, in float32. A large one is an inverted file (Jegou et al. 2011) of float16 of
which only the cells nearest to the query are searched; with a filter all cells are searched and only the rows that pass
are compared, so that a filter does not reduce recall.

D embedding width   Q queries   N vectors   K candidates   C cells   P parts
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from passerby.gallery.stores.proposals import ScoredPart
from passerby.gallery.stores.row_numbers import NO_ROWS, subtract_rows
from passerby.types import FloatArray, IntArray

MAX_CELLS = 1024
"""Largest number of cells of an inverted file."""
PROBES = 32
"""Least number of cells that an unfiltered search probes; `tune` increases it."""
RECALL, NEAREST = 0.99, 50
"""Recall of the nearest vectors that `tune` requires, and their number."""
VECTORS_PER_CELL = 40
"""Training vectors of k-means per cell; FAISS warns below 39."""


class DamagedIndexError(Exception):
    """A file of cells has a row number that the index does not have."""


def count_cells(count: int) -> int:
    """Return the number of cells of an inverted file over `count` vectors."""
    return max(1, min(MAX_CELLS, count // VECTORS_PER_CELL))


class ExactIndex:
    """Vectors by row number; every search compares with every vector.

    Args:
        dimension: D.

    Attributes:
        rows: (N,) int64 row numbers in the index.
        slack: Largest difference between a candidate's distance and the exact one, caused by rounding.
    """

    def __init__(self, dimension: int) -> None:
        self.rows: IntArray = NO_ROWS
        self.slack = (dimension + 8) * 2.0**-24  # float32 product of unit vectors
        self._faiss: Any = faiss.IndexFlatIP(dimension)  # in the order of `rows`

    def add(self, rows: IntArray, vectors: FloatArray) -> None:
        """Add (n, D) unit vectors under (n,) row numbers above all others."""
        self._faiss.add(vectors)
        self.rows = np.concatenate([self.rows, rows])

    def remove(self, rows: IntArray) -> None:
        """Remove rows."""
        removed = np.isin(self.rows, rows)
        self._faiss.remove_ids(faiss.IDSelectorBatch(np.flatnonzero(removed)))  # keeps the order
        self.rows = self.rows[~removed]

    def search(
        self,
        queries: FloatArray,
        *,
        count: int,
        allowed: IntArray | None = None,
        whole: bool = True,
        cells: IntArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """Return rows and distances of candidates; see `InvertedFile.search`. Every allowed row is compared."""
        count = min(count, len(self.rows) if allowed is None else len(allowed))
        if allowed is None or len(allowed) == len(self.rows):
            similarities, places = self._faiss.search(queries, count)  # by matrix products for many queries
            return self.rows[places], 1 - similarities
        places = np.searchsorted(self.rows, allowed)  # a search with a selector would visit the other vectors, too
        nearest, distances = [], []
        for query in np.ascontiguousarray(queries):
            similarities = np.empty(len(places), np.float32)
            pointers = [faiss.swig_ptr(array) for array in (query, similarities, places)]
            self._faiss.compute_distance_subset(1, pointers[0], len(places), *pointers[1:])
            best = np.argpartition(-similarities, count - 1)[:count] if count < len(places) else np.arange(count)
            best = best[np.argsort(-similarities[best], kind="stable")]
            nearest.append(allowed[best])
            distances.append(1 - similarities[best])
        return np.stack(nearest), np.stack(distances)

    def propose(self, parts: Sequence[ScoredPart], allowed: Sequence[IntArray], *, count: int) -> list[list[int]]:
        """Return the rows with the best scores for each query; see `GalleryStore.propose`.

        Each vector is read once for a query, in the order of memory: reading it part by part takes twice the time.

        Args:
            parts: Scores of P parts.
            allowed: Rows of each part; no row is in two parts.
            count: Largest number of rows per query.
        """
        part_of = np.full(len(self.rows), -1, np.int64)
        for number, rows in enumerate(allowed):
            part_of[np.searchsorted(self.rows, rows)] = number
        places = np.flatnonzero(part_of >= 0)
        part_of = part_of[places]
        similarities = np.empty(len(places), np.float32)
        scores_of = [part.factors for part in parts], [part.offsets for part in parts]
        proposals = []
        for query in range(len(parts[0].directions)):
            directions = np.stack([part.directions[query] for part in parts])  # (P, D)
            faiss.pairwise_indexed_inner_product(
                self._faiss.d,
                len(places),
                *map(faiss.swig_ptr, (directions, part_of)),
                self._faiss.get_xb(),
                *map(faiss.swig_ptr, (places, similarities)),
            )
            factors, offsets = (np.array([of[query] for of in values]) for values in scores_of)
            scores = similarities * factors[part_of] + offsets[part_of]
            best = np.argpartition(-scores, count - 1)[:count] if count < len(scores) else np.arange(len(scores))
            proposals.append(self.rows[places[best[np.argsort(-scores[best], kind="stable")]]].tolist())
        return proposals


class Part:
    """Vectors of an inverted file: in memory, to which vectors are added, or mapped from a file that is not changed.

    Args:
        coarse: FAISS index of the centers of the cells.
        path: File of the cells: for each cell its n codes (n, D) float16 and its n row numbers int64; None for memory.
        sizes: (C,) numbers of vectors of the cells of the file.
        rows: (N,) row numbers of the file.

    Attributes:
        rows: (N,) int64 row numbers.
        path: The file, or None.
    """

    def __init__(
        self, coarse: Any, *, path: Path | None = None, sizes: IntArray | None = None, rows: IntArray = NO_ROWS
    ) -> None:
        self.rows, self.path = rows, path
        kind, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        self.faiss: Any = faiss.IndexIVFScalarQuantizer(coarse, coarse.d, coarse.ntotal, kind, metric, False)
        self.faiss.is_trained = True  # float16 needs no training, and the cells are given
        self.faiss.parallel_mode = 1  # a single query is spread over the cores, too
        if path is None or sizes is None:
            self.lists: Any = self.faiss.invlists
            return
        self.lists = faiss.OnDiskInvertedLists()
        self.lists.nlist, self.lists.code_size = coarse.ntotal, self.faiss.code_size
        self.lists.lists.resize(coarse.ntotal)
        numbers = np.ascontiguousarray(sizes, np.uint64)  # FAISS reads by a pointer, which does not keep the array
        self.lists.set_all_lists_sizes(faiss.swig_ptr(numbers))
        self.lists.filename, self.lists.read_only, self.lists.totsize = str(path), True, path.stat().st_size
        self.lists.prefetch_nthread = 0  # FAISS would start up to 32 threads for each search
        self.lists.do_mmap()
        self.faiss.replace_invlists(self.lists, False)
        self.faiss.ntotal = len(rows)

    def read_cell(self, cell: int) -> tuple[np.ndarray[Any, Any], IntArray]:
        """Return the (n, bytes of a code) uint8 codes and the (n,) row numbers of a cell; views of its memory."""
        count = self.lists.list_size(cell)
        if not count:
            return np.empty((0, self.faiss.code_size), np.uint8), NO_ROWS
        codes = faiss.rev_swig_ptr(self.lists.get_codes(cell), count * self.faiss.code_size)
        return codes.reshape(count, -1), faiss.rev_swig_ptr(self.lists.get_ids(cell), count)


class InvertedFile:
    """Vectors by row number in cells: parts mapped from files, and a part in memory.

    Args:
        centers: (C, D) centers of the cells.
        probes: Cells that an unfiltered search probes.

    Attributes:
        rows: (N,) int64 row numbers in the index, ascending.
        parts: Parts that are mapped from files.
        tail: Part in memory.
        removed: Row numbers that are in `parts` and no longer in the index.
        slack: As for `ExactIndex`.
    """

    def __init__(self, centers: FloatArray, *, probes: int | None = None) -> None:
        self.centers, self.probes = centers, PROBES if probes is None else probes
        self.cells, dimension = centers.shape
        self.slack = (dimension + 8) * 2.0**-24 + 2.0**-11 + dimension**0.5 * 2.0**-25  # float16, normal and subnormal
        self._coarse = faiss.IndexFlatIP(dimension)  # FAISS does not own it
        self._coarse.add(centers)
        self._selectors: dict[int, tuple[weakref.ref[IntArray], Any]] = {}  # by the id of an array of allowed rows
        self.set_parts((), removed=NO_ROWS)

    @classmethod
    def train(cls, sample: FloatArray) -> InvertedFile:
        """Return an empty index with the cells that k-means finds in (S, D) unit vectors."""
        coarse = faiss.IndexFlatIP(sample.shape[1])
        kind, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        index = faiss.IndexIVFScalarQuantizer(coarse, sample.shape[1], count_cells(len(sample)), kind, metric, False)
        index.cp.spherical = True
        index.cp.niter = 10
        index.train(sample)
        return cls(coarse.reconstruct_n(0, coarse.ntotal))

    def open_part(self, path: Path, sizes: IntArray, rows: IntArray) -> Part:
        """Map a file of cells; see `Part`."""
        return Part(self._coarse, path=path, sizes=sizes, rows=rows)

    def set_parts(self, parts: Sequence[Part], *, removed: IntArray) -> None:
        """Replace all vectors by those of mapped parts without some row numbers; the part in memory is empty then."""
        self.parts, self.tail, self.removed = tuple(parts), Part(self._coarse), removed
        self.rows = subtract_rows(np.sort(np.concatenate([NO_ROWS, *(part.rows for part in parts)])), removed)

    def find_cells(self, vectors: FloatArray, count: int) -> IntArray:
        """Return the (n, count) cells nearest to (n, D) vectors, at most C."""
        cells: IntArray = self._coarse.search(vectors, min(count, self.cells))[1]
        return cells

    def reserve(self, cells: IntArray) -> None:
        """Allocate memory for vectors of these cells; lists that grow by doubling take up to twice the memory."""
        lists = self.tail.lists
        for cell, count in enumerate(np.bincount(cells, minlength=self.cells).tolist()):
            size = lists.list_size(cell)
            lists.resize(cell, size + count)
            lists.resize(cell, size)  # the allocated memory is kept

    def add(self, rows: IntArray, vectors: FloatArray, *, cells: IntArray | None = None) -> None:
        """Add (n, D) unit vectors under (n,) row numbers above all others; `cells` are computed if not given."""
        cells = self.find_cells(vectors, 1)[:, 0] if cells is None else cells
        arrays = [np.ascontiguousarray(array) for array in (vectors, rows, cells)]
        self.tail.faiss.add_core(len(rows), *map(faiss.swig_ptr, arrays))
        self.tail.rows = np.concatenate([self.tail.rows, rows])
        self.rows = np.concatenate([self.rows, rows])

    def tune(self, queries: FloatArray) -> None:
        """Increase `probes` by half until these (Q, D) queries reach `RECALL` against a search of every cell.

        The number that is needed depends on the dimension of the space that the embeddings fill.
        """
        self.probes = PROBES
        exact, _ = self.search(queries, count=NEAREST, whole=True)
        while self.probes < self.cells:
            rows, _ = self.search(queries, count=NEAREST)
            shared = [len(np.intersect1d(a, b)) for a, b in zip(exact, rows, strict=True)]
            if np.mean(shared) >= RECALL * exact.shape[1]:
                return
            self.probes = min(self.probes + max(1, self.probes // 2), self.cells)

    def remove(self, rows: IntArray) -> None:
        """Remove rows. Those of mapped parts are left out of searches, until the parts are written again."""
        self.tail.faiss.remove_ids(faiss.IDSelectorBatch(rows))
        stored = np.isin(rows, self.tail.rows, invert=True)
        self.tail.rows = subtract_rows(self.tail.rows, rows)
        self.removed = np.union1d(self.removed, rows[stored])
        self.rows = subtract_rows(self.rows, rows)

    def search(
        self,
        queries: FloatArray,
        *,
        count: int,
        allowed: IntArray | None = None,
        whole: bool = False,
        cells: IntArray | None = None,
    ) -> tuple[IntArray, FloatArray]:
        """Return rows and distances of candidates.

        Args:
            queries: (Q, D) unit vectors.
            count: Largest K.
            allowed: Rows to search, in all cells; None is all rows, in the cells nearest to each query.
            whole: Search all cells.
            cells: (Q, P) cells to search in place of those above.

        Returns:
            (Q, K) rows and (Q, K) approximate cosine distances, nearest first; row -1 where there are fewer.

        Raises:
            DamagedIndexError: If a file of cells has another row number than the index.
        """
        count = min(count, len(self.rows) if allowed is None else len(allowed))
        selector = None if allowed is None else self._select_once(allowed)
        if selector is None and len(self.removed):
            selector = faiss.IDSelectorNot(_select(self.removed))
        if cells is None:
            cells = self.find_cells(queries, self.cells if whole or allowed is not None else self.probes)
        parameters = faiss.SearchParametersIVF(sel=selector, nprobe=cells.shape[1])
        unused = np.zeros(cells.shape, np.float32)  # similarities to the centers, for codes of residuals
        inputs: list[Any] = [np.ascontiguousarray(array) for array in (queries, cells, unused)]
        found = [
            self._search_part(part, inputs, count, parameters) for part in (*self.parts, self.tail) if part.faiss.ntotal
        ]
        if len(found) == 1:
            ((similarities, rows),) = found
        else:
            empty = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
            similarities, rows = (np.concatenate(arrays, axis=1) for arrays in zip(empty, *found, strict=True))
            best = np.argsort(-similarities, axis=1, kind="stable")[:, :count]
            rows, similarities = np.take_along_axis(rows, best, 1), np.take_along_axis(similarities, best, 1)
        if allowed is None and self.parts:  # a search of allowed rows finds no others
            known = rows[rows >= 0]
            if (self.rows[np.searchsorted(self.rows, known).clip(max=len(self.rows) - 1)] != known).any():
                raise DamagedIndexError(", ".join(part.path.name for part in self.parts if part.path))
        return rows, 1 - similarities

    def _select_once(self, allowed: IntArray) -> Any:
        """Return a FAISS selector of row numbers, which is kept as long as the array."""
        key = id(allowed)
        if key not in self._selectors:
            reference = weakref.ref(allowed, lambda _: self._selectors.pop(key, None))
            self._selectors[key] = reference, _select(allowed)
        return self._selectors[key][1]

    @staticmethod
    def _search_part(
        part: Part, inputs: list[FloatArray | IntArray], count: int, parameters: Any
    ) -> tuple[FloatArray, IntArray]:
        """Search given cells of a part, which are found once for all parts."""
        queries, cells, centers = inputs
        similarities = np.empty((len(queries), count), np.float32)
        rows = np.empty((len(queries), count), np.int64)
        part.faiss.search_preassigned_c(
            len(queries),
            faiss.swig_ptr(queries),
            count,
            *map(faiss.swig_ptr, (cells, centers, similarities, rows)),
            False,
            parameters,
        )
        return similarities, rows


def _select(rows: IntArray) -> Any:
    """Return a FAISS selector of row numbers."""
    marks = np.zeros(int(rows.max(initial=0)) // 8 * 8 + 8, np.bool_)
    marks[rows] = True
    return faiss.IDSelectorBitmap(np.packbits(marks, bitorder="little"))
