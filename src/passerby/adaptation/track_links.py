"""Links between tracks of two cameras that probably show one person.

T tracks   D width of the embedding   L links
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.ranking.camera_normalization import normalize_rows
from passerby.types import BoolArray, IntArray, Result

NO_PAIRS: IntArray = np.empty((0, 2), np.int64)
STRANGERS = 5
"""Number of similarities after the largest that stand for other people."""


@dataclass(frozen=True, repr=False)
class TrackLinks(Result):
    """Links between tracks.

    Attributes:
        pairs: (L, 2) tracks of two cameras, the smaller first; a track is in one link at most.
        margins: (L,) scaled similarity minus that of the second nearest track of either end.
    """

    pairs: IntArray
    margins: NDArray[np.float64]


def link_tracks(
    vectors: NDArray[np.floating],
    camera_ids: IntArray,
    *,
    fraction: float,
    known: IntArray = NO_PAIRS,
    cannot: IntArray = NO_PAIRS,
) -> TrackLinks:
    """Link tracks that are each other's nearest among the tracks of all other cameras, those with the largest margins.

    Similarities are scaled by those of other people (Conneau et al., "Word Translation Without Parallel Data", 2018,
    section 2.3): for each track and camera, the mean of the similarities after the largest is subtracted. Cameras whose
    tracks are all similar, and tracks that are similar to all others, then have no more links than the rest. Links are
    ordered by the margin to the second nearest track of both ends.

    Args:
        vectors: (T, D) of the tracks, normalized per camera, of any length.
        camera_ids: (T,).
        fraction: Fraction of the links, known ones included, that are accepted, 0 to 1, by the largest margins.
        known: (L, 2) tracks of one person; neither is linked to another track of the other's camera.
        cannot: (L, 2) tracks of two people, which are not linked.

    Example:
        >>> vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1], [0.2, 0.8]])
        >>> link_tracks(vectors, np.array([0, 0, 1, 1]), fraction=1.0).pairs.tolist()
        [[0, 2], [1, 3]]
    """
    cameras, positions = np.unique(camera_ids, return_inverse=True)
    if len(cameras) < 2:
        return TrackLinks(NO_PAIRS, np.empty(0))
    unit = normalize_rows(vectors)
    similarity = unit @ unit.T  # (T, T)
    strangers = np.stack([_mean_strangers(similarity[:, camera_ids == camera]) for camera in cameras], axis=1)
    near = strangers[:, positions]  # (T, T): of track i among the tracks of the camera of track j
    scaled = 2 * similarity - near - near.T
    scaled[_find_impossible(camera_ids, known, cannot)] = -np.inf
    best = scaled.argmax(axis=1)
    possible = np.isfinite(scaled.max(axis=1))
    first = np.flatnonzero(possible & (best[best] == np.arange(len(best))) & (np.arange(len(best)) < best))
    second = best[first]
    values = scaled[first, second]
    scaled[first, second] = scaled[second, first] = -np.inf
    rivals = np.maximum(scaled[first].max(axis=1), scaled[second].max(axis=1))
    margins = values - np.where(np.isfinite(rivals), rivals, 0)  # without a rival: against the strangers
    most = max(round(fraction * (len(margins) + len(known))) - len(known), 0)
    kept = np.sort(np.argsort(-margins, kind="stable")[:most])
    return TrackLinks(np.stack([first, second], axis=1)[kept], margins[kept])


def _find_impossible(camera_ids: IntArray, known: IntArray, cannot: IntArray) -> BoolArray:
    """Mark the pairs of tracks, (T, T), that are of one camera, or that answers exclude."""
    impossible = camera_ids[:, None] == camera_ids[None]
    for first, second in (*cannot.tolist(), *cannot[:, ::-1].tolist()):
        impossible[first, second] = True
    for first, second in (*known.tolist(), *known[:, ::-1].tolist()):
        others = camera_ids == camera_ids[second]
        impossible[first, others] = impossible[others, first] = True
    return np.asarray(impossible)


def _mean_strangers(similarity: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the `STRANGERS` largest values of each row after the largest one; 0 without any."""
    ordered = -np.sort(-similarity, axis=1)[:, 1 : STRANGERS + 1]
    return np.asarray(ordered.mean(axis=1)) if ordered.shape[1] else np.zeros(len(similarity))


def link_table(pairs: IntArray, camera_ids: IntArray) -> IntArray:
    """Return (T, cameras) linked track of each track in each camera, -1 without one."""
    table = np.full((len(camera_ids), int(camera_ids.max(initial=-1)) + 1), -1, np.int64)
    for first, second in pairs.tolist():
        table[first, camera_ids[second]] = second
        table[second, camera_ids[first]] = first
    return table
