"""k-reciprocal re-ranking (Zhong et al. 2017), sparse: nothing of size N x N, N = Q + G, ever exists.

Two images that are near each other *from both sides* are likely the same person. Each image is described by its
reciprocal neighbors, and two images are compared by how much of their neighborhoods they share (Jaccard distance).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from passerby.errors import DataError
from passerby.ranking.distance import Metric, Vectors, distance_blocks
from passerby.ranking.neighbors import find_neighbors
from passerby.ranking.rank import rank
from passerby.ranking.reciprocal import average_neighbors, describe, subtract_overlap
from passerby.types import Embeddings, FloatArray, Ranking

Variant = Literal["zhong", "squared-twice"]


def rerank(
    query: Embeddings,
    gallery: Embeddings,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_: float = 0.3,
    variant: Variant = "zhong",
    metric: Metric = "cosine",
) -> FloatArray:
    """(Q, G) re-ranked distances, 0 to 1, smaller is nearer; see `rerank_blocks`, which spares the matrix."""
    strips = rerank_blocks(query, gallery, k1=k1, k2=k2, lambda_=lambda_, variant=variant, metric=metric)
    matrix = np.empty((len(query), len(gallery)), dtype=np.float32)
    for first, strip in strips:
        matrix[first : first + len(strip)] = strip
    return matrix


def rerank_top(query: Embeddings, gallery: Embeddings, *, top: int = 100, **options: Any) -> Ranking:
    """The first `top` of each re-ranked list, without the matrix.

    `options` are those of `rerank_blocks`; the query's own person in its own camera is left out, as `rank` does.
    """
    return rank(query, gallery, distances=rerank_blocks(query, gallery, **options), top=top)


def rerank_blocks(
    query: Embeddings,
    gallery: Embeddings,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_: float = 0.3,
    variant: Variant = "zhong",
    metric: Metric = "cosine",
) -> Iterator[tuple[int, FloatArray]]:
    """Re-ranked distances, a strip of queries at a time, for `score` and `rank`.

    People and cameras are not looked at. Beside its distances, a query only touches gallery items with which it shares
    a neighbor.

    Args:
        query: Q vectors.
        gallery: G vectors.
        k1: Neighbors that are tested for reciprocity, 1 to G.
        k2: Neighbors whose descriptions are averaged (local query expansion), 1 to k1 + 1; 1 is off.
        lambda_: Share of the original distance in the result, 0 to 1; the rest is the Jaccard distance.
        variant: `zhong`: squared Euclidean distances, as published. `squared-twice`: their squares, as two popular
            copies compute, which weigh far neighbors less.
        metric: `cosine` brings vectors to unit length first; `euclidean` takes them as they are.

    Returns:
        Iterator of (first, (q, G) float32), 0 to 1.

    Raises:
        DataError: At the call, naming the argument and what it got; see also `distance_blocks`.
    """
    distance_blocks(query.vectors, gallery.vectors, metric=metric)  # refuses what cannot be compared
    if variant not in get_args(Variant):
        raise DataError(f"variant: got {variant!r}, expected one of {', '.join(get_args(Variant))}")
    for name, value, most, why in (("k1", k1, len(gallery), "the size of the gallery"), ("k2", k2, k1 + 1, "k1 + 1")):
        if type(value) is not int or not 1 <= value <= most:
            raise DataError(f"{name}: got {value}, expected a whole number from 1 to {most}, {why}")
    if not 0 <= lambda_ <= 1:
        raise DataError(f"lambda_: got {lambda_}, expected 0 to 1")
    power = 1 if variant == "zhong" else 2
    wide = np.promote_types(query.vectors.dtype, np.float32)
    vectors = np.concatenate([query.vectors, gallery.vectors], dtype=wide)  # (N, D)
    if metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = find_neighbors(vectors, k=k1 + 1)
    weights = describe(vectors, found, half=round(k1 / 2), power=power)
    if k2 > 1:
        weights = average_neighbors(weights, found.indices[:, :k2])
    return _mix(vectors, len(query), weights, found.farthest, power=power, lambda_=lambda_)


def _mix(
    vectors: Vectors, queries: int, weights: csr_array, farthest: NDArray[np.float64], *, power: int, lambda_: float
) -> Iterator[tuple[int, FloatArray]]:
    """Original distance, relative to each query's largest, and Jaccard distance, weighed."""
    gallery_rows = weights[queries:].tocsc()
    inverted = gallery_rows.indptr, gallery_rows.indices, gallery_rows.data
    described = weights.indptr, weights.indices, weights.data
    for first, strip in distance_blocks(vectors[:queries], vectors[queries:], metric="euclidean"):
        largest = np.sqrt(farthest[first : first + len(strip), None])
        mixed = strip
        mixed /= np.where(largest > 0, largest, 1)  # all images alike: every distance is 0
        for _ in range(power):
            mixed *= mixed
        mixed *= lambda_
        mixed += 1 - lambda_  # the Jaccard distance of two images that have no neighbor in common is 1
        subtract_overlap(mixed, first, described, inverted, 1 - lambda_)
        yield first, mixed
