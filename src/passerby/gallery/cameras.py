"""Search across cameras: what each camera does to all of its vectors is taken out before they are compared.

The store keeps vectors as the model made them. What a camera's have in common (`passerby.ranking.cameras`) is learnt
from up to `SAMPLE` of its sightings, whoever they show, as they come in; nothing of it is stored, so nothing of it
outlives a sighting that is forgotten. With z the standardised query and m, s the mean and spread of a camera,

    z . (g - m) / s  =  (z / s) . g  -  constant,

so that a search of that camera's own vectors g for z / s finds the candidates; their lengths after standardisation,
which differ a little, are then put right. `docs/gallery.md` has how few of the true nearest that misses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from passerby.errors import GalleryError
from passerby.gallery.nearest import exact_distances, nearest_first
from passerby.gallery.store import GalleryStore
from passerby.gallery.types import Filter, Hit
from passerby.ranking.cameras import FEWEST, CameraView, shrunk_views
from passerby.types import FloatArray

SAMPLE = 1000
"""Sightings of a camera that it is learnt from, the first by id; ids are as good as random."""
GROWN = 0.1
"""Share by which a gallery must have grown or shrunk before its cameras are learnt again."""
WIDER, LEAST = 4, 100
"""Candidates of each camera: so many for each hit that is asked for, and at least so many."""


class CameraViews:
    """The cameras of a gallery, each drawn towards all of them together as long as it has few sightings.

    Attributes:
        sightings: In the gallery when this was learnt.

    Raises:
        GalleryError: When the gallery holds fewer than `FEWEST` sightings.
    """

    def __init__(self, store: GalleryStore) -> None:
        described = store.describe()
        self.sightings = described.sightings
        if self.sightings < FEWEST:
            raise GalleryError(
                f"{described.address}: {self.sightings} sightings, expected at least {FEWEST} to learn from what "
                "cameras do; search without saying which camera saw the query, or enrol more"
            )
        seen = {camera: _sample(store, camera) for camera in described.cameras}
        own = {camera: (CameraView.of(vectors), len(vectors)) for camera, vectors in seen.items() if len(vectors)}
        self.general, self._views = shrunk_views(own)
        if not self.general.spread.any():
            raise GalleryError(f"{described.address}: all sightings have the same vector; find out what made it")

    def __contains__(self, camera: object) -> bool:
        return camera in self._views

    def __getitem__(self, camera: str) -> CameraView:
        """That of a camera.

        Raises:
            GalleryError: When the gallery has nothing of that camera.
        """
        if camera not in self._views:
            known = sorted(self._views)
            raise GalleryError(
                f"seen by {camera!r}: the gallery has no sighting of that camera, only of {', '.join(known[:10])}"
                f"{f' and {len(known) - 10} more' if len(known) > 10 else ''}; enrol some, or leave the camera out"
            )
        return self._views[camera]

    def passing(self, where: Filter) -> Iterator[tuple[CameraView, Filter]]:
        """Each camera's view with the filter that leaves its own sightings; cameras that came since are seen as all."""
        for camera, view in self._views.items():
            if camera not in where.not_cameras and (where.cameras is None or camera in where.cameras):
                yield view, replace(where, cameras=[camera], not_cameras=())
        if where.cameras is None:
            yield self.general, replace(where, not_cameras=[*where.not_cameras, *self._views])
        elif others := [camera for camera in where.cameras if camera not in self._views]:
            yield self.general, replace(where, cameras=others)


def search_across(
    store: GalleryStore, views: CameraViews, vectors: FloatArray, *, seen_by: str, top: int, where: Filter
) -> list[list[Hit]]:
    """The nearest sightings of each query under camera-wise normalisation, nearest first.

    Args:
        store: Where to look.
        views: Its cameras.
        vectors: (Q, D) floating point, of any length above 0: what one camera saw.
        seen_by: That camera.
        top: Hits per query.
        where: Which sightings count.

    Returns:
        As `GalleryStore.search`; distances are of standardised vectors, 0 to 2: `Calibration.cameras` knows them.

    Raises:
        GalleryError: For a camera that the gallery does not know; as `GalleryStore.search`.
    """
    asked = views[seen_by].standardise(np.atleast_2d(vectors))  # (Q, D)
    found: list[dict[str, tuple[float, Hit]]] = [{} for _ in asked]
    for view, there in views.passing(where):
        towards = (asked * view.scale).astype(np.float32)
        candidates = store.search(towards, top=max(WIDER * top, LEAST), where=there, record=False)
        standardised = _standardised(store, view, {hit.id for hits in candidates for hit in hits})
        for query, hits, kept in zip(asked, candidates, found, strict=True):
            held = [hit for hit in hits if hit.id in standardised]
            if held:
                distances = exact_distances(query.astype(np.float32), np.stack([standardised[hit.id] for hit in held]))
                kept |= {hit.id: (float(each), hit) for each, hit in zip(distances, held, strict=True)}
    answers = []
    for kept in found:
        ids = list(kept)
        places = nearest_first(np.array([kept[each][0] for each in ids]), ids, top=top)
        answers.append([replace(kept[ids[place]][1], distance=kept[ids[place]][0]) for place in places])
    store.log("search", queries=len(answers), hits=sum(map(len, answers)))
    return answers


def _sample(store: GalleryStore, camera: str) -> FloatArray:
    first = next(store.walk(Filter(cameras=[camera]), batch=SAMPLE), [])
    return np.stack([each.vector for each in first]) if first else np.empty((0, store.card.model.dimension), np.float32)


def _standardised(store: GalleryStore, view: CameraView, ids: set[str]) -> dict[str, NDArray[np.float32]]:
    """Vectors of those that are there still."""
    found = [each for some in store.walk(Filter(ids=sorted(ids))) for each in some] if ids else []
    if not found:
        return {}
    vectors = view.standardise(np.stack([each.vector for each in found])).astype(np.float32)
    return {each.id: vector for each, vector in zip(found, vectors, strict=True)}
