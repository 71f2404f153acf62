"""Multi-query: what several images of one person in one camera say together."""

from __future__ import annotations

import numpy as np

from passerby.errors import DataError
from passerby.ranking.distance import Metric
from passerby.types import Embeddings, IntArray


def average_queries(query: Embeddings, images: Embeddings | None = None, *, metric: Metric = "cosine") -> Embeddings:
    """Each query with the mean vector of its person in its camera; every query keeps its place.

    Market-1501's convention: the mean is over the images made for it (`gt_bbox`, which shows the query's own moment
    too), and the query's own vector is not added to it.

    Args:
        query: Q queries.
        images: Vectors to average; None averages over the query set itself.
        metric: Under `cosine` every vector is brought to unit length first, so that each image has one vote.

    Returns:
        Q embeddings with the ids of `query`.

    Raises:
        DataError: When the widths differ, or `images` shows no image of a query's person in its camera.
    """
    source = query if images is None else images
    if source.vectors.shape[1] != query.vectors.shape[1]:
        raise DataError(
            f"multi_query: vectors are {source.vectors.shape[1]} wide, query's are {query.vectors.shape[1]}; "
            "embed both with the same model"
        )
    groups, membership = _groups(query, source)
    of_query, of_source = membership[: len(query)], membership[len(query) :]
    counts = np.bincount(of_source, minlength=groups)
    alone = np.flatnonzero(counts[of_query] == 0)
    if len(alone):
        person, camera = query.person_ids[alone[0]], query.camera_ids[alone[0]]
        raise DataError(
            f"multi_query: no image for {len(alone)} of {len(query)} queries, the first is query {alone[0]} "
            f"(person {person}, camera id {camera}); give images of every query's person in its camera"
        )
    vectors = source.vectors.astype(np.float64)
    if metric == "cosine":
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        zero = np.flatnonzero(lengths == 0)
        if len(zero):
            raise DataError(f"multi_query: {len(zero)} vectors are all zero, the first is row {zero[0]}")
        vectors /= lengths
    sums = np.zeros((groups, vectors.shape[1]))
    np.add.at(sums, of_source, vectors)
    means = sums[of_query] / counts[of_query, None]
    return Embeddings(means.astype(query.vectors.dtype), query.person_ids, query.camera_ids)


def _groups(query: Embeddings, source: Embeddings) -> tuple[int, IntArray]:
    """Number the (person, camera) pairs: how many there are, and the (Q + N,) number of each query and image."""
    people = np.concatenate([query.person_ids, source.person_ids])
    cameras = np.concatenate([query.camera_ids, source.camera_ids])
    pairs, membership = np.unique(np.stack([people, cameras], axis=1), axis=0, return_inverse=True)
    return len(pairs), membership.reshape(-1)
