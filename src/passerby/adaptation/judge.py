"""Held-out groups of crops, and the average precision of embeddings on them.

N crops   D width of the embedding   G held-out groups
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.types import BoolArray, IntArray, Result

HELD_OUT = 0.3
"""Fraction of the groups that are held out."""
MOST_HELD_OUT = 150
"""Largest number of held-out groups: more would make the gain little more certain and leave less to learn from."""
MIN_GROUPS = 20
"""Least number of held-out groups of two crops or more: of fewer, the standard error of a gain is itself uncertain."""


@dataclass(frozen=True, repr=False)
class Judge(Result):
    """Crops on which rungs are compared with the start.

    Attributes:
        groups: (N,) track or identity of each crop, or `UNKNOWN`.
        camera_ids: (N,).
        held_out: (N,) crops that no rung learns from.
        across: Whether crops of one group in other cameras are searched (identities); otherwise crops of the same
            camera (tracks).
    """

    groups: IntArray
    camera_ids: IntArray
    held_out: BoolArray
    across: bool

    def precision(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the mean average precision of each held-out group, (G,), in the order of `group_numbers`.

        Each crop is a query among the other held-out crops. With `across` those of its own group and camera are left
        out, as by the Market rule; otherwise those of other cameras.

        Args:
            vectors: (N, D) of unit length.
        """
        queries, precision = self.query_precision(vectors)
        groups = self.groups[queries]
        return np.array([precision[groups == group].mean() for group in np.unique(groups)])

    def query_precision(self, vectors: NDArray[np.floating]) -> tuple[IntArray, NDArray[np.float64]]:
        """Return the held-out crops that have a match and others to be searched, (Q,), and their average precision.

        Args:
            vectors: (N, D) of unit length.
        """
        rows = np.flatnonzero(self.held_out)
        groups = self.groups[rows]
        similarity = np.asarray(vectors, np.float64)[rows] @ np.asarray(vectors, np.float64)[rows].T
        searched = self._find_searched(rows)
        same_group = groups[:, None] == groups[None]
        precision = np.array(
            [
                _average_precision(similarity[row][searched[row]], same_group[row][searched[row]])
                for row in range(len(rows))
            ]
        )
        known = ~np.isnan(precision)
        return rows[known], precision[known]

    def rank(self, vectors: NDArray[np.floating], query: int) -> IntArray:
        """Return the crops that are searched for a held-out crop, the most similar first.

        Args:
            vectors: (N, D) of unit length.
            query: Index of the crop.
        """
        rows = np.flatnonzero(self.held_out)
        searched = rows[self._find_searched(rows)[np.searchsorted(rows, query)]]
        return np.asarray(searched[np.argsort(-(vectors[searched] @ vectors[query]), kind="stable")])

    def is_match(self, query: int, crop: int) -> bool:
        """Return whether two crops are of one group."""
        return bool(self.groups[query] == self.groups[crop])

    def _find_searched(self, rows: IntArray) -> BoolArray:
        """Mark, for each held-out crop, the others that are searched."""
        groups, cameras = self.groups[rows], self.camera_ids[rows]
        same_camera = cameras[:, None] == cameras[None]
        searched = ~(same_camera & (groups[:, None] == groups[None])) if self.across else same_camera
        np.fill_diagonal(searched, False)
        return np.asarray(searched)


def _average_precision(similarity: NDArray[np.float64], matches: BoolArray) -> float:
    """Return the average precision of one query, ties as the mean of both orders; NaN without a match."""
    if not matches.any() or matches.all():
        return float("nan")
    positives, negatives = np.sort(similarity[matches])[::-1], np.sort(similarity[~matches])
    above = len(negatives) - np.searchsorted(negatives, positives, "right")
    ties = np.searchsorted(negatives, positives, "right") - np.searchsorted(negatives, positives, "left")
    order = np.arange(1, len(positives) + 1)
    return float((order / (order + above + ties / 2)).mean())
