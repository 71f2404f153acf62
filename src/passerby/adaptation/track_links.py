"""Links between tracks of two cameras that probably show one person.

T tracks   D width of the embedding   L links   A B tracks of two cameras
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.adaptation.link_probability import fit_probabilities
from passerby.extras import require_extra
from passerby.ranking.camera_normalization import normalize_rows
from passerby.reviewing.links import UnionFind
from passerby.types import BoolArray, IntArray, Result

NO_PAIRS: IntArray = np.empty((0, 2), np.int64)
STRANGERS = 5
"""Number of similarities after the largest that stand for other people."""
MIN_WRONG = 20
"""Least number of assignments between two people; with fewer no probability is estimated, and no link is made."""
_EXCLUDED = -1e3
"""Similarity of two tracks that are not linked; far below any other, and finite, as the assignment needs."""


@dataclass(frozen=True, repr=False)
class TrackLinks(Result):
    """Links between tracks.

    Attributes:
        pairs: (L, 2) tracks of two cameras, the smaller first, by falling probability.
        probabilities: (L,) probability that both tracks show one person, 0 to 1.
    """

    pairs: IntArray
    probabilities: NDArray[np.float64]


def link_tracks(
    vectors: NDArray[np.floating],
    camera_ids: IntArray,
    *,
    least: float,
    known: IntArray = NO_PAIRS,
    cannot: IntArray = NO_PAIRS,
) -> TrackLinks:
    """Link tracks by an assignment for each pair of cameras, and keep the links of high probability.

    Similarities are scaled by those of other people (Conneau et al., "Word Translation Without Parallel Data", 2018,
    section 2.3): for each track and camera, the mean of the similarities after the largest is subtracted. Cameras whose
    tracks are all similar, and tracks that are similar to all others, then have no more links than the rest.

    Each pair of cameras is assigned one to one with the largest sum of similarities. The same assignment of the tracks
    of one camera to each other joins different people: the probability of a link follows from how much rarer its value
    is there, see `fit_probabilities`. Links are accepted in the order of their probability, unless a link would connect
    two tracks of one camera.

    Args:
        vectors: (T, D) of the tracks, normalized per camera, of any length.
        camera_ids: (T,).
        least: Least probability of a link, 0 to 1.
        known: (L, 2) tracks of one person; neither is linked to another track of the other's camera.
        cannot: (L, 2) tracks of two people, which are not connected by links.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> people, cameras = rng.normal(size=(40, 8)), np.repeat([0, 1], 40)
        >>> links = link_tracks(np.concatenate([people, people + 0.1]), cameras, least=0.9)
        >>> len(links.pairs), bool((links.pairs[:, 0] + 40 == links.pairs[:, 1]).all())
        (40, True)
    """
    cameras = [np.flatnonzero(camera_ids == camera) for camera in np.unique(camera_ids)]
    if len(cameras) < 2:
        return TrackLinks(NO_PAIRS, np.empty(0))
    scaled = scale_similarities(vectors, camera_ids)
    scaled[_find_excluded(camera_ids, NO_PAIRS, cannot)] = _EXCLUDED
    nearest = -np.sort(-scaled, axis=1)[:, :2]  # (T, 2); a known link stays a rival of the others
    scaled[_find_excluded(camera_ids, known, NO_PAIRS)] = _EXCLUDED
    _, wrong = _join(_assign(scaled, nearest, tracks, tracks) for tracks in cameras)
    if len(wrong) < MIN_WRONG:
        return TrackLinks(NO_PAIRS, np.empty(0))
    found = [_assign(scaled, nearest, *tracks) for tracks in combinations(cameras, 2)]
    pairs, values = _join(found)
    views = np.repeat(np.arange(len(found)), [len(part) for part, _ in found])
    probabilities = fit_probabilities(values, views, wrong)
    order = np.lexsort((-values, -probabilities))
    order = order[probabilities[order] >= least]
    kept = order[_find_consistent(pairs[order], camera_ids, known, cannot)]
    return TrackLinks(pairs[kept], probabilities[kept])


def scale_similarities(vectors: NDArray[np.floating], camera_ids: IntArray) -> NDArray[np.float64]:
    """Return the similarities of all tracks without those of other people, (T, T); minus infinity for a track itself.

    Args:
        vectors: (T, D), of any length.
        camera_ids: (T,).

    Example:
        >>> vectors = np.array([[1.0, 0.0], [0.6, 0.8], [1.0, 0.0], [0.6, 0.8]])
        >>> scale_similarities(vectors, np.array([0, 0, 1, 1]))[:2, 2:].round(1).tolist()
        [[0.8, 0.0], [0.0, 0.8]]
    """
    unit = normalize_rows(vectors)
    similarity = np.asarray(unit @ unit.T, np.float64)
    np.fill_diagonal(similarity, -np.inf)
    cameras, positions = np.unique(camera_ids, return_inverse=True)
    columns = [similarity[:, positions == camera] for camera in range(len(cameras))]
    near = np.stack([_mean_strangers(column) for column in columns], axis=1)[:, positions]  # of i in j's camera
    return np.asarray(2 * similarity - near - near.T)


def _mean_strangers(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the `STRANGERS` largest finite values of each row after the largest one; 0 without any."""
    ordered = -np.sort(-similarity, axis=1)[:, 1 : STRANGERS + 1]
    finite = np.isfinite(ordered)
    return np.asarray(np.where(finite, ordered, 0).sum(axis=1) / np.maximum(finite.sum(axis=1), 1))


