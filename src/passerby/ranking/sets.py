"""Sets of images: one embedding for several images of a person, or one distance between two sets.

Dimension legend of `types`, and S, T sets of query and gallery images.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import DataError
from passerby.ranking.distance import Metric, distance_blocks
from passerby.text import plural
from passerby.types import DISTRACTOR, Embeddings, FloatArray, IntArray, Labels, as_array

Pooling = Literal["mean", "attention"]
SetDistance = Literal["best", "average", "hausdorff"]


def group_images(labels: Embeddings | Labels) -> IntArray:
    """Assign images to sets: one set per identity and camera, numbered in order of first appearance.

    Distractors have no common identity, so each is a set of its own.

    Args:
        labels: N images.

    Returns:
        (N,) set of each image, 0 to S - 1.

    Example:
        >>> group_images(Labels([3, 3, 1, 3], [0, 0, 0, 1])).tolist()
        [0, 0, 1, 2]
    """
    own = np.where(labels.person_ids == DISTRACTOR, np.arange(len(labels)) + 1, 0)
    keys = np.stack([labels.person_ids, labels.camera_ids, own], axis=1)
    _, first, sets = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[sets.reshape(-1)]


def label_sets(images: Embeddings | Labels, sets: ArrayLike) -> Labels:
    """Return identity and camera of each of the S sets.

    Args:
        images: N images.
        sets: (N,) set of each image, 0 to S - 1; see `pool`.

    Raises:
        DataError: For sets that `pool` rejects.

    Example:
        >>> label_sets(Labels([3, 3, 1], [0, 0, 1]), [0, 0, 1]).person_ids.tolist()
        [3, 1]
    """
    first = _find_first_images(images, as_array(sets))
    return Labels(images.person_ids[first], images.camera_ids[first])


def pool(
    images: Embeddings,
    sets: ArrayLike,
    *,
    method: Pooling = "mean",
    quality: ArrayLike | None = None,
    temperature: float = 0.1,
) -> Embeddings:
    """Compute one embedding of length 1 for each set of images.

    Args:
        images: N embeddings; each is normalized to length 1 first, so that all images have the same weight.
        sets: (N,) set of each image, 0 to S - 1, each used; a set holds one identity in one camera.
        method: `mean`, or `attention`: a weighted mean, with weights softmax(quality / temperature) in each set.
        quality: (N,) finite numbers, larger is better, such as a detector's confidence. None: the cosine of each image
            to the mean of the other images of its set (1 for a single image), which is low for a blurred or wrong crop.
        temperature: Above 0. A small value selects the best image, a large value gives equal weights.

    Returns:
        S embeddings, in the order of the sets.

    Raises:
        DataError: Naming the argument: sets that are not one number per image, mix identities or cameras, or omit a
            number; vectors that are all zero, or sum to zero.

    Example:
        >>> images = passerby.Embeddings([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [1, 1, 2], [0, 0, 0])
        >>> passerby.pool(images, [0, 0, 1]).vectors.round(2).tolist()
        [[0.71, 0.71], [1.0, 0.0]]
    """
    if method not in get_args(Pooling):
        raise DataError(f"method: got {method!r}, expected one of {', '.join(get_args(Pooling))}")
    if method == "mean" and quality is not None:
        raise DataError("quality: given to method='mean', which ignores it; leave it out, or use method='attention'")
    set_of = as_array(sets)
    labels = label_sets(images, set_of)
    vectors = _normalize(images.vectors, name="images")  # (N, D)
    weights = np.ones(len(images))
    if method == "attention":
        weights = _weigh(vectors, set_of, len(labels), quality=quality, temperature=temperature)
    pooled = _sum_sets(vectors * weights[:, None], set_of, len(labels))  # (S, D)
    unit = _normalize(pooled, name="sets").astype(images.vectors.dtype)
    return Embeddings(unit, labels.person_ids, labels.camera_ids)


def compare_sets(
    query: Embeddings,
    gallery: Embeddings,
    *,
    query_sets: ArrayLike,
    gallery_sets: ArrayLike,
    method: SetDistance = "best",
    metric: Metric = "cosine",
) -> Iterator[tuple[int, FloatArray]]:
    """Compute distances of every set of query images to every set of gallery images, from those of their images.

    Args:
        query: Q embeddings.
        gallery: G embeddings.
        query_sets: (Q,) set of each query image, 0 to S - 1; see `pool`.
        gallery_sets: (G,) set of each gallery image, 0 to T - 1.
        method: `best`: smallest distance of a pair. `average`: mean over all pairs. `hausdorff`: mean distance of the
            images to the nearest image of the other set; the larger of both directions (Dubuisson and Jain 1994).
        metric: `cosine` or `euclidean`, between images.

    Returns:
        Iterator of (first set, (1, T) float32 distances), for `score` or `rank` with the `label_sets` of both sides.

    Raises:
        DataError: At the call, naming the argument; see `pool` and `distance_blocks`.

    Example:
        >>> query = passerby.Embeddings([[1.0, 0.0], [0.0, 1.0]], [1, 1], [0, 0])
        >>> gallery = passerby.Embeddings([[0.0, 2.0], [-1.0, 0.0]], [1, 2], [1, 1])
        >>> [block.tolist() for _, block in compare_sets(query, gallery, query_sets=[0, 0], gallery_sets=[0, 1])]
        [[[0.0, 1.0]]]
    """
    if method not in get_args(SetDistance):
        raise DataError(f"method: got {method!r}, expected one of {', '.join(get_args(SetDistance))}")
    sides = [(query, as_array(query_sets)), (gallery, as_array(gallery_sets))]
    for images, sets in sides:
        _find_first_images(images, sets)
    rows, columns = (np.argsort(sets, kind="stable") for _, sets in sides)
    blocks = distance_blocks(query.vectors[rows], gallery.vectors[columns], metric=metric)
    row_sizes, column_sizes = (np.bincount(sets) for _, sets in sides)
    return _reduce_blocks(blocks, row_sizes, column_sizes, method=method)


def _reduce_blocks(
    blocks: Iterator[tuple[int, FloatArray]], row_sizes: IntArray, column_sizes: IntArray, *, method: SetDistance
) -> Iterator[tuple[int, FloatArray]]:
    """Reduce blocks whose rows and columns are sorted by set, with (S,) and (T,) sizes of the sets."""
    starts = np.cumsum(column_sizes) - column_sizes
    rows = (row.copy() for _, block in blocks for row in block)  # the next block overwrites its rows
    for number, size in enumerate(row_sizes):
        distances = np.stack(list(islice(rows, size)))  # (images of the set, G)
        yield number, _reduce(distances, starts, column_sizes, method=method)[None].astype(np.float32)


def _reduce(distances: FloatArray, starts: IntArray, sizes: IntArray, *, method: SetDistance) -> NDArray[np.floating]:
    """(n, G) distances of the images of one set -> (T,) distances to the sets."""
    if method == "best":
        return np.asarray(np.minimum.reduceat(distances.min(axis=0), starts))
    if method == "average":
        return np.asarray(np.add.reduceat(distances.mean(axis=0, dtype=np.float64), starts) / sizes)
    forward = np.minimum.reduceat(distances, starts, axis=1).mean(axis=0, dtype=np.float64)  # (T,)
    backward = np.add.reduceat(distances.min(axis=0).astype(np.float64), starts) / sizes
    return np.asarray(np.maximum(forward, backward))


def _weigh(
    vectors: NDArray[np.float64], sets: IntArray, count: int, *, quality: ArrayLike | None, temperature: float
) -> NDArray[np.float64]:
    """(N,) attention weights, above 0; the largest of each set is 1."""
    if not 0 < temperature < np.inf:
        raise DataError(f"temperature: got {temperature}, expected a finite number above 0")
    if quality is None:
        others = _sum_sets(vectors, sets, count)[sets] - vectors  # (N, D) sum of the other images of the set
        lengths = np.linalg.norm(others, axis=1)
        is_single = lengths < 1e-9
        cosines = np.einsum("nd,nd->n", others, vectors) / np.where(is_single, 1.0, lengths)
        values = np.where(is_single, 1.0, cosines)
    else:
        values = as_array(quality)
        if values.shape != sets.shape or not np.isfinite(values).all():
            raise DataError(f"quality: got shape {values.shape}, expected {sets.shape} finite numbers, one per image")
    best = np.full(count, -np.inf)
    np.maximum.at(best, sets, values)
    return np.asarray(np.exp((values - best[sets]) / temperature), dtype=np.float64)


def _find_first_images(images: Embeddings | Labels, sets: IntArray) -> IntArray:
    """(S,) first image of each set; raise DataError unless every set holds one identity in one camera."""
    if sets.shape != (len(images),) or sets.dtype.kind not in "iu" or not len(images):
        raise DataError(f"sets: got shape {sets.shape}, expected ({len(images)},) integers, one per image")
    numbers, first = np.unique(sets, return_index=True)
    if numbers[0] != 0 or numbers[-1] != len(numbers) - 1:
        raise DataError(
            f"sets: got {plural(len(numbers), 'number')} from {numbers[0]} to {numbers[-1]}, expected 0 to "
            f"{len(numbers) - 1}, each used; np.unique(..., return_inverse=True) makes them"
        )
    for name, ids in (("people", images.person_ids), ("cameras", images.camera_ids)):
        mixed = np.flatnonzero(ids != ids[first][sets])
        if len(mixed):
            raise DataError(f"sets: set {sets[mixed[0]]} mixes {name}; a set holds one person in one camera")
    return first


def _sum_sets(values: NDArray[np.float64], sets: IntArray, count: int) -> NDArray[np.float64]:
    """(S, D) sum of the vectors of each set."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, sets, values)
    return sums


def _normalize(vectors: NDArray[np.floating], *, name: str) -> NDArray[np.float64]:
    """Normalize the rows to length 1 in float64; raise DataError for a row of zeros."""
    rows = vectors.astype(np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    zero = np.flatnonzero(lengths < 1e-12)
    if len(zero):
        raise DataError(
            f"{name}: {plural(len(zero), 'vector')} of zeros only, the first is row {zero[0]}; no direction to compare"
        )
    return np.asarray(rows / lengths)
