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
MIN_GROUPS = 10
"""Least number of held-out groups of two crops or more."""


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
        rows = np.flatnonzero(self.held_out)
        groups, cameras = self.groups[rows], self.camera_ids[rows]
        similarity = np.asarray(vectors, np.float64)[rows] @ np.asarray(vectors, np.float64)[rows].T
        same_camera = cameras[:, None] == cameras[None]
        same_group = groups[:, None] == groups[None]
        ignored = same_camera & same_group if self.across else ~same_camera
        np.fill_diagonal(ignored, True)
        values = [
            _average_precision(similarity[row][~ignored[row]], same_group[row][~ignored[row]])
            for row in range(len(rows))
        ]
        precision = np.array(values)
        return np.array([np.nanmean(precision[groups == group]) for group in self._usable(groups, precision)])

    @staticmethod
    def _usable(groups: IntArray, precision: NDArray[np.float64]) -> IntArray:
        """Return the groups with a query that has a match."""
        return np.unique(groups[~np.isnan(precision)])


def _average_precision(similarity: NDArray[np.float64], matches: BoolArray) -> float:
    """Return the average precision of one query, ties as the mean of both orders; NaN without a match."""
    if not matches.any() or matches.all():
        return float("nan")
    positives, negatives = np.sort(similarity[matches])[::-1], np.sort(similarity[~matches])
    above = len(negatives) - np.searchsorted(negatives, positives, "right")
    ties = np.searchsorted(negatives, positives, "right") - np.searchsorted(negatives, positives, "left")
    order = np.arange(1, len(positives) + 1)
    return float((order / (order + above + ties / 2)).mean())
