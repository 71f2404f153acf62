"""Search across cameras: what each camera does to all of its vectors is taken out before they are compared.

The store keeps vectors as the model made them. What a camera's have in common (`ranking.camera_normalization`) is
learned from up to `SAMPLE` of its sightings, as they come in; nothing of it is stored, so nothing of it outlives a
sighting that is forgotten. With z the standardized query and m, s the mean and spread of a camera,

    z . (g - m) / s  =  (z / s) . g  -  constant,

so that a search of that camera's own vectors g for z / s finds the candidates, in order but for their lengths after
standardization, which differ a little. The best of all cameras' are then compared exactly; `docs/results.md` has how
few of the true nearest that misses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from passerby.errors import GalleryError
from passerby.gallery.sightings import Filter, Hit, Sighting
from passerby.gallery.stores.exact_distances import exact_distances, nearest_first
from passerby.gallery.stores.protocol import GalleryStore
from passerby.ranking.camera_normalization import MIN_IMAGES, CameraStatistics, shrink_statistics
from passerby.types import FloatArray

SAMPLE = 1000
"""Sightings of a camera that it is learned from, the first by id; ids are as good as random."""
GROWN = 0.1
"""Share by which a gallery must have grown or shrunk before its cameras are learned again."""
WIDER, LEAST = 4, 100
"""Candidates that are compared exactly: so many for each hit that is asked for, and at least so many."""


class CameraViews:
    """The cameras of a gallery, each drawn towards all of them together as long as it has few sightings.

    Attributes:
        sightings: In the gallery when this was learned.

    Raises:
        GalleryError: When the gallery holds fewer than `MIN_IMAGES` sightings.
    """

    def __init__(self, store: GalleryStore) -> None:
        described = store.describe()
        self.sightings = described.sightings
        if self.sightings < MIN_IMAGES:
            raise GalleryError(
                f"{described.address}: {self.sightings} sightings, expected at least {MIN_IMAGES} to learn from what "
                "cameras do; search without saying which camera saw the query, or enroll more"
            )
        own = {camera: view for camera in described.cameras if (view := _learn(store, camera)) is not None}
        self.general, self._views = shrink_statistics(own)
        self._lengths = {camera: _length(view, self._views[camera]) for camera, (view, _) in own.items()}
        if not self.general.deviation.any():
            raise GalleryError(f"{described.address}: all sightings have the same vector; find out what made it")

    def __contains__(self, camera: object) -> bool:
        return camera in self._views

    def __getitem__(self, camera: str) -> CameraStatistics:
        """That of a camera.

        Raises:
            GalleryError: When the gallery has nothing of that camera.
        """
        if camera not in self._views:
            known = sorted(self._views)
            raise GalleryError(
                f"seen by {camera!r}: the gallery has no sighting of that camera, only of {', '.join(known[:10])}"
                f"{f' and {len(known) - 10} more' if len(known) > 10 else ''}; enroll some, or leave the camera out"
            )
        return self._views[camera]

    def of(self, camera: str) -> CameraStatistics:
        """That of a camera; all cameras' for one that came since."""
        return self._views.get(camera, self.general)

    def passing(self, where: Filter) -> Iterator[tuple[CameraStatistics, float, Filter]]:
        """Each camera's view, how long its standardized vectors are, and the filter that leaves its own sightings.

        Cameras that came since go together.
        """
        since = self.general, _length(self.general, self.general)
        for camera, view in self._views.items():
            if camera not in where.not_cameras and (where.cameras is None or camera in where.cameras):
                yield view, self._lengths[camera], replace(where, cameras=[camera], not_cameras=())
        if where.cameras is None:
            yield *since, replace(where, not_cameras=[*where.not_cameras, *self._views])
        elif others := [camera for camera in where.cameras if camera not in self._views]:
            yield *since, replace(where, cameras=others)


def search_across(
    store: GalleryStore, views: CameraViews, vectors: FloatArray, *, seen_by: str, top: int, where: Filter
) -> list[list[Hit]]:
    """The nearest sightings of each query under camera-wise normalization, nearest first.

    Args:
        store: Where to look.
        views: Its cameras.
        vectors: (Q, D) floating point, of any length above 0: what one camera saw.
        seen_by: That camera.
        top: Hits per query.
        where: Which sightings count.

    Returns:
        As `GalleryStore.search`; distances are of standardized vectors, 0 to 2: `Calibration.cameras` knows them.

    Raises:
        GalleryError: For a camera that the gallery does not know; as `GalleryStore.search`.
    """
    asked = views[seen_by].standardize(np.atleast_2d(vectors))  # (Q, D)
    count = max(WIDER * top, LEAST)
    candidates: list[list[tuple[float, Hit]]] = [[] for _ in asked]
    for view, typical, there in views.passing(where):
        towards = asked * view.scale
        lengths, offsets = np.linalg.norm(towards, axis=1), towards @ view.mean
        found = store.search(towards.astype(np.float32), top=count, where=there, record=False)
        for hits, length, offset, kept in zip(found, lengths, offsets, candidates, strict=True):
            kept += [(((1 - hit.distance) * length - offset) / typical, hit) for hit in hits]
    best = [[hit for _, hit in sorted(kept, key=lambda each: -each[0])[:count]] for kept in candidates]
    standardized = _standardized(store, views, {hit.id for hits in best for hit in hits})
    answers = [_nearest(query, hits, standardized, top=top) for query, hits in zip(asked, best, strict=True)]
    store.log("search", queries=len(answers), hits=sum(map(len, answers)))
    return answers


def _nearest(
    query: NDArray[np.float64], candidates: Sequence[Hit], standardized: Mapping[str, FloatArray], *, top: int
) -> list[Hit]:
    """The nearest of the candidates that are there still, with their exact distances."""
    held = [hit for hit in candidates if hit.id in standardized]
    if not held:
        return []
    distances = exact_distances(query.astype(np.float32), np.stack([standardized[hit.id] for hit in held]))
    places = nearest_first(distances, [hit.id for hit in held], top=top)
    return [replace(held[place], distance=float(distances[place])) for place in places]


def _standardized(store: GalleryStore, views: CameraViews, ids: set[str]) -> dict[str, FloatArray]:
    """Vectors of those that are there still, each as its camera's view has it."""
    by_camera: dict[str, list[Sighting]] = {}
    for some in store.walk(Filter(ids=sorted(ids))) if ids else ():
        for each in some:
            by_camera.setdefault(each.camera, []).append(each)
    found: dict[str, FloatArray] = {}
    for camera, seen in by_camera.items():
        vectors = views.of(camera).standardize(np.stack([each.vector for each in seen])).astype(np.float32)
        found |= {each.id: vector for each, vector in zip(seen, vectors, strict=True)}
    return found


def _learn(store: GalleryStore, camera: str) -> tuple[CameraStatistics, int] | None:
    """A camera's own view and how many sightings it is of; None when the last of them has just gone."""
    first = next(store.walk(Filter(cameras=[camera]), batch=SAMPLE), [])
    return (CameraStatistics.from_vectors(np.stack([each.vector for each in first])), len(first)) if first else None


def _length(own: CameraStatistics, seen_as: CameraStatistics) -> float:
    """Root mean square length of vectors with one view, standardized by another."""
    return float(np.linalg.norm(np.hypot(own.deviation, own.mean - seen_as.mean) * seen_as.scale))