def _assign(
    scaled: NDArray[np.float64], nearest: NDArray[np.float64], rows: IntArray, columns: IntArray
) -> tuple[IntArray, NDArray[np.float64]]:
    """Assign the tracks of one camera to those of another one, or of the same.

    The value of a pair is half its scaled similarity plus its margin to the nearest other track of either end, in any
    camera.

    Args:
        scaled: (T, T).
        nearest: (T, 2) the two largest of each row.
        rows: (A,) tracks.
        columns: (B,) tracks.

    Returns:
        (L, 2) pairs, the smaller track first, and (L,) values; no pair is excluded.
    """
    optimize: Any = require_extra("scipy.optimize")
    block = scaled[np.ix_(rows, columns)]
    first, second = optimize.linear_sum_assignment(block, maximize=True)
    similarity = block[first, second]
    pairs = np.stack([rows[first], columns[second]], axis=1)
    ends = nearest[pairs]  # (L, 2, 2)
    others = np.where(ends[:, :, 0] <= similarity[:, None], ends[:, :, 1], ends[:, :, 0])
    values = 1.5 * similarity - others.max(axis=1, initial=_EXCLUDED)
    possible = similarity > _EXCLUDED
    return np.sort(pairs[possible], axis=1), values[possible]


def _join(
    assignments: Iterable[tuple[IntArray, NDArray[np.float64]]],
) -> tuple[IntArray, NDArray[np.float64]]:
    pairs, values = (np.concatenate(part) for part in zip(*assignments, strict=True))
    return pairs, values


def _find_excluded(camera_ids: IntArray, known: IntArray, cannot: IntArray) -> BoolArray:
    """Mark the pairs of tracks, (T, T), that answers exclude, and each track with itself."""
    excluded = np.eye(len(camera_ids), dtype=bool)
    for first, second in (*cannot.tolist(), *cannot[:, ::-1].tolist()):
        if camera_ids[first] != camera_ids[second]:  # within a camera all pairs are of two people
            excluded[first, second] = True
    for first, second in (*known.tolist(), *known[:, ::-1].tolist()):
        others = camera_ids == camera_ids[second]
        excluded[first, others] = excluded[others, first] = True
    return np.asarray(excluded)


def _find_consistent(pairs: IntArray, camera_ids: IntArray, known: IntArray, cannot: IntArray) -> IntArray:
    """Return the indices of the pairs, in their order, that connect no two tracks of one camera or two people."""
    sets = UnionFind(len(camera_ids))
    for first, second in known.tolist():
        sets.join(first, second)
    roots = sets.roots()
    cameras = {root: set(camera_ids[roots == root].tolist()) for root in np.unique(roots).tolist()}
    strangers: dict[int, set[int]] = {}
    for first, second in cannot.tolist():
        strangers.setdefault(first, set()).add(second)
        strangers.setdefault(second, set()).add(first)
    members = {root: set(np.flatnonzero(roots == root).tolist()) for root in cameras}
    kept = []
    for number, (first, second) in enumerate(pairs.tolist()):
        a, b = sets.find(first), sets.find(second)
        foes = {other for track in members[a] for other in strangers.get(track, ())}
        if a == b or cameras[a] & cameras[b] or foes & members[b]:
            continue
        sets.join(a, b)
        cameras[a] |= cameras.pop(b)
        members[a] |= members.pop(b)
        kept.append(number)
    return np.array(kept, np.int64)


def link_table(pairs: IntArray, camera_ids: IntArray) -> IntArray:
    """Return (T, cameras) linked track of each track in each camera, -1 without one."""
    table = np.full((len(camera_ids), int(camera_ids.max(initial=-1)) + 1), -1, np.int64)
    for first, second in pairs.tolist():
        table[first, camera_ids[second]] = second
        table[second, camera_ids[first]] = first
    return table
