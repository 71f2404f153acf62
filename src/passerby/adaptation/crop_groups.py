"""Groups of crops of one camera without tracks and identities, found by their embeddings.

N crops   P parts   D width of a part   L pairs
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.adaptation.groups import EXPECTED, Groups, join_groups
from passerby.adaptation.halves_judge import HalvesJudge, split_halves
from passerby.adaptation.judge import HELD_OUT, MIN_GROUPS
from passerby.adaptation.site import Site, count
from passerby.extras import require_extra
from passerby.metric.covariance import UNKNOWN
from passerby.reviewing.links import UnionFind
from passerby.text import plural
from passerby.types import BoolArray, FloatArray, IntArray

BLOCK = 1024
"""Crops that are compared with all others at a time."""
NEAR = 0.9
"""Fraction of the crops whose nearest crop of another camera is less similar than any two crops of a group."""
UNSURE = 0.75
"""The same for two groups of a camera that may show one person."""


def find_crop_groups(site: Site, vectors: FloatArray, parts: int, *, seed: int) -> Groups:
    """Group crops without tracks, see `group_crops`; a judge compares embeddings by links of both halves.

    Args:
        site: The crops.
        vectors: (N, P D) of the start, normalized per camera.
        parts: P.
        seed: Seed of the held-out crops.

    Returns:
        Groups of the kind `similar`. Their judge links crops of different cameras; it is None for one camera, one part,
        or fewer than `MIN_GROUPS` held-out units.
    """
    if parts < 2:
        numbers = join_groups(site, np.full(len(site), UNKNOWN, np.int64))
        obstacle = "no tracks, and the embedding is one vector without halves that could be compared; give tracks"
        return Groups(numbers, "similar", count(numbers), None, obstacle)
    if len(site.cameras) < 2:  # links within a camera accepted maps of random pairs that lost 5 points of mAP
        numbers = join_groups(site, np.full(len(site), UNKNOWN, np.int64))
        obstacle = "no tracks, and one camera: rungs are compared by links between cameras; give tracks"
        return Groups(numbers, "similar", count(numbers), None, obstacle)
    halves = split_halves(vectors, parts)
    links = np.stack([find_mutual(half, site.camera_ids, within=False) for half in halves])
    numbers = join_groups(site, group_crops(vectors, site.camera_ids, parts))
    units = _find_units(numbers, links)
    held_out = _draw(units, seed=seed)
    judge = HalvesJudge(links, site.camera_ids, units, held_out, parts)
    usable, judged = count(numbers), len(judge.precision(vectors))
    obstacle = ""
    if usable * HELD_OUT < MIN_GROUPS:
        obstacle = f"no tracks, and {plural(usable, 'group')} of similar crops; {EXPECTED}"
    elif judged < MIN_GROUPS:
        obstacle = f"no tracks, and {plural(judged, 'link')} of held-out crops; expected {MIN_GROUPS} or more"
    return Groups(numbers, "similar", usable, None if obstacle else judge, obstacle)


def regroup(site: Site, groups: Groups, vectors: FloatArray, parts: int) -> IntArray:
    """Group the crops that are not held out again, by the embeddings of a changed model.

    Args:
        site: The crops.
        groups: Of the start, of the kind `similar`, with a judge.
        vectors: (N, P D), normalized per camera.
        parts: P.

    Returns:
        (N,) groups; `UNKNOWN` for a held-out crop, and for one that is in no group.
    """
    assert groups.judge is not None
    learned = np.flatnonzero(~groups.judge.held_out)
    numbers = np.full(len(site), UNKNOWN, np.int64)
    found = group_crops(vectors[learned], site.camera_ids[learned], parts)
    numbers[learned] = np.where(found == UNKNOWN, UNKNOWN, learned[found])
    numbers = join_groups(site, numbers)
    return np.where(groups.judge.held_out, UNKNOWN, numbers)


def group_crops(vectors: FloatArray, camera_ids: IntArray, parts: int) -> IntArray:
    """Group crops of a camera that probably show one person; no threshold is given.

    Joined are two crops of a camera that are each other's nearest in both halves of the embedding, and crops of a
    camera of which any two are more similar (complete linkage) than 90 % of all crops are to their nearest crop of
    another camera: people look less alike in two cameras than in one.

    Args:
        vectors: (N, P D), normalized per camera, of unit length.
        camera_ids: (N,), at least two cameras.
        parts: P.

    Returns:
        (N,) crop that stands for the group of each, `UNKNOWN` for a crop without a group.
    """
    within = [find_mutual(half, camera_ids, within=True) for half in split_halves(vectors, parts)]
    agreed = np.where(within[0] == within[1], within[0], UNKNOWN)
    return _join(np.concatenate([_list_pairs(agreed), _find_near(vectors, camera_ids)]), len(vectors))


def _find_near(vectors: FloatArray, camera_ids: IntArray) -> IntArray:
    """Return (L, 2) pairs that connect the crops of each group of complete linkage."""
    hierarchy: Any = require_extra("scipy.cluster.hierarchy")
    distance: Any = require_extra("scipy.spatial.distance")
    sparse: Any = require_extra("scipy.sparse")
    least = find_level(vectors, camera_ids, NEAR)
    near = []
    for rows, similarity, same in _compare(vectors, camera_ids):
        first, second = np.nonzero(same & (similarity >= least))
        near.append(np.stack([rows.start + first, second]))
    edges = np.concatenate(near, axis=1)  # (2, E)
    graph = sparse.coo_array((np.ones(edges.shape[1], bool), edges), shape=(len(vectors), len(vectors)))
    components = sparse.csgraph.connected_components(graph, directed=False)[1]
    pairs = []
    for component in np.flatnonzero(np.bincount(components) > 1):
        crops = np.flatnonzero(components == component)
        apart = np.clip(1 - vectors[crops] @ vectors[crops].T, 0, None)
        tree = hierarchy.linkage(distance.squareform(apart, checks=False), "complete")
        labels = hierarchy.fcluster(tree, 1 - least, "distance")
        for label in np.unique(labels):
            members = crops[labels == label]
            pairs += [(members[0], other) for other in members[1:]]
    return np.array(pairs, np.int64).reshape(-1, 2)


def find_level(vectors: FloatArray, camera_ids: IntArray, fraction: float) -> float:
    """Return the similarity that a fraction of the crops does not reach with any crop of another camera.

    Args:
        vectors: (N, D) of unit length.
        camera_ids: (N,), at least two cameras.
        fraction: 0 to 1.

    Example:
        >>> find_level(np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), np.array([0, 0, 1]), 0.5)
        0.6
    """
    nearest = np.empty(len(vectors))
    for rows, similarity, same in _compare(vectors, camera_ids):
        nearest[rows] = np.where(same, -np.inf, similarity).max(axis=1)
    return float(np.quantile(nearest, fraction))


def _compare(vectors: FloatArray, camera_ids: IntArray) -> Iterator[tuple[slice, NDArray[np.floating], BoolArray]]:
    """Yield the similarities of a block of crops to all, (B, N), and whether both are of one camera."""
    for start in range(0, len(vectors), BLOCK):
        rows = slice(start, start + BLOCK)
        yield rows, vectors[rows] @ vectors.T, camera_ids[rows, None] == camera_ids[None]


def find_mutual(vectors: FloatArray, camera_ids: IntArray, *, within: bool) -> IntArray:
    """Return the crop that is nearest to each crop, and to which it is the nearest; (N,), `UNKNOWN` without one.

    Args:
        vectors: (N, D) of unit length.
        camera_ids: (N,).
        within: Among the crops of its camera; otherwise among those of all other cameras.

    Example:
        >>> find_mutual(np.array([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]]), np.array([0, 0, 1]), within=False)
        array([-1,  2,  1])
    """
    nearest = np.empty(len(vectors), np.int64)
    found = np.empty(len(vectors), bool)
    for rows, similarity, same in _compare(vectors, camera_ids):
        similarity[~same if within else same] = -np.inf
        own = np.arange(len(similarity))
        similarity[own, rows.start + own] = -np.inf
        nearest[rows] = similarity.argmax(axis=1)
        found[rows] = np.isfinite(similarity.max(axis=1))
    mutual = found & (nearest[nearest] == np.arange(len(vectors)))
    return np.where(mutual, nearest, UNKNOWN)


def _list_pairs(partners: IntArray) -> IntArray:
    """Return the (L, 2) crops and partners, of (N,) partners or `UNKNOWN`."""
    crops = np.flatnonzero(partners != UNKNOWN)
    return np.stack([crops, partners[crops]], axis=1)


def _join(pairs: IntArray, crops: int) -> IntArray:
    """Return (N,) groups of the crops that (L, 2) pairs connect, `UNKNOWN` for a crop without a pair."""
    sets = UnionFind(crops)
    for first, second in pairs.tolist():
        sets.join(first, second)
    known = np.isin(np.arange(crops), pairs)
    return np.where(known, sets.roots(), UNKNOWN)


def _find_units(numbers: IntArray, links: IntArray) -> IntArray:
    """Return (N,) units: crops that are of one group or that a half links, directly or by other crops."""
    rows = np.flatnonzero(numbers != UNKNOWN)
    _, first, inverse = np.unique(numbers[rows], return_index=True, return_inverse=True)
    same_group = np.stack([rows, rows[first][inverse]], axis=1)
    pairs = np.concatenate([same_group, *(_list_pairs(half) for half in links)])
    units = _join(pairs, len(numbers))
    return np.where(units == UNKNOWN, np.arange(len(units)), units)  # a crop that is not in any pair is no root


def _draw(units: IntArray, *, seed: int) -> BoolArray:
    """Draw whole units at random, up to a fraction of `HELD_OUT` of the crops; mark their crops."""
    names, sizes = np.unique(units, return_counts=True)
    order = np.random.default_rng(seed).permutation(len(names))
    drawn = order[np.cumsum(sizes[order]) <= HELD_OUT * len(units)]
    return np.isin(units, names[drawn])
