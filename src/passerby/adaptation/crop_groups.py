"""Groups of crops without tracks and identities: pairs of crops that both halves of the embedding link.

N crops   P parts   D width of a part   L pairs
"""

from __future__ import annotations

import numpy as np

from passerby.adaptation.groups import EXPECTED, Groups, join_groups
from passerby.adaptation.halves_judge import HalvesJudge, split_halves
from passerby.adaptation.judge import HELD_OUT, MIN_GROUPS
from passerby.adaptation.site import Site, count
from passerby.metric.covariance import UNKNOWN
from passerby.reviewing.links import UnionFind
from passerby.text import plural
from passerby.types import BoolArray, FloatArray, IntArray

BLOCK = 1024
"""Crops that are compared with all others at a time."""


def find_crop_groups(site: Site, vectors: FloatArray, parts: int, *, seed: int) -> Groups:
    """Join pairs of crops of one camera that are each other's nearest in both halves of the embedding.

    The halves are the parts 1, 3, ... and 2, 4, ...; no threshold is needed. Answers of a review are joined too.

    Args:
        site: The crops.
        vectors: (N, P D) of the start, normalized per camera.
        parts: P.
        seed: Seed of the held-out crops.

    Returns:
        Groups of the kind `pairs`. Their judge links crops of different cameras; it is None for one camera, one part,
        or fewer than `MIN_GROUPS` held-out units.
    """
    if parts < 2:
        numbers = join_groups(site, np.full(len(site), UNKNOWN, np.int64))
        obstacle = "no tracks, and the embedding is one vector without halves that could be compared; give tracks"
        return Groups(numbers, "pairs", count(numbers), None, obstacle)
    if len(site.cameras) < 2:  # links within a camera accepted maps of random pairs that lost 5 points of mAP
        numbers = join_groups(site, np.full(len(site), UNKNOWN, np.int64))
        obstacle = "no tracks, and one camera: rungs are compared by links between cameras; give tracks"
        return Groups(numbers, "pairs", count(numbers), None, obstacle)
    halves = split_halves(vectors, parts)
    within = [find_mutual(half, site.camera_ids, within=True) for half in halves]
    links = np.stack([find_mutual(half, site.camera_ids, within=False) for half in halves])
    agreed = np.where(within[0] == within[1], within[0], UNKNOWN)
    numbers = join_groups(site, _join(_list_pairs(agreed), len(site)))
    units = _find_units(numbers, links)
    held_out = _draw(units, seed=seed)
    judge = HalvesJudge(links, site.camera_ids, units, held_out, parts)
    usable, judged = count(numbers), len(judge.precision(vectors))
    obstacle = ""
    if usable * HELD_OUT < MIN_GROUPS:
        obstacle = (
            f"no tracks, and {plural(usable, 'pair')} of crops that both halves of the embedding link; {EXPECTED}"
        )
    elif judged < MIN_GROUPS:
        obstacle = f"no tracks, and {plural(judged, 'link')} of held-out crops; expected {MIN_GROUPS} or more"
    return Groups(numbers, "pairs", usable, None if obstacle else judge, obstacle)


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
    for start in range(0, len(vectors), BLOCK):
        rows = slice(start, start + BLOCK)
        similarity = vectors[rows] @ vectors.T
        same = camera_ids[rows, None] == camera_ids[None]
        similarity[~same if within else same] = -np.inf
        own = np.arange(len(similarity))
        similarity[own, start + own] = -np.inf
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
