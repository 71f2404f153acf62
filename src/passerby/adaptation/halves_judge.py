"""Comparison of embeddings without tracks and identities: one half of the parts links crops, the other half is judged.

N crops   P parts   D width of a part   G units that are held out
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.metric.covariance import UNKNOWN
from passerby.ranking.camera_normalization import normalize_rows
from passerby.types import BoolArray, FloatArray, IntArray, Result


def split_halves(vectors: NDArray[np.floating], parts: int) -> tuple[FloatArray, FloatArray]:
    """Split (N, P D) embeddings into the parts 1, 3, ... and the parts 2, 4, ..., each (N, about P D / 2), unit length.

    Example:
        >>> [half.tolist() for half in split_halves(np.array([[3.0, 0.0, 0.0, 5.0]]), 2)]
        [[[1.0, 0.0]], [[0.0, 1.0]]]
    """
    rows = np.asarray(vectors, np.float32).reshape(len(vectors), parts, -1)  # (N, P, D)
    first, second = (normalize_rows(rows[:, half::2].reshape(len(rows), -1)) for half in (0, 1))
    return first.astype(np.float32), second.astype(np.float32)


@dataclass(frozen=True, repr=False)
class HalvesJudge(Result):
    """Crops on which rungs are compared with the start, without a known match.

    The model at the start links crops by one half of the parts. Each crop is a query for its link by the other half, of
    the start and of a rung. Held-out crops and their links are not learned from.

    Attributes:
        links: (2, N) link of each crop to one of another camera by the parts 1, 3, ..., and by the parts 2, 4, ..., or
            `UNKNOWN`.
        camera_ids: (N,).
        units: (N,) unit of each crop; no link connects two units.
        held_out: (N,) crops that no rung learns from; whole units.
        parts: P.
    """

    links: IntArray
    camera_ids: IntArray
    units: IntArray
    held_out: BoolArray
    parts: int

    def precision(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the mean average precision of each held-out unit with links, (G,).

        Args:
            vectors: (N, P D).
        """
        queries, precision = self.query_precision(vectors)
        units = self.units[queries]
        return np.array([precision[units == unit].mean() for unit in np.unique(units)])

    def query_precision(self, vectors: NDArray[np.floating]) -> tuple[IntArray, NDArray[np.float64]]:
        """Return the held-out crops that have a link, (Q,), and their average precision: 1 / rank of the link.

        It is the mean of both halves for a crop that both link. Ties count as the mean of their ranks.

        Args:
            vectors: (N, P D).
        """
        rows = np.flatnonzero(self.held_out)
        position = np.full(len(self.units), UNKNOWN)
        position[rows] = np.arange(len(rows))
        searched = self._find_searched(rows)
        sums, counts = np.zeros(len(rows)), np.zeros(len(rows))
        for links, half in zip(self.links, reversed(split_halves(vectors[rows], self.parts)), strict=True):
            queries = np.flatnonzero(links[rows] != UNKNOWN)
            similarity = np.where(searched[queries], half[queries] @ half.T, -np.inf)  # (q, n)
            own = similarity[np.arange(len(queries)), position[links[rows[queries]]]][:, None]
            ranks = (similarity > own).sum(axis=1) + ((similarity == own).sum(axis=1) + 1) / 2
            sums[queries] += 1 / ranks
            counts[queries] += 1
        linked = counts > 0
        return rows[linked], sums[linked] / counts[linked]

    def rank(self, vectors: NDArray[np.floating], query: int) -> IntArray:
        """Return the crops that are searched for a held-out crop, the most similar first.

        Args:
            vectors: (N, P D) of unit length.
            query: Index of the crop.
        """
        rows = np.flatnonzero(self.held_out)
        searched = rows[self._find_searched(rows)[np.searchsorted(rows, query)]]
        return np.asarray(searched[np.argsort(-(vectors[searched] @ vectors[query]), kind="stable")])

    def is_match(self, query: int, crop: int) -> bool:
        """Return whether a half links two crops."""
        return bool((self.links[:, query] == crop).any())

    def _find_searched(self, rows: IntArray) -> BoolArray:
        """Mark, for each held-out crop, those that are searched: of other cameras."""
        cameras = self.camera_ids[rows]
        return np.asarray(cameras[:, None] != cameras[None])
