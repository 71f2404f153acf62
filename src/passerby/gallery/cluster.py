"""Clustering of sightings by identity, without labels, across cameras.

Average linkage: two clusters are joined while the mean distance of their pairs is at most a threshold, nearest clusters
first. A mean of at most t requires a pair of at most t, so clusters never extend across connected components of the
graph of such pairs. Each component is clustered by itself, which gives the clusters of the whole matrix in less memory.

N sightings   D embedding width
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from passerby.errors import GalleryError, argument
from passerby.extras import require_extra
from passerby.gallery.filters import Filter
from passerby.gallery.results import ClusterResult
from passerby.gallery.sightings import TRACK, SightingInfo
from passerby.gallery.stores.protocol import GalleryStore
from passerby.openset.calibration import Calibration
from passerby.ranking.distance import distance_blocks
from passerby.reviewing.answers import Answer, to_arrays
from passerby.reviewing.defaults import PAIR_PRIOR
from passerby.reviewing.links import count_votes, number_groups, resolve_links
from passerby.text import plural
from passerby.types import FloatArray, IntArray

MAX_COMPONENT = 20_000
"""Largest number of sightings in one component: a matrix of 3.2 GB."""
MAX_EDGES = 100_000_000
"""Largest number of pairs within the threshold under answers: 1.6 GB."""
_EXCLUDED = 1e9  # distance of an excluded pair: no mean that contains it is below a threshold
_MAX_DISTANCE = 2.0
_ROUNDING = 1e-5  # float32 distances find the pairs of the graph, float64 distances decide


def cluster_sightings(store: GalleryStore, *, where: Filter, threshold: float) -> ClusterResult:
    """Group the sightings of a store by identity; see `Gallery.cluster`.

    Args:
        store: Store of the gallery.
        where: Sightings to group.
        threshold: Largest mean cosine distance at which two clusters are joined, 0 to 2.

    Raises:
        GalleryError: As `cluster_vectors`.
        MissingExtraError: Without the extra `eval`.
    """
    sightings: list[SightingInfo] = []
    vectors: list[FloatArray] = []
    for batch in store.walk(where, crops=False):
        sightings += [SightingInfo(**sighting.info) for sighting in batch]
        vectors += [sighting.vector for sighting in batch]
    if not sightings:
        return ClusterResult((), threshold)
    excluded = find_simultaneous_tracks(sightings)
    answers = store.answers.read() if store.keeps_answers else []
    must, cannot = find_links(answers, [sighting.id for sighting in sightings], excluded=excluded)
    if len(must) or len(cannot) > len(excluded):
        numbers = cluster_linked(np.stack(vectors), threshold=threshold, must=must, cannot=cannot)
    else:
        numbers = cluster_vectors(np.stack(vectors), threshold=threshold, excluded=excluded)
    clusters: list[list[SightingInfo]] = [[] for _ in range(int(numbers.max()) + 1)]
    for number, sighting in zip(numbers.tolist(), sightings, strict=True):
        clusters[number].append(sighting)
    clusters.sort(key=lambda cluster: (-len(cluster), min(sighting.id for sighting in cluster)))
    labels = [sighting.label for sighting in sightings]
    scores = b_cubed(numbers, labels) if any(label is not None for label in labels) else (None, None)
    return ClusterResult(tuple(tuple(sorted(cluster, key=_by_time)) for cluster in clusters), threshold, *scores)


def cluster_vectors(vectors: FloatArray, *, threshold: float, excluded: Iterable[tuple[int, int]] = ()) -> IntArray:
    """Assign a cluster number to each sighting.

    Args:
        vectors: (N, D) of unit length.
        threshold: Largest mean cosine distance at which two clusters are joined, 0 to 2.
        excluded: Pairs of indices that are never in one cluster, whatever their distance.

    Returns:
        (N,) cluster numbers from 0, in the order of first appearance.

    Raises:
        GalleryError: If a component has more than `MAX_COMPONENT` sightings, or the threshold is outside its range.
        MissingExtraError: Without the extra `eval`.

    Example:
        >>> cluster_vectors(np.float32([[1, 0], [0, 1], [1, 0]]), threshold=0.5).tolist()
        [0, 1, 0]
    """
    hierarchy = require_extra("scipy.cluster.hierarchy")
    squareform = require_extra("scipy.spatial.distance").squareform
    if not 0 <= threshold <= _MAX_DISTANCE:
        raise GalleryError(
            f"{argument('threshold')}: got {threshold}, expected a cosine distance from 0 to {_MAX_DISTANCE:g}"
        )
    clusters = np.arange(len(vectors))
    pairs = np.array([*excluded], dtype=np.int64).reshape(-1, 2)
    for members in _find_components(vectors, threshold):
        if len(members) > MAX_COMPONENT:
            raise GalleryError(
                f"cluster: {plural(len(members), 'sighting')} are connected by distances up to {threshold:.3f}, at "
                f"most {MAX_COMPONENT:,} can be clustered; lower {argument('threshold')}, or filter by camera or time"
            )
        distances = 1 - vectors[members].astype(np.float64) @ vectors[members].T.astype(np.float64)
        inside = pairs[np.isin(pairs, members).all(axis=1)]
        a, b = np.searchsorted(members, inside).T
        distances = np.clip(distances, 0, _MAX_DISTANCE)  # rounding makes those of copies negative
        distances[a, b] = distances[b, a] = _EXCLUDED
        tree = hierarchy.linkage(squareform(distances, checks=False), method="average")
        clusters[members] = members[0] + len(clusters) * hierarchy.fcluster(tree, threshold, criterion="distance")
    _, first, numbers = np.unique(clusters, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[numbers]


def find_links(
    answers: Sequence[Answer], ids: Sequence[str], *, excluded: Sequence[tuple[int, int]] = ()
) -> tuple[IntArray, IntArray]:
    """Convert answers to a consistent set of must-links and cannot-links.

    The answers of a pair are counted. Of answers that contradict each other, the ones with the fewest votes are left
    out; `Review.answers` names them.

    Args:
        answers: Answers, those about other sightings too.
        ids: Ids of the sightings.
        excluded: Pairs of indices that are never in one cluster for another reason.

    Returns:
        Must-links and cannot-links, (L, 2) pairs of indices each.

    Example:
        >>> from passerby.reviewing.answers import Answer
        >>> must, cannot = find_links([Answer("a", "b", "same"), Answer("a", "c", "different")], ["a", "b", "c"])
        >>> must.tolist(), cannot.tolist()
        ([[0, 1]], [[0, 2]])
    """
    votes = count_votes(*to_arrays(answers, ids))
    walls = np.array([*excluded], np.int64).reshape(-1, 2)
    pairs = np.concatenate([walls, votes.pairs])
    signs = np.concatenate([np.full(len(walls), -1), votes.net])
    weights = np.concatenate([np.full(len(walls), np.inf), np.abs(votes.net)])
    links = resolve_links(len(ids), pairs, signs, weights)
    return links.must, links.cannot


def cluster_linked(vectors: FloatArray, *, threshold: float, must: IntArray, cannot: IntArray) -> IntArray:
    """Assign a cluster number to each sighting under must-links and cannot-links.

    Clusters are those of `cluster_vectors`, except that no join crosses a cannot-link, and that clusters with a
    must-link between them are joined at the end.

    Args:
        vectors: (N, D) of unit length.
        threshold: As for `cluster_vectors`.
        must: (L, 2) pairs of indices in one cluster, consistent with `cannot`.
        cannot: (L, 2) pairs of indices in different clusters.

    Returns:
        (N,) cluster numbers from 0, in the order of first appearance.

    Raises:
        GalleryError: If more than `MAX_EDGES` pairs are within the threshold, or it is outside its range.
        MissingExtraError: Without the extra `eval`.

    Example:
        >>> vectors = np.float32([[1, 0], [0, 1], [1, 0]])
        >>> none = np.empty((0, 2), np.int64)
        >>> cluster_linked(vectors, threshold=0.5, must=none, cannot=np.array([[0, 2]])).tolist()
        [0, 1, 2]
    """
    require_extra("numba")
    from passerby.reviewing.agglomeration import agglomerate

    if not 0 <= threshold <= _MAX_DISTANCE:
        raise GalleryError(f"threshold: got {threshold}, expected a cosine distance from 0 to {_MAX_DISTANCE:g}")
    rows, columns, total = [], [], 0
    for first, block in distance_blocks(vectors, vectors):
        a, b = np.nonzero(block <= threshold + _ROUNDING)
        total += len(a)
        if total > MAX_EDGES:
            raise GalleryError(
                f"cluster: more than {MAX_EDGES:,} pairs are within the distance {threshold:.3f}; lower the threshold, "
                "or filter by camera or time"
            )
        rows.append(a + first)
        columns.append(b)
    starts = np.searchsorted(np.concatenate(rows), np.arange(len(vectors) + 1))
    ones = np.ones((len(vectors), 1), np.float32)
    queries, keys = np.hstack([vectors, (threshold - 1) * ones]), np.hstack([vectors, ones])
    edges = starts, np.concatenate(columns)
    merges, _ = agglomerate(queries, keys, edges, must=must, cannot=cannot, floor=-_ROUNDING)
    return number_groups(merges.roots)


def _find_components(vectors: FloatArray, threshold: float) -> list[IntArray]:
    """Ascending indices of each component of two or more, connected by pairs of at most `threshold`."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(vectors)
    component = np.arange(count)
    for first, block in distance_blocks(vectors, vectors):
        rows, columns = np.nonzero(block <= threshold + _ROUNDING)
        # Earlier blocks enter as one edge per sighting, which bounds memory by the pairs of one block.
        a, b = np.concatenate([rows + first, np.arange(count)]), np.concatenate([columns, component])
        graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(count, count))
        _, number = connected_components(graph, directed=False)
        component = np.unique(number, return_index=True)[1][number]  # index of its first member
    order = np.argsort(component, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(component[order])) + 1)
    return [part for part in parts if len(part) > 1]


