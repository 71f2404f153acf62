"""Search under camera-wise normalization.

The store keeps vectors as the model made them. The statistics of a camera (`ranking.camera_normalization`) are
estimated from up to `SAMPLE` of its sightings. They are not stored, so nothing derived from a sighting remains after it
is forgotten. With z the standardized query and m, s the mean and the standard deviation of a camera,

    z . (g - m) / s  =  (z / s) . g  -  constant,

so a search of the camera's vectors g for z / s returns its candidates, in order except for their lengths after
standardization, which differ little. They lie in the direction from m to m + s z, the vectors of this camera that are
standardized to the query: in a large gallery, cells near a point of it are searched. The best candidates of all
cameras are then compared exactly, with one read of their vectors. docs/results.md has the fraction of the true nearest
that this misses.

Q queries   D embedding width
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import GalleryError, argument
from passerby.gallery.filters import Filter
from passerby.gallery.sightings import Hit
from passerby.gallery.stores.exact_distances import exact_distances, nearest_first
from passerby.gallery.stores.faiss_index import NEAREST
from passerby.gallery.stores.proposals import Candidates, ScoredPart
from passerby.gallery.stores.protocol import GalleryStore
from passerby.ranking.camera_normalization import MIN_IMAGES, CameraStatistics, shrink_statistics
from passerby.text import plural
from passerby.types import FloatArray

SAMPLE = 1000
"""Sightings from which a camera's statistics are estimated, the first by id; ids are as good as random."""
GROWTH = 0.1
"""Fraction by which a gallery must grow or shrink before the statistics are estimated again."""
CANDIDATE_FACTOR, MIN_CANDIDATES = 8, 200
"""Candidates that are compared exactly: a multiple of the number of hits, and a least number. Of the training people of
CUHK01 and CUHK03, the 50 nearest were among the first 138, the 10 nearest among the first 49; a larger gallery needs
more: of 300,000 vectors drawn with the statistics of CUHK03, 250 candidates had 98.2 % of the 50 nearest, 400 99.2 %.
"""
REACH = 2.0
"""Distance from a camera's mean of the point near which the best lie, in usual lengths. Cells around a point beyond the
best hold more of them than cells around 1.0; 1.6 to 3 are equal."""


class CameraViews:
    """Statistics of a gallery's cameras, each shrunk toward those of all cameras while it has few sightings.

    Args:
        store: Store of the gallery.

    Attributes:
        sightings: Number of sightings in the gallery at the time of the estimate.
        general: Statistics of all cameras together, used for cameras that were added since.

    Raises:
        GalleryError: If the gallery has fewer than `MIN_IMAGES` sightings, or all vectors are equal.
    """

    def __init__(self, store: GalleryStore) -> None:
        stats = store.stats()
        self.sightings = stats.sightings
        if self.sightings < MIN_IMAGES:
            raise GalleryError(
                f"{stats.address}: {plural(self.sightings, 'sighting')}, expected at least {MIN_IMAGES} to estimate "
                f"the statistics of cameras; search without {argument('seen_by')}, or enroll more"
            )
        own = {camera: view for camera in stats.cameras if (view := _estimate(store, camera)) is not None}
        self.general, self._views = shrink_statistics(own)
        self._lengths = {camera: _mean_length(view, self._views[camera]) for camera, (view, _) in own.items()}
        if not self.general.deviation.any():
            raise GalleryError(f"{stats.address}: all sightings have the same vector; check the model and the images")

    def __contains__(self, camera: object) -> bool:
        return camera in self._views

    def __getitem__(self, camera: str) -> CameraStatistics:
        if camera not in self._views:
            cameras = sorted(self._views)
            more = f" and {len(cameras) - 10} more" if len(cameras) > 10 else ""
            raise GalleryError(
                f"{argument('seen_by')} {camera!r}: the gallery has no sighting of that camera, only of "
                f"{', '.join(cameras[:10])}"
                f"{more}; enroll some, or leave {argument('seen_by')} out"
            )
        return self._views[camera]

    def get(self, camera: str) -> CameraStatistics:
        """Return the statistics of a camera, or those of all cameras for one that was added since."""
        return self._views.get(camera, self.general)

    def split_filter(self, where: Filter) -> Iterator[tuple[CameraStatistics, float, Filter]]:
        """Yield each camera's statistics, the mean length of its standardized vectors, and the filter for it.

        Cameras that were added since are one group.
        """
        for camera, view in self._views.items():
            if camera not in where.not_cameras and (where.cameras is None or camera in where.cameras):
                yield view, self._lengths[camera], replace(where, cameras=[camera], not_cameras=())
        length = _mean_length(self.general, self.general)
        if where.cameras is None:
            yield self.general, length, replace(where, not_cameras=[*where.not_cameras, *self._views])
        elif others := [camera for camera in where.cameras if camera not in self._views]:
            yield self.general, length, replace(where, cameras=others)


