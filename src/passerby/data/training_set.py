"""Training set joined from several data sets, with disjoint identities and cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from passerby.errors import DataError
from passerby.text import plural
from passerby.types import DataSet, IntArray, Sample


@dataclass(frozen=True)
class TrainingSet:
    """Training images with their classes.

    Attributes:
        samples: Training images. `person_id` is label + 1; the camera ids of a set start after those of the set before.
        labels: (N,) int64 class of each sample, 0 to `identities` - 1.
        identities: Number of classes.
    """

    samples: tuple[Sample, ...]
    labels: IntArray
    identities: int

    def __len__(self) -> int:
        return len(self.samples)


def join_training(sets: Sequence[DataSet]) -> TrainingSet:
    """Join the train splits; classes follow the order of the sets, then of their person ids.

    Raises:
        DataError: For no training image, one identity, one camera, no identity with two images, or an image that is in
            two of the sets.

    Example:
        >>> from passerby.data.datasets import load_data
        >>> training_set = join_training(load_data("market1501:people"))
        >>> len(training_set), training_set.identities
        (48, 12)
    """
    names = " + ".join(data.title for data in sets) or "no data set"
    samples: list[Sample] = []
    labels: list[int] = []
    identities = cameras = 0
    for data in sets:
        if not data.train:
            raise DataError(f"{data.title}: the train split of {data.root} is empty; expected images to learn from")
        label_of = {person: label for label, person in enumerate(sorted({s.person_id for s in data.train}), identities)}
        labels += [label_of[sample.person_id] for sample in data.train]
        samples += [
            replace(sample, person_id=label_of[sample.person_id] + 1, camera_id=sample.camera_id + cameras)
            for sample in data.train
        ]
        identities += len(label_of)
        cameras += max(sample.camera_id for sample in data.train) + 1
    _require_trainable(samples, identities, names)
    return TrainingSet(tuple(samples), np.asarray(labels, dtype=np.int64), identities)


def _require_trainable(samples: Sequence[Sample], identities: int, names: str) -> None:
    """Raise DataError for a training set on which training is impossible or pointless."""
    if identities < 2:
        raise DataError(f"{names}: {plural(identities, 'training identity')}; expected at least 2")
    if len({sample.camera_id for sample in samples}) < 2:
        raise DataError(
            f"{names}: {plural(len(samples), 'training image')} from one camera only; re-identification is learned "
            "across cameras. Check how the data states cameras, or add ?camera=none for a folder that does not state "
            "them"
        )
    if len(samples) == identities:
        raise DataError(
            f"{names}: each of {plural(identities, 'training identity')} has one image; expected two or more of some "
            "of them"
        )
    files = {(sample.path.resolve(), sample.key) for sample in samples}
    if len(files) < len(samples):
        raise DataError(
            f"{names}: {plural(len(samples) - len(files), 'training image')} in it twice; the same data set was given "
            "twice, or one is inside another"
        )
