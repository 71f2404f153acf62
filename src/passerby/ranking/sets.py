"""Several images of one person: one vector for a set of images, or one distance between two sets.

Dimension legend of `types`, and S, T sets of query and gallery images.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.ranking.distance import Metric, distance_blocks
from passerby.types import DISTRACTOR, Embeddings, FloatArray, IntArray, Labels

Pooling = Literal["mean", "attention"]
SetDistance = Literal["best", "average", "hausdorff"]


def group_images(labels: Embeddings | Labels) -> IntArray:
    """(N,) set of each image: one for each person in each camera, numbered in order of first appearance.

    Distractors show nobody in particular, so each is a set by itself.
    """
    alone = np.where(labels.person_ids == DISTRACTOR, np.arange(len(labels)) + 1, 0)
    keys = np.stack([labels.person_ids, labels.camera_ids, alone], axis=1)
    _, first, sets = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.empty(len(first), dtype=np.int64)
    order[np.argsort(first)] = np.arange(len(first))
    return order[sets.reshape(-1)]


def label_sets(images: Embeddings | Labels, sets: IntArray) -> Labels:
    """Whose each of the S sets is; see `pool`."""
    first = _first_images(images, sets)
    return Labels(images.person_ids[first], images.camera_ids[first])


def pool(
    images: Embeddings,
    sets: IntArray,
    *,
    method: Pooling = "mean",
    quality: NDArray[np.floating] | None = None,
    temperature: float = 0.1,
) -> Embeddings:
    """One unit vector for each set of images.

    Args:
        images: N images; each vector is brought to unit length first, so that each image has one vote.
        sets: (N,) set of each image, 0 to S - 1, each used; a set shows one person in one camera.
        method: `mean`, or `attention`: a weighted mean, the weights a softmax over quality / temperature in each set.
        quality: (N,) finite numbers, more is better, such as a detector's confidence. None: how well an image agrees
            with the others of its set, the cosine to their mean (1 for an image alone), which a blurred or wrong crop
            does badly.
        temperature: Above 0; towards 0 only the best image counts, towards infinity all count alike.

    Returns:
        S embeddings, set 0 first.

    Raises:
        DataError: Naming the argument: sets that are not one number per image, mix people or cameras, or leave a
            number out; vectors that are all zero, or cancel each other out.
    """
    if method not in get_args(Pooling):
        raise DataError(f"method: got {method!r}, expected one of {', '.join(get_args(Pooling))}")
    if method == "mean" and quality is not None:
        raise DataError("quality: given to method='mean', which ignores it; leave it out, or use method='attention'")
    labels = label_sets(images, sets)
    vectors = _unit(images.vectors, name="images")  # (N, D)
    weights = np.ones(len(images))
    if method == "attention":
        weights = _attention(vectors, sets, len(labels), quality=quality, temperature=temperature)
    pooled = _sums(vectors * weights[:, None], sets, len(labels))  # (S, D)
    return Embeddings(_unit(pooled, name="sets").astype(images.vectors.dtype), labels.person_ids, labels.camera_ids)


def compare_sets(
    query: Embeddings,
    gallery: Embeddings,
    *,
    query_sets: IntArray,
    gallery_sets: IntArray,
    method: SetDistance = "best",
    metric: Metric = "cosine",
) -> Iterator[tuple[int, FloatArray]]:
    """Distances of every set of query images to every set of gallery images, from the distances of their images.

    Args:
        query: Q images.
        gallery: G images.
        query_sets: (Q,) set of each query image, 0 to S - 1; see `pool`.
        gallery_sets: (G,) set of each gallery image, 0 to T - 1.
        method: `best`: the nearest pair. `average`: the mean over all pairs. `hausdorff`: each image's distance to the
            nearest of the other set, averaged in each direction, the larger of the two (Dubuisson and Jain 1994).
        metric: `cosine` or `euclidean`, between images.

    Returns:
        Iterator of (first set, (1, T) distances), for `score` or `rank` with the `label_sets` of both.

    Raises:
        DataError: At the call, naming the argument; see `pool` and `distance_blocks`.
    """
    if method not in get_args(SetDistance):
        raise DataError(f"method: got {method!r}, expected one of {', '.join(get_args(SetDistance))}")
    for images, sets in ((query, query_sets), (gallery, gallery_sets)):
        _first_images(images, sets)
    rows, columns = (np.argsort(sets, kind="stable") for sets in (query_sets, gallery_sets))
    strips = distance_blocks(query.vectors[rows], gallery.vectors[columns], metric=metric)
    sizes = np.bincount(query_sets), np.bincount(gallery_sets)
    return _between_sets(strips, *sizes, method=method)


def _between_sets(
    strips: Iterator[tuple[int, FloatArray]], rows: IntArray, columns: IntArray, *, method: SetDistance
) -> Iterator[tuple[int, FloatArray]]:
    """Reduce strips whose rows and columns are sorted by set; `rows` (S,) and `columns` (T,) are the sets' sizes."""
    starts = np.cumsum(columns) - columns
    waiting: list[FloatArray] = []
    done, held = 0, 0
    for _, strip in strips:
        used = 0
        while used < len(strip):
            some = strip[
                used : used + rows[done] - held
            ].copy()  # the strip is scratch, and a set may go on in the next
            waiting.append(some)
            used, held = used + len(some), held + len(some)
            if held == rows[done]:
                pairs = np.concatenate(waiting)  # (images of the set, G)
                yield done, _reduce(pairs, starts, columns, method=method)[None].astype(np.float32)
                waiting, held, done = [], 0, done + 1


