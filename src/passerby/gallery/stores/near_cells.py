"""Number of cells of an inverted file that a search near given points reads, learned from searches of all cells.

A search for the best scores under camera-wise normalization ranks vectors by a direction, and expects the best near a
point. How many cells around this point hold the best depends on the vectors. The first searches of an index therefore
read all cells, and count for each of the best how many cells are nearer to the point than its own.

D embedding width   N vectors
"""

from __future__ import annotations

import numpy as np

from passerby.gallery.stores.faiss_index import NEAREST, PROBES, RECALL, InvertedFile
from passerby.types import FloatArray, IntArray

SEARCHES = 24
"""Queries that read all cells before the number of cells is chosen."""
GROWTH = 0.1
"""Fraction by which an index must grow or shrink before the number is learned again."""
_AT_ONCE = 16
"""Points whose cells are found at a time; for 20 or more FAISS 1.8 calls BLAS."""
_QUANTILE = (1 + RECALL) / 2
"""Fraction of the best whose cells are read; above `RECALL`, because it is estimated from few queries."""


class NearCells:
    """The number of cells for one index at a time."""

    def __init__(self) -> None:
        self._centers: FloatArray | None = None
        self._size = 0
        self._ranks: list[IntArray] = []

    def probes(self, index: InvertedFile) -> int | None:
        """Return the number of cells to read; None for all, while it is learned."""
        if self._centers is not index.centers or abs(len(index.rows) - self._size) > GROWTH * self._size:
            self._centers, self._size, self._ranks = index.centers, len(index.rows), []
        if len(self._ranks) < SEARCHES:
            return None
        needed = int(np.quantile(np.concatenate(self._ranks), _QUANTILE, method="higher")) + 1
        return int(min(max(needed, PROBES), index.cells))

    @staticmethod
    def find(index: InvertedFile, points: FloatArray, probes: int) -> IntArray:
        """Return the (n, probes) cells nearest to (n, D) points.

        Without BLAS, whose threads wait actively for 0.1 s after a product and keep the next searches from their core
        (on two cores they took 3.5 times as long).
        """
        return np.concatenate(
            [index.find_cells(points[start : start + _AT_ONCE], probes) for start in range(0, len(points), _AT_ONCE)]
        )

    def note(self, index: InvertedFile, points: FloatArray, vectors: FloatArray) -> None:
        """Learn from the best of one query, found in all cells.

        Args:
            index: The index.
            points: (n, D) the point of each of the best.
            vectors: (n, D) their unit vectors, best first.
        """
        points, vectors = points[:NEAREST], vectors[:NEAREST]
        similarities = points @ index.centers.T  # (n, C)
        own = np.take_along_axis(similarities, index.find_cells(vectors, 1), 1)
        self._ranks.append((similarities > own).sum(axis=1))
