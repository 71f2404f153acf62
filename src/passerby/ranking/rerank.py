"""k-reciprocal re-ranking (Zhong et al. 2017) with sparse sets: no array of N x N, N = Q + G, is held.

Two images that are among each other's nearest neighbors probably show the same person. Each image is encoded by its
reciprocal neighbors, and two images are compared by the overlap of their neighborhoods (Jaccard distance).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError, argument
from passerby.ranking.distance import Metric, Vectors, distance_blocks
from passerby.ranking.neighbors import find_neighbors
from passerby.ranking.rank import rank
from passerby.ranking.reciprocal import average_neighbors, encode_neighbors, subtract_overlap
from passerby.types import Embeddings, FloatArray, Ranking

if TYPE_CHECKING:
    from scipy.sparse import csr_array

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
    """Compute the matrix of re-ranked distances (Zhong et al. 2017); `rerank_blocks` does without the matrix.

    Args:
        query: Q embeddings.
        gallery: G embeddings.
        k1: Number of neighbors tested for reciprocity, 1 to G.
        k2: Number of neighbors whose encodings are averaged, 1 to k1 + 1; 1 disables it.
        lambda_: Weight of the original distance, 0 to 1; the weight of the Jaccard distance is 1 - lambda_.
        variant: `zhong` or `squared-twice`; see `rerank_blocks`.
        metric: `cosine` or `euclidean`; see `rerank_blocks`.

    Returns:
        (Q, G) float32, 0 to 1, smaller is nearer.

    Raises:
        DataError: Naming the argument and the value; see also `distance_blocks`.

    Example:
        >>> query = passerby.Embeddings([[1.0, 0.0]], [1], [0])
        >>> gallery = passerby.Embeddings([[1.0, 0.1], [1.0, 0.2], [-1.0, 0.1]], [1, 1, 2], [1, 1, 1])
        >>> distances = passerby.rerank(query, gallery, k1=2, k2=1)
        >>> passerby.score(query, gallery, distances=distances).mAP
        1.0
    """
    blocks = rerank_blocks(query, gallery, k1=k1, k2=k2, lambda_=lambda_, variant=variant, metric=metric)
    matrix = np.empty((len(query), len(gallery)), dtype=np.float32)
    for first, block in blocks:
        matrix[first : first + len(block)] = block
    return matrix


def rerank_top(query: Embeddings, gallery: Embeddings, *, top: int = 100, **options: Any) -> Ranking:
    """Compute the first `top` items of each re-ranked list, without the matrix.

    Args:
        query: Q embeddings.
        gallery: G embeddings.
        top: Number of items per query.
        options: `k1`, `k2`, `lambda_`, `variant` and `metric` of `rerank_blocks`.

    Returns:
        Ranking of (Q, K) arrays, K = min(top, G), without items of the query's identity in its own camera.

    Raises:
        DataError: Naming the argument and the value.

    Example:
        >>> query = passerby.Embeddings([[1.0, 0.0]], [1], [0])
        >>> gallery = passerby.Embeddings([[1.0, 0.1], [1.0, 0.2], [-1.0, 0.1]], [1, 1, 2], [1, 1, 1])
        >>> passerby.rerank_top(query, gallery, top=2, k1=2, k2=1).indices.tolist()
        [[0, 1]]
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
    """Compute re-ranked distances in blocks of queries, as `score` and `rank` read them.

    Identities and cameras are not used. Besides its distances, a query visits only gallery items with which it has a
    common neighbor.

    Args:
        query: Q embeddings.
        gallery: G embeddings.
        k1: Number of neighbors tested for reciprocity, 1 to G.
        k2: Number of neighbors whose encodings are averaged (local query expansion), 1 to k1 + 1; 1 disables it.
        lambda_: Weight of the original distance, 0 to 1; the weight of the Jaccard distance is 1 - lambda_.
        variant: `zhong`: squared Euclidean distances, as published. `squared-twice`: the squares of these, as in two
            widely used copies; distant neighbors have less weight.
        metric: `cosine` normalizes the vectors to length 1 first; `euclidean` uses them as they are.

    Returns:
        Iterator of (first, (q, G) float32), 0 to 1, smaller is nearer.

    Raises:
        DataError: At the call, naming the argument and the value; see also `distance_blocks`.

    Example:
        >>> query = passerby.Embeddings([[1.0, 0.0]], [1], [0])
        >>> gallery = passerby.Embeddings([[1.0, 0.1], [1.0, 0.2], [-1.0, 0.1]], [1, 1, 2], [1, 1, 1])
        >>> passerby.score(query, gallery, distances=rerank_blocks(query, gallery, k1=2, k2=1)).rank1
        1.0
    """
    distance_blocks(query.vectors, gallery.vectors, metric=metric)  # raises for vectors that cannot be compared
    if variant not in get_args(Variant):
        raise DataError(f"variant: got {variant!r}, expected one of {', '.join(get_args(Variant))}")
    limits = (("k1", k1, len(gallery), "the size of the gallery"), ("k2", k2, k1 + 1, "k1 + 1"))
    for name, value, largest, reason in limits:
        if type(value) is not int or not 1 <= value <= largest:
            raise DataError(f"{argument(name)}: got {value}, expected a whole number from 1 to {largest}, {reason}")
    if not 0 <= lambda_ <= 1:
        raise DataError(f"{argument('lambda_')}: got {lambda_}, expected 0 to 1")
    power = 1 if variant == "zhong" else 2
    dtype = np.promote_types(query.vectors.dtype, np.float32)
    vectors = np.concatenate([query.vectors, gallery.vectors], dtype=dtype)  # (N, D)
    if metric == "cosine":
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    neighbors = find_neighbors(vectors, k=k1 + 1)
    weights = encode_neighbors(vectors, neighbors, half=round(k1 / 2), power=power)
    if k2 > 1:
        weights = average_neighbors(weights, neighbors.indices[:, :k2])
    return _mix(vectors, len(query), weights, neighbors.farthest, power=power, lambda_=lambda_)


def _mix(
    vectors: Vectors, queries: int, weights: csr_array, farthest: NDArray[np.float64], *, power: int, lambda_: float
) -> Iterator[tuple[int, FloatArray]]:
    """Weighted sum of the original distance, divided by the largest of each query, and the Jaccard distance."""
    gallery_rows = weights[queries:].tocsc()
    inverted = gallery_rows.indptr, gallery_rows.indices, gallery_rows.data
    encoded = weights.indptr, weights.indices, weights.data
    for first, distances in distance_blocks(vectors[:queries], vectors[queries:], metric="euclidean"):
        mixed = distances  # the same memory
        largest = np.sqrt(farthest[first : first + len(mixed), None])
        mixed /= np.where(largest > 0, largest, 1)  # of equal images every distance is 0
        for _ in range(power):
            mixed *= mixed
        mixed *= lambda_
        mixed += 1 - lambda_  # the Jaccard distance of two images without a common neighbor is 1
        subtract_overlap(mixed, first, encoded, inverted, 1 - lambda_)
        yield first, mixed