def _reduce(pairs: FloatArray, starts: IntArray, columns: IntArray, *, method: SetDistance) -> NDArray[np.floating]:
    """(n, G) distances of one set's images -> (T,) distances to the sets."""
    if method == "best":
        return np.asarray(np.minimum.reduceat(pairs.min(axis=0), starts))
    if method == "average":
        return np.asarray(np.add.reduceat(pairs.mean(axis=0, dtype=np.float64), starts) / columns)
    there = np.minimum.reduceat(pairs, starts, axis=1).mean(axis=0, dtype=np.float64)  # (T,)
    back = np.add.reduceat(pairs.min(axis=0).astype(np.float64), starts) / columns
    return np.asarray(np.maximum(there, back))


def _attention(
    vectors: NDArray[np.float64],
    sets: IntArray,
    count: int,
    *,
    quality: NDArray[np.floating] | None,
    temperature: float,
) -> NDArray[np.float64]:
    """(N,) positive weights; the largest of each set is 1."""
    if not 0 < temperature < np.inf:
        raise DataError(f"temperature: got {temperature}, expected a finite number above 0")
    if quality is None:
        others = _sums(vectors, sets, count)[sets] - vectors  # (N, D) sum of the rest of the set
        lengths = np.linalg.norm(others, axis=1)
        alone = lengths < 1e-9
        quality = np.where(alone, 1.0, np.einsum("nd,nd->n", others, vectors) / np.where(alone, 1.0, lengths))
    elif np.shape(quality) != sets.shape or not np.isfinite(quality).all():
        raise DataError(f"quality: got shape {np.shape(quality)}, expected {sets.shape} finite numbers, one per image")
    best = np.full(count, -np.inf)
    np.maximum.at(best, sets, quality)
    return np.asarray(np.exp((quality - best[sets]) / temperature), dtype=np.float64)


def _first_images(images: Embeddings | Labels, sets: IntArray) -> IntArray:
    """(S,) the first image of each set, once it is clear that every set is one person in one camera."""
    if np.shape(sets) != (len(images),) or np.asarray(sets).dtype.kind not in "iu" or not len(images):
        raise DataError(f"sets: got shape {np.shape(sets)}, expected ({len(images)},) integers, one for each image")
    numbers, first = np.unique(sets, return_index=True)
    if numbers[0] != 0 or numbers[-1] != len(numbers) - 1:
        raise DataError(
            f"sets: got {len(numbers)} numbers from {numbers[0]} to {numbers[-1]}, expected 0 to {len(numbers) - 1}, "
            "each used; np.unique(..., return_inverse=True) makes them"
        )
    for name, ids in (("people", images.person_ids), ("cameras", images.camera_ids)):
        mixed = np.flatnonzero(ids != ids[first][sets])
        if len(mixed):
            raise DataError(f"sets: set {sets[mixed[0]]} mixes {name}; a set shows one person in one camera")
    return first


def _sums(values: NDArray[np.float64], sets: IntArray, count: int) -> NDArray[np.float64]:
    """(S, D) sum of the vectors of each set."""
    sums = np.zeros((count, values.shape[1]))
    np.add.at(sums, sets, values)
    return sums


def _unit(vectors: NDArray[np.floating], *, name: str) -> NDArray[np.float64]:
    """float64 vectors of length 1."""
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    zero = np.flatnonzero(lengths < 1e-12)
    if len(zero):
        raise DataError(f"{name}: {len(zero)} vectors are all zero, the first is row {zero[0]}; they have no direction")
    return np.asarray(wide / lengths)
