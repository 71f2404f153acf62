"""Embed the images of a data set with a run's model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from passerby.data.loading import evaluation_batches
from passerby.model.embed import Embedder, embed
from passerby.types import Embeddings, Sample

OnImages = Callable[[int, int], None]
"""Called with (images embedded, images in all)."""


def embed_set(
    embedder: Embedder,
    samples: Sequence[Sample],
    *,
    flip: bool,
    batch: int,
    workers: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Embeddings:
    """Embed the images of a data set's split; `progress` is called with the number of images done."""
    preprocessing = embedder.preprocessing
    batches = evaluation_batches(
        samples,
        size=preprocessing.size,
        mean=preprocessing.mean,
        std=preprocessing.std,
        batch=batch,
        workers=workers,
    )
    vectors = embed(embedder.network, batches, flip=flip, device=embedder.device, progress=progress)
    people = np.array([sample.person_id for sample in samples], dtype=np.int64)
    cameras = np.array([sample.camera_id for sample in samples], dtype=np.int64)
    return Embeddings(vectors, people, cameras)