def find_simultaneous_tracks(sightings: Sequence[SightingInfo]) -> list[tuple[int, int]]:
    """Find pairs of tracks that overlap in time in one camera and video: they show different identities.

    Args:
        sightings: A track has a `span` in seconds and the attribute `track.video` that it refers to.

    Returns:
        Pairs of indices.

    Example:
        >>> times = [(0, 5), (4, 9), (6, 8)]
        >>> tracks = [{"track.start": start, "track.end": end} for start, end in times]
        >>> find_simultaneous_tracks([SightingInfo(camera="door", attributes=track) for track in tracks])
        [(0, 1), (1, 2)]
    """
    tracks: list[tuple[str, float, float, int]] = []
    for index, sighting in enumerate(sightings):
        if sighting.span is not None:
            view = repr((sighting.camera, sighting.attributes.get(f"{TRACK}video")))
            tracks.append((view, *sighting.span, index))
    pairs = []
    running: list[tuple[str, float, float, int]] = []
    for track in sorted(tracks):
        view, start, _, index = track
        running = [other for other in running if other[0] == view and other[2] > start]
        pairs += [(other[3], index) for other in running]
        running.append(track)
    return pairs


def find_pair_threshold(calibration: Calibration, *, prior: float = PAIR_PRIOR) -> float:
    """Find the largest distance at which two sightings more probably show one identity than two.

    Args:
        calibration: Calibration of the model's distances.
        prior: Prior probability that a pair of sightings shows one identity, between 0 and 1.

    Returns:
        Cosine distance, 0 to 2; 0 if there is none.

    Raises:
        DataError: If the prior is outside its range.

    Example:
        >>> calibration = passerby.load_calibration("runs/m")
        >>> find_pair_threshold(calibration, prior=0.01) <= find_pair_threshold(calibration, prior=0.5)
        True
    """
    distances = np.linspace(0, _MAX_DISTANCE, 20_001)
    same = calibration.probability(distances, prior=prior) >= 0.5
    return float(distances[same][-1]) if same.any() else 0.0


