"""Synthetic people: the mAP on them is a lower bound for adapted models, and calibrations are fitted to them.

N images   D width of the embedding
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.adaptation.start_model import StartModel
from passerby.data.datasets import load_data
from passerby.data.images import Pixels
from passerby.evaluation.score import score
from passerby.progress import ProgressCallback, no_progress
from passerby.ranking.camera_normalization import standardize_cameras
from passerby.runs.calibrate import was_trained_on
from passerby.types import Embeddings, FloatArray, IntArray

RENDERED = "synth:identities=240,cameras=60,images=2,seed=3,views=4,test=1"
"""Synthetic people of another seed than those of the default model."""


@dataclass(frozen=True)
class RenderedPeople:
    """Synthetic people at the model's size.

    Attributes:
        spec: The data set.
        pixels: (N, H, W, 3) uint8 RGB.
        person_ids: (N,).
        camera_ids: (N,).
        trained_on: Whether the model was trained on them.
    """

    spec: str
    pixels: Pixels
    person_ids: IntArray
    camera_ids: IntArray
    trained_on: bool

    def label(self, vectors: FloatArray) -> Embeddings:
        """Return (N, D) vectors with the identities and cameras."""
        return Embeddings(vectors, self.person_ids, self.camera_ids)

    def mean_precision(self, vectors: NDArray[np.floating]) -> float:
        """Compute the mAP with each image as a query among the others, normalized per camera, 0 to 1."""
        images = standardize_cameras(self.label(np.asarray(vectors, np.float32)))
        keys = np.stack([self.person_ids, self.camera_ids], axis=1)
        first = np.unique(keys, axis=0, return_index=True)[1]
        rest = np.setdiff1d(np.arange(len(keys)), first)
        return score(images.take(first), images.take(rest)).mAP


def read_rendered(
    start: StartModel, spec: str = RENDERED, *, progress: ProgressCallback = no_progress
) -> RenderedPeople:
    """Render people, unless they are in the cache, and read them.

    Args:
        start: The model, for the size.
        spec: A data set whose train split is read.
        progress: Callback that receives the number of decoded images, as task `decode`.
    """
    (data,) = load_data(spec)
    blocks: list[Pixels] = []
    done = 0
    for block in start.embedder.read_pixels(data.train):
        blocks.append(block)
        done += len(block)
        progress("decode", done, len(data.train))
    persons, cameras = (
        np.array([getattr(sample, name) for sample in data.train], np.int64) for name in ("person_id", "camera_id")
    )
    return RenderedPeople(spec, np.concatenate(blocks), persons, cameras, was_trained_on(start.embedder, data))
