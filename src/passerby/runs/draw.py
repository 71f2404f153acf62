"""Draw training images and embed them, for calibration and thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from passerby.errors import DataError, argument
from passerby.progress import ProgressCallback, no_progress, part_of
from passerby.runs.evaluate_model import EvaluationOptions
from passerby.runtime.embedder import Embedder
from passerby.types import DataSet, Embeddings, Sample

IMAGES = 4000
"""Default number of training images to embed: 8 million pairs."""


def draw_training(sets: Sequence[DataSet], images: int, *, seed: int) -> list[list[Sample]]:
    """Draw all training images of random identities of each data set.

    Args:
        sets: Data sets with a train split.
        images: Images of all data sets together, at least 1; each gets the same number.
        seed: Seed of the draw.

    Raises:
        DataError: For `images` below 1, or an empty train split.
    """
    if images < 1:
        raise DataError(f"{argument('images')}: got {images}, expected at least 1")
    generator = np.random.default_rng(seed)
    return [draw_identities(data, images // len(sets), generator) for data in sets]


def draw_identities(data: DataSet, images: int, generator: np.random.Generator) -> list[Sample]:
    """Draw identities one by one, with all their training images, until `images` are reached; at least two.

    Raises:
        DataError: For an empty train split.
    """
    samples_of: dict[int, list[Sample]] = {}
    for sample in data.train:
        samples_of.setdefault(sample.person_id, []).append(sample)
    if not samples_of:
        raise DataError(f"{data.title}: the train split of {data.root} is empty; expected training images")
    drawn: list[Sample] = []
    for number, identity in enumerate(generator.permutation(sorted(samples_of)).tolist()):
        if number >= 2 and len(drawn) + len(samples_of[identity]) > images:
            break
        drawn += samples_of[identity]
    return drawn


def embed_groups(
    embedder: Embedder,
    groups: Sequence[Sequence[Sample]],
    options: EvaluationOptions,
    *,
    progress: ProgressCallback = no_progress,
) -> list[Embeddings]:
    """Embed several lists of images, with one progress for all."""
    total, done, embedded = sum(map(len, groups)), 0, []
    for samples in groups:
        part = part_of(progress, done, total)
        embedded.append(
            embedder.embed_samples(
                samples, flip=options.flip, batch=options.batch, workers=options.workers, progress=part
            )
        )
        done += len(samples)
    return embedded
