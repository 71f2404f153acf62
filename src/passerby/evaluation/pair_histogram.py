"""Distances of all pairs of images, counted: how they spread for the same person and for different people.

Bounded memory: the pairs are counted in equal bins while the distances pass. What is computed from the counts is exact
at the edges of the bins, and a bin wide in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.ranking.blocks import DistanceBlocks, iter_distances
from passerby.ranking.distance import Metric
from passerby.types import DISTRACTOR, Embeddings, FloatArray, IntArray, Labels

BINS = 8192
"""Of cosine distances, 0 to 2, each is 0.000244 wide."""


@dataclass(frozen=True)
class PairHistogram:
    """Pairs of images from different cameras, by distance, in B bins of equal width.

    Attributes:
        low: Lower edge of the first bin.
        high: Upper edge of the last, which it includes; of others the upper edge belongs to the next.
        same: (B,) pairs that show one person.
        different: (B,) pairs that show two; a distractor is different from everybody.
    """

    low: float
    high: float
    same: IntArray
    different: IntArray

    @property
    def width(self) -> float:
        """Of each bin: how exact what is computed from the counts is."""
        return (self.high - self.low) / len(self.same)

    @property
    def edges(self) -> NDArray[np.float64]:
        """(B + 1,) where bins begin and end."""
        return np.linspace(self.low, self.high, len(self.same) + 1)

    @property
    def centers(self) -> NDArray[np.float64]:
        """(B,) the middle of each bin, which stands for its pairs."""
        return (self.edges[:-1] + self.edges[1:]) / 2

    def require_both(self) -> None:
        """Raise DataError when there is no pair of one kind: rates of nothing are no figures."""
        for who, counts in (("one person", self.same), ("two people", self.different)):
            if not counts.sum():
                raise DataError(f"pairs: none shows {who} in different cameras; give images of people in two cameras")


def count_pairs(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: FloatArray | DistanceBlocks | None = None,
    limits: tuple[float, float] | None = None,
    bins: int = BINS,
    metric: Metric = "cosine",
    device: str = "cpu",
) -> PairHistogram:
    """Count every pair of a query and a gallery image from another camera by its distance.

    Args:
        query: Q vectors; `Labels` when `distances` are given.
        gallery: G vectors, or `Labels`. The query's own images compare a set with itself: each pair counts twice.
        distances: (Q, G) distances in place of the vectors', or strips of them; infinity takes a pair out.
        limits: Smallest and largest distance. None: 0 to 2 for cosine, 0 to the sum of the longest vectors for
            euclidean, the extremes of a given matrix; strips need them.
        bins: How many.
        metric: `cosine` or `euclidean`; not used with `distances`.
        device: `cpu`, or a CUDA device for the distances.

    Raises:
        DataError: Naming the argument: empty, no limits, a distance outside them; see `distance_blocks`.
    """
    for name, each in (("query", query), ("gallery", gallery)):
        if not len(each):
            raise DataError(f"{name}: got no image, expected at least one")
    if bins < 1:
        raise DataError(f"bins: got {bins}, expected at least 1")
    strips = iter_distances(query, gallery, distances, metric=metric, device=device)
    low, high = limits or _limits(query, gallery, distances, metric=metric)
    if not np.isfinite([low, high]).all() or low >= high:
        raise DataError(f"limits: got {low} to {high}, expected two finite numbers, the smaller first")
    counts = np.zeros((2, bins), dtype=np.int64)
    for first, given in strips:
        strip = given if isinstance(given, np.ndarray) else given.cpu().numpy()
        rows = slice(first, first + len(strip))
        ours = query.person_ids[rows], query.camera_ids[rows]
        outside = _count(strip, *ours, gallery.person_ids, gallery.camera_ids, low, high, counts)
        if outside >= 0:
            row, column = divmod(outside, len(gallery))
            raise DataError(
                f"limits: got {low} to {high}, and {strip[row, column]} between query {first + row} and gallery item "
                f"{column}; give limits that hold every distance"
            )
    return PairHistogram(float(low), float(high), counts[1], counts[0])


def merge_histograms(histograms: Iterable[PairHistogram]) -> PairHistogram:
    """The pairs of several data sets together, none across them.

    Raises:
        DataError: For none, or different bins.
    """
    all_of_them = list(histograms)
    if len({(each.low, each.high, len(each.same)) for each in all_of_them}) != 1:
        raise DataError(f"histograms: got {len(all_of_them)}, expected at least one, all of the same limits and bins")
    same, different = (np.sum([getattr(each, name) for each in all_of_them], axis=0) for name in ("same", "different"))
    return PairHistogram(all_of_them[0].low, all_of_them[0].high, same, different)


def _limits(
    query: Embeddings | Labels, gallery: Embeddings | Labels, distances: Any, *, metric: Metric
) -> tuple[float, float]:
    """What the distances cannot leave."""
    if isinstance(distances, np.ndarray):
        finite = distances[np.isfinite(distances)]
        if not finite.size:
            raise DataError("distances: none is finite; there is no pair left to count")
        low, high = float(finite.min()), float(finite.max())
        if low == high:
            high = low + max(1.0, abs(low))
        return low, high
    if distances is not None:
        raise DataError("limits: got None with strips of distances; give the smallest and largest that they can hold")
    if metric == "cosine":
        return 0.0, 2.0
    assert isinstance(query, Embeddings)
    assert isinstance(gallery, Embeddings)
    longest = sum(float(np.linalg.norm(side.vectors.astype(np.float64), axis=1).max()) for side in (query, gallery))
    return 0.0, longest * (1 + 2.0**-20) or 1.0  # distances are rounded to float32


@njit(nogil=True, cache=True)
def _count(
    strip: Any, people: Any, cameras: Any, gallery_people: Any, gallery_cameras: Any, low: Any, high: Any, counts: Any
) -> Any:
    """Add a strip's pairs to (2, B) counts of different and same; -1, or the flat place of one outside the limits."""
    bins = counts.shape[1]
    scale = bins / (high - low)
    for row in range(strip.shape[0]):
        for g in range(strip.shape[1]):
            distance = np.float64(strip[row, g])
            if gallery_cameras[g] == cameras[row] or distance == np.inf:
                continue
            if not low <= distance <= high:
                return row * strip.shape[1] + g
            number = min(int((distance - low) * scale), bins - 1)
            same = people[row] == gallery_people[g] and people[row] != DISTRACTOR
            counts[1 if same else 0, number] += 1
    return -1
