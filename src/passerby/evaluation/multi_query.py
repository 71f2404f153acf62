"""Multi-query protocol: average the embeddings of several images of one identity in one camera."""

from __future__ import annotations

import numpy as np

from passerby.errors import DataError
from passerby.ranking.distance import Metric
from passerby.text import plural
from passerby.types import Embeddings, IntArray


def average_queries(query: Embeddings, images: Embeddings | None = None, *, metric: Metric = "cosine") -> Embeddings:
    """Replace each query by the mean embedding of its identity in its camera; the order of the queries is kept.

    As in Market-1501, the mean is over the images given for this purpose (`gt_bbox`, which includes the moment of the
    query), and the query's own vector is not added.

    Args:
        query: Q embeddings.
        images: Embeddings to average; None averages over the queries.
        metric: Under `cosine` every vector is normalized to length 1 first, so that all images have the same weight.

    Returns:
        Q embeddings with the identities and cameras of `query`.

    Raises:
        DataError: When the widths differ, or `images` holds no image of a query's identity in its camera.

    Example:
        >>> query = passerby.Embeddings([[1.0, 0.0], [0.0, 1.0]], [1, 1], [0, 0])
        >>> average_queries(query).vectors.tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    source = query if images is None else images
    if source.vectors.shape[1] != query.vectors.shape[1]:
        raise DataError(
            f"multi_query: vectors are {source.vectors.shape[1]} wide, query's are {query.vectors.shape[1]}; "
            "embed both with the same model"
        )
    groups, query_groups, source_groups = _group(query, source)
    counts = np.bincount(source_groups, minlength=groups)
    missing = np.flatnonzero(counts[query_groups] == 0)
    if len(missing):
        person, camera = query.person_ids[missing[0]], query.camera_ids[missing[0]]
        raise DataError(
            f"multi_query: no image for {len(missing)} of {plural(len(query), 'query')}, the first is query "
            f"{missing[0]} (person {person}, camera id {camera}); give images of every query's person in its camera"
        )
    vectors = source.vectors.astype(np.float64)
    if metric == "cosine":
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        zero = np.flatnonzero(lengths == 0)
        if len(zero):
            raise DataError(f"multi_query: {plural(len(zero), 'vector')} of zeros only, the first is row {zero[0]}")
        vectors /= lengths
    sums = np.zeros((groups, vectors.shape[1]))
    np.add.at(sums, source_groups, vectors)
    means = sums[query_groups] / counts[query_groups, None]
    return Embeddings(means.astype(query.vectors.dtype), query.person_ids, query.camera_ids)


def _group(query: Embeddings, source: Embeddings) -> tuple[int, IntArray, IntArray]:
    """Number the (identity, camera) pairs: their count, and the (Q,) and (N,) pair of each query and source image."""
    identities = np.concatenate([query.person_ids, source.person_ids])
    cameras = np.concatenate([query.camera_ids, source.camera_ids])
    pairs, membership = np.unique(np.stack([identities, cameras], axis=1), axis=0, return_inverse=True)
    membership = membership.reshape(-1)
    return len(pairs), membership[: len(query)], membership[len(query) :]
