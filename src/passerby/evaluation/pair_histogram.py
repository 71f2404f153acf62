"""Histogram of the distances of all pairs of images, of one identity and of two.

Pairs are counted in bins of equal width while the blocks of distances pass, so that memory is bounded. What is
computed from the counts is exact at the edges of the bins, and within one bin width between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.compiled import njit
from passerby.errors import DataError
from passerby.ranking.blocks import DistanceBlocks, as_distances, iter_distances
from passerby.ranking.distance import Metric
from passerby.types import DISTRACTOR, Embeddings, IntArray, Labels, Result, as_array

BINS = 8192
"""Default number of bins; for cosine distances, 0 to 2, a bin is 0.000244 wide."""


@dataclass(frozen=True, repr=False)
class PairHistogram(Result):
    """Pairs of images from different cameras, by distance, in B bins of equal width.

    Attributes:
        low: Lower edge of the first bin.
        high: Upper edge of the last bin, included in it; every other upper edge belongs to the next bin.
        same: (B,) number of pairs with one identity. Given as array-like.
        different: (B,) number of pairs with two identities; a distractor differs from every identity.

    Example:
        >>> pairs = PairHistogram(0.0, 1.0, same=[5, 1], different=[2, 9])
        >>> pairs.centers
        array([0.25, 0.75])
    """

    low: float
    high: float
    same: IntArray
    different: IntArray

    def __post_init__(self) -> None:
        for name in ("same", "different"):
            object.__setattr__(self, name, as_array(getattr(self, name)).astype(np.int64))

    @property
    def width(self) -> float:
        """Width of a bin: the resolution of what is computed from the counts."""
        return (self.high - self.low) / len(self.same)

    @property
    def edges(self) -> NDArray[np.float64]:
        """(B + 1,) edges of the bins."""
        return np.linspace(self.low, self.high, len(self.same) + 1)

    @property
    def centers(self) -> NDArray[np.float64]:
        """(B,) center of each bin, taken as the distance of its pairs."""
        return (self.edges[:-1] + self.edges[1:]) / 2

    def require_both(self) -> None:
        """Raise DataError when there is no pair of one kind."""
        for kind, counts in (("one person", self.same), ("two people", self.different)):
            if not counts.sum():
                raise DataError(f"pairs: none shows {kind} in different cameras; give images of people in two cameras")


def count_pairs(
    query: Embeddings | Labels,
    gallery: Embeddings | Labels,
    *,
    distances: ArrayLike | DistanceBlocks | None = None,
    limits: tuple[float, float] | None = None,
    bins: int = BINS,
    metric: Metric = "cosine",
    device: str = "auto",
) -> PairHistogram:
    """Count every pair of a query and a gallery image from another camera by its distance.

    Args:
        query: Q embeddings; `Labels` when `distances` are given.
        gallery: G embeddings, or `Labels`. To compare a set with itself, give it twice: each pair counts twice.
        distances: (Q, G) distances, or blocks of them, in place of those between the vectors; infinity excludes a pair.
        limits: Smallest and largest distance. None: 0 to 2 for cosine, 0 to the sum of the longest vectors for
            euclidean, the extremes of a given matrix; required for blocks.
        bins: Number of bins.
        metric: `cosine` or `euclidean`; not used with `distances`.
        device: As for `passerby.score`.

    Returns:
        PairHistogram of `bins` bins.

    Raises:
        DataError: Naming the argument: no image, no limits, a distance outside them; see `distance_blocks`.

    Example:
        >>> query, gallery = Labels([1, 2], [0, 0]), Labels([1, 2], [1, 1])
        >>> count_pairs(query, gallery, distances=[[0.1, 0.9], [0.8, 0.2]], limits=(0, 1), bins=2)
        PairHistogram(low=0, high=1, same=array(2,), different=array(2,))
    """
    for name, images in (("query", query), ("gallery", gallery)):
        if not len(images):
            raise DataError(f"{name}: got no image, expected at least one")
    if bins < 1:
        raise DataError(f"bins: got {bins}, expected at least 1")
    distances = as_distances(distances)
    blocks = iter_distances(query, gallery, distances, metric=metric, device=device)
    low, high = limits or _default_limits(query, gallery, distances, metric=metric)
    if not np.isfinite([low, high]).all() or low >= high:
        raise DataError(f"limits: got {low} to {high}, expected two finite numbers, the smaller first")
    counts = np.zeros((2, bins), dtype=np.int64)
    for first, block in blocks:
        matrix = as_array(block)
        rows = slice(first, first + len(matrix))
        labels = query.person_ids[rows], query.camera_ids[rows], gallery.person_ids, gallery.camera_ids
        outside = _count(matrix, *labels, low, high, counts)
        if outside >= 0:
            row, column = divmod(outside, len(gallery))
            raise DataError(
                f"limits: got {low} to {high}, and {matrix[row, column]} between query {first + row} and gallery item "
                f"{column}; give limits that include every distance"
            )
    return PairHistogram(float(low), float(high), counts[1], counts[0])


def merge_histograms(histograms: Iterable[PairHistogram]) -> PairHistogram:
    """Add the counts of several data sets.

    Raises:
        DataError: For no histogram, or histograms with different bins.

    Example:
        >>> pairs = PairHistogram(0.0, 1.0, same=[5, 1], different=[2, 9])
        >>> merge_histograms([pairs, pairs]).same
        array([10,  2])
    """
    parts = list(histograms)
    if len({(part.low, part.high, len(part.same)) for part in parts}) != 1:
        raise DataError(f"histograms: got {len(parts)}, expected at least one, all with the same limits and bins")
    same, different = (np.sum([getattr(part, name) for part in parts], axis=0) for name in ("same", "different"))
    return PairHistogram(parts[0].low, parts[0].high, same, different)


def _default_limits(
    query: Embeddings | Labels, gallery: Embeddings | Labels, distances: Any, *, metric: Metric
) -> tuple[float, float]:
    """Limits that no distance can exceed."""
    if isinstance(distances, np.ndarray):
        finite = distances[np.isfinite(distances)]
        if not finite.size:
            raise DataError("distances: none is finite, so there is no pair to count")
        low, high = float(finite.min()), float(finite.max())
        return low, high if low < high else low + max(1.0, abs(low))
    if distances is not None:
        raise DataError("limits: got None with blocks of distances; give the smallest and the largest distance")
    if metric == "cosine":
        return 0.0, 2.0
    assert isinstance(query, Embeddings)
    assert isinstance(gallery, Embeddings)
    longest = sum(float(np.linalg.norm(side.vectors.astype(np.float64), axis=1).max()) for side in (query, gallery))
    return 0.0, longest * (1 + 2.0**-20) or 1.0  # distances are rounded to float32


@njit(nogil=True, cache=True)
def _count(
    block: Any, ids: Any, cameras: Any, gallery_ids: Any, gallery_cameras: Any, low: Any, high: Any, counts: Any
) -> Any:
    """Add the pairs of a block to (2, B) counts of different and same; -1, or the flat index outside the limits."""
    bins = counts.shape[1]
    scale = bins / (high - low)
    for row in range(block.shape[0]):
        for g in range(block.shape[1]):
            distance = np.float64(block[row, g])
            if gallery_cameras[g] == cameras[row] or distance == np.inf:
                continue
            if not low <= distance <= high:
                return row * block.shape[1] + g
            number = min(int((distance - low) * scale), bins - 1)
            same = ids[row] == gallery_ids[g] and ids[row] != DISTRACTOR
            counts[1 if same else 0, number] += 1
    return -1
