"""Who is who, without labels: sightings joined to people, across cameras.

Average linkage: two groups are joined while the mean distance of their pairs is at most a threshold, nearest groups
first. A mean of at most t needs a pair of at most t, so groups never reach across the components of the graph of such
pairs: each component is joined by itself, which gives the same groups as the whole matrix in a fraction of its memory.

N sightings   D embedding width
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import squareform

from passerby.errors import GalleryError
from passerby.gallery.sightings import Facts
from passerby.openset.calibration import Calibration
from passerby.ranking.distance import distance_blocks
from passerby.types import FloatArray, IntArray

MOST = 20_000
"""Sightings in one component: a matrix of 3.2 GB."""
_NEVER = 1e9  # far enough that no mean with it in it comes under a threshold
_FARTHEST = 2.0


def join(vectors: FloatArray, *, threshold: float, apart: Iterable[tuple[int, int]] = ()) -> IntArray:
    """Number the people that sightings show.

    Args:
        vectors: (N, D) of unit length.
        threshold: Largest mean cosine distance within which two groups are one person, 0 to 2.
        apart: Pairs of places that show different people, whatever their distance; kept even in large groups.

    Returns:
        (N,) from 0, in the order of first appearance.

    Raises:
        GalleryError: When more than `MOST` sightings hang together, or the threshold is out of its range.
    """
    if not 0 <= threshold <= _FARTHEST:
        raise GalleryError(f"threshold: got {threshold}, expected a cosine distance from 0 to {_FARTHEST:g}")
    people = np.arange(len(vectors))
    barred = np.array([*apart], dtype=np.int64).reshape(-1, 2)
    for places in _components(vectors, threshold):
        if len(places) > MOST:
            raise GalleryError(
                f"cluster: {len(places):,} sightings hang together within a distance of {threshold:.3f}, at most "
                f"{MOST:,} are joined at once; lower the threshold, or filter by camera or time"
            )
        distances = 1 - vectors[places].astype(np.float64) @ vectors[places].T.astype(np.float64)
        np.fill_diagonal(distances, 0)
        inside = np.isin(barred, places).all(axis=1)
        a, b = np.searchsorted(places, barred[inside]).T
        distances[a, b] = distances[b, a] = _NEVER
        tree = linkage(squareform(distances, checks=False), method="average")
        people[places] = places[0] + len(people) * fcluster(tree, threshold, criterion="distance")
    _, first, numbers = np.unique(people, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers]


def _components(vectors: FloatArray, threshold: float) -> list[IntArray]:
    """Ascending places of each group of two or more that hangs together by pairs of at most `threshold`."""
    count = len(vectors)
    group = np.arange(count)
    slack = 1e-5  # float32 distances find the pairs, float64 decides
    for first, strip in distance_blocks(vectors, vectors):
        near, other = np.nonzero(strip <= threshold + slack)
        # What was found before goes in as one edge each: memory for a strip's pairs, however many there are in all.
        a, b = np.concatenate([near + first, np.arange(count)]), np.concatenate([other, group])
        graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(count, count))
        _, number = connected_components(graph, directed=False)
        group = np.unique(number, return_index=True)[1][number]  # each is called by its first
    order = np.argsort(group, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1)
    return [part for part in parts if len(part) > 1]


def never_together(sightings: Sequence[Facts]) -> list[tuple[int, int]]:
    """Pairs of tracks that one camera saw at the same time: they are different people.

    A track is a sighting with the attributes `start` and `end`, seconds, and the `video` that these count in.
    """
    tracks: list[tuple[str, float, float, int]] = []
    for place, each in enumerate(sightings):
        if {"start", "end"} <= each.attributes.keys():
            eye = repr((each.camera, each.attributes.get("video")))
            tracks.append((eye, float(each.attributes["start"]), float(each.attributes["end"]), place))
    found = []
    running: list[tuple[str, float, float, int]] = []
    for track in sorted(tracks):
        running = [each for each in running if each[0] == track[0] and each[2] > track[1]]
        found += [(each[3], track[3]) for each in running]
        running.append(track)
    return found


def threshold_of(calibration: Calibration, *, prior: float) -> float:
    """The largest distance at which two sightings are more probably one person than not.

    Args:
        calibration: What distances mean.
        prior: Share of pairs of sightings that show one person, between 0 and 1.
    """
    distances = np.linspace(0, _FARTHEST, 20_001)
    same = calibration.probability(distances, prior=prior) >= 0.5
    return float(distances[same][-1]) if same.any() else 0.0


def b_cubed(found: IntArray, truth: Sequence[str | None]) -> tuple[float, float]:
    """Precision and recall of groups: how many of a sighting's group are of its label, and the converse.

    Bagga and Baldwin, "Entity-Based Cross-Document Coreferencing Using the Vector Space Model" (1998).

    Args:
        found: (N,) group of each sighting.
        truth: Their labels; those without one do not count.

    Returns:
        (precision, recall), 0 to 1.

    Raises:
        GalleryError: When nothing is labeled.
    """
    known = np.array([each is not None for each in truth], dtype=bool)
    if not known.any():
        raise GalleryError("agreement: no sighting has a label, there is nothing to compare with")
    group: NDArray[np.int64] = np.unique(np.asarray(found)[known], return_inverse=True)[1]
    label: NDArray[np.int64] = np.unique([each for each in truth if each is not None], return_inverse=True)[1]
    both = np.unique(np.stack([group, label]), axis=1, return_inverse=True)[1]
    together = np.bincount(both)[both]
    return float((together / np.bincount(group)[group]).mean()), float((together / np.bincount(label)[label]).mean())