def b_cubed(clusters: IntArray, labels: Sequence[str | None]) -> tuple[float, float]:
    """Compute B-cubed precision and recall of clusters.

    Precision is the mean, over labeled sightings, of the fraction of a sighting's cluster that has its label; recall is
    the mean fraction of its label that is in its cluster. Bagga and Baldwin, "Entity-Based Cross-Document Coreferencing
    Using the Vector Space Model" (1998).

    Args:
        clusters: (N,) cluster of each sighting.
        labels: (N,) labels; sightings without a label do not count.

    Returns:
        (precision, recall), 0 to 1.

    Raises:
        GalleryError: If no sighting has a label.

    Example:
        >>> b_cubed(np.array([0, 0, 1]), ["Ada", "Ada", "Ada"])
        (1.0, 0.5555555555555555)
    """
    labeled = np.array([label is not None for label in labels], dtype=bool)
    if not labeled.any():
        raise GalleryError("B-cubed: no sighting has a label")
    cluster: NDArray[np.int64] = np.unique(np.asarray(clusters)[labeled], return_inverse=True)[1]
    label: NDArray[np.int64] = np.unique([name for name in labels if name is not None], return_inverse=True)[1]
    pair = np.unique(np.stack([cluster, label]), axis=1, return_inverse=True)[1]
    together = np.bincount(pair)[pair]
    precision, recall = together / np.bincount(cluster)[cluster], together / np.bincount(label)[label]
    return float(precision.mean()), float(recall.mean())


def _by_time(sighting: SightingInfo) -> tuple[float, str, str]:
    return (np.inf if sighting.time is None else sighting.time, sighting.camera, sighting.id)
