"""State of a review: the sightings of a gallery, and their groups under the present answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from passerby.gallery.cluster import find_simultaneous_tracks
from passerby.gallery.sightings import SightingInfo
from passerby.gallery.stores.protocol import GalleryStore
from passerby.openset.calibration import Calibration
from passerby.ranking.camera_normalization import MIN_IMAGES, standardize_cameras
from passerby.reviewing.answers import Answer, to_arrays
from passerby.reviewing.evidence import PairModel
from passerby.reviewing.identities import Grouping, SightingGraph, find_parts, group_sightings, learn_transitions
from passerby.reviewing.links import count_votes
from passerby.types import Embeddings, FloatArray, IntArray


@dataclass(frozen=True)
class ReviewScene:
    """The sightings of a gallery, in the order of their ids.

    Attributes:
        infos: Metadata.
        ids: Ids.
        graph: Vectors, cameras and nearest neighbors.
        model: Log odds of pairs before any answer.
        parts: (N,) groups without answers.
    """

    infos: tuple[SightingInfo, ...]
    ids: tuple[str, ...]
    graph: SightingGraph
    model: PairModel
    parts: IntArray


class SceneReader:
    """Reads the sightings and the answers of a gallery; both are kept until they change.

    Args:
        store: Store of the gallery.
        calibration: Calibration of its model.
        prior: Prior probability that a pair of sightings shows one person.
        error_rate: Assumed fraction of wrong answers.
    """

    def __init__(self, store: GalleryStore, calibration: Calibration, *, prior: float, error_rate: float) -> None:
        self._store, self._calibration, self._prior, self._error_rate = store, calibration, prior, error_rate
        self._scene: ReviewScene | None = None
        self._grouping: tuple[tuple[Answer, ...], Grouping] | None = None

    def read(self) -> ReviewScene:
        """Read the sightings, unless none was added, removed or labeled since."""
        known = self._store.stored_labels(self._scene.ids) if self._scene is not None else {}
        if (
            self._scene is None
            or len(known) < self._store.count()
            or known != {info.id: info.label for info in self._scene.infos}
        ):
            self._scene = _read_scene(self._store, self._calibration, self._prior)
            self._grouping = None
        return self._scene

    def group(self) -> tuple[ReviewScene, Grouping]:
        """Read the sightings, and group them under the answers, unless there are no others since."""
        scene, answers = self.read(), tuple(self._store.answers.read())
        if self._grouping is None or self._grouping[0] != answers:
            votes = count_votes(*to_arrays(answers, scene.ids))
            grouping = group_sightings(scene.graph, votes, scene.model, error_rate=self._error_rate, parts=scene.parts)
            self._grouping = answers, grouping
        return scene, self._grouping[1]


def _read_scene(store: GalleryStore, calibration: Calibration, prior: float) -> ReviewScene:
    infos: list[SightingInfo] = []
    vectors: list[FloatArray] = []
    for batch in store.walk(crops=False):
        infos += [SightingInfo(**sighting.info) for sighting in batch]
        vectors += [sighting.vector for sighting in batch]
    names, cameras = np.unique([info.camera for info in infos], return_inverse=True)
    stacked = np.stack(vectors) if vectors else np.empty((0, store.card.model.dimension), np.float32)
    if calibration.cameras is not None and len(infos) >= MIN_IMAGES:
        calibration = calibration.cameras
        stacked = standardize_cameras(Embeddings(stacked, np.zeros(len(infos), np.int64), cameras)).vectors
    excluded = np.array(find_simultaneous_tracks(infos), np.int64).reshape(-1, 2)
    graph = SightingGraph.build(stacked, cameras, excluded=excluded, labels=_number_labels(infos))
    start = PairModel.from_calibration(calibration, prior=prior, cameras=max(len(names), 1))
    model = learn_transitions(graph, start)
    return ReviewScene(tuple(infos), tuple(info.id for info in infos), graph, model, find_parts(graph, model))


def _number_labels(infos: Sequence[SightingInfo]) -> IntArray | None:
    """(N,) number of each label, -1 for none; None if no sighting has one."""
    numbers: dict[str, int] = {}
    labels = [-1 if info.label is None else numbers.setdefault(info.label, len(numbers)) for info in infos]
    return np.array(labels, np.int64) if numbers else None