class CameraSearch:
    """Search of a gallery under camera-wise normalization; keeps the statistics until the gallery has changed much.

    Args:
        store: Store of the gallery.
    """

    def __init__(self, store: GalleryStore) -> None:
        self._store = store
        self._views: CameraViews | None = None

    def search(self, vectors: ArrayLike, *, seen_by: str, top: int, where: Filter) -> list[list[Hit]]:
        """Find the nearest sightings of each query; see `search_across`."""
        views = self._views
        if views is None or seen_by not in views or abs(self._store.count() / views.sightings - 1) > GROWTH:
            self._views = views = CameraViews(self._store)
        return search_across(self._store, views, vectors, seen_by=seen_by, top=top, where=where)


def search_across(
    store: GalleryStore, views: CameraViews, vectors: ArrayLike, *, seen_by: str, top: int, where: Filter
) -> list[list[Hit]]:
    """Find the nearest sightings of each query under camera-wise normalization.

    Args:
        store: Store of the gallery.
        views: Statistics of its cameras.
        vectors: (Q, D) or (D,) floating point, of any length above 0, all from one camera.
        seen_by: That camera.
        top: Hits per query.
        where: Sightings to search.

    Returns:
        As `GalleryStore.search`; distances are of standardized vectors, 0 to 2, calibrated by `Calibration.cameras`.

    Raises:
        GalleryError: For a camera without sightings; as `GalleryStore.search`.

    Example:
        >>> from passerby.gallery.crops import list_crops
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     _ = gallery.enroll(list_crops("crops", folders="camera"))
        ...     views, vectors = CameraViews(gallery.store), gallery.embedder.embed("a.jpg")
        ...     [hits] = search_across(gallery.store, views, vectors, seen_by="north", top=3, where=Filter())
        >>> len(hits)
        3
    """
    queries = views[seen_by].standardize(np.atleast_2d(np.asarray(vectors)))  # (Q, D)
    count = max(CANDIDATE_FACTOR * top, MIN_CANDIDATES)
    parts = [
        _score_part(queries, view, typical, part, near=where.selects_all and top <= NEAREST)
        for view, typical, part in views.split_filter(where)
    ]
    best = store.propose(parts, count=count)
    candidates = store.read_proposed(sorted({key for keys in best for key in keys}))
    standardized = _standardize(candidates, views)
    places = {key: place for place, key in enumerate(candidates.keys)}
    hits = []
    for query, keys in zip(queries, best, strict=True):
        chosen = [places[key] for key in keys if key in places]
        distances = exact_distances(query.astype(np.float32), standardized[chosen])
        nearest = nearest_first(distances, [candidates.ids[place] for place in chosen], top=top)
        infos = [candidates.to_info(candidates.records[chosen[index]]) for index in nearest]
        hits.append([Hit(**info, distance=float(distances[i])) for info, i in zip(infos, nearest, strict=True)])
    store.log("search", queries=len(hits), hits=sum(map(len, hits)))
    return hits


def _score_part(
    queries: NDArray[np.float64], view: CameraStatistics, typical: float, where: Filter, *, near: bool
) -> ScoredPart:
    """Score a camera's sightings by their inner product with (Q, D) standardized queries after standardization.

    Args:
        queries: Of length 1.
        view: Statistics of the camera.
        typical: Mean length of its standardized vectors.
        where: Its sightings.
        near: Whether only the cells near the best may be searched. A search with a filter, or for more than the number
            to which cells are tuned, compares every sighting.
    """
    directions = queries * view.scale
    factors, offsets = np.linalg.norm(directions, axis=1) / typical, -(directions @ view.mean) / typical
    points = (view.mean + REACH * typical * queries * view.deviation).astype(np.float32) if near else None
    return ScoredPart(where, directions.astype(np.float32), factors, offsets, points)


def _standardize(candidates: Candidates, views: CameraViews) -> FloatArray:
    """Return the (N, D) vectors of candidates, standardized by their cameras; in float32 for speed."""
    standardized = np.empty_like(candidates.vectors)
    cameras = np.array(candidates.cameras, dtype=object)
    for camera in {*candidates.cameras}:
        rows, view = np.flatnonzero(cameras == camera), views.get(camera)
        vectors = candidates.vectors[rows]
        vectors -= view.mean.astype(np.float32)
        vectors *= view.scale.astype(np.float32)
        lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        vectors /= np.maximum(lengths, np.finfo(np.float32).tiny)[:, None]  # a zero vector stays, and is rejected
        standardized[rows] = vectors
    return standardized


def _estimate(store: GalleryStore, camera: str) -> tuple[CameraStatistics, int] | None:
    """Estimate a camera's statistics; return them with the number of sightings, None if all were just removed."""
    sample = next(store.walk(Filter(cameras=[camera]), batch=SAMPLE, crops=False), [])
    if not sample:
        return None
    return CameraStatistics.from_vectors(np.stack([sighting.vector for sighting in sample])), len(sample)


def _mean_length(own: CameraStatistics, applied: CameraStatistics) -> float:
    """Root mean square length of vectors with the statistics `own`, standardized by `applied`."""
    return float(np.linalg.norm(np.hypot(own.deviation, own.mean - applied.mean) * applied.scale))
