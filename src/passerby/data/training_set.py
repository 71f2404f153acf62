"""Several data sets as one training set, in which people and cameras of different sets never meet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from passerby.errors import DataError
from passerby.types import DataSet, IntArray, Sample


@dataclass(frozen=True)
class TrainingSet:
    """What a network is trained on.

    Attributes:
        samples: Training images. `person_id` is label + 1, and camera ids of each set start where the last one's ended.
        labels: (N,) int64 class of each sample, 0 to `identities` - 1.
        identities: How many classes.
    """

    samples: tuple[Sample, ...]
    labels: IntArray
    identities: int

    def __len__(self) -> int:
        return len(self.samples)


def join_training(sets: Sequence[DataSet]) -> TrainingSet:
    """Join the train splits; classes follow the order of the sets, then of their person ids.

    Raises:
        DataError: For no training image, one identity only, one camera only, no identity with two images, or an image
            that is in two of the sets.
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
    _refuse_useless(samples, identities, names)
    return TrainingSet(tuple(samples), np.asarray(labels, dtype=np.int64), identities)


def _refuse_useless(samples: Sequence[Sample], identities: int, names: str) -> None:
    """Stop before the first epoch what could only fail after the last."""
    if identities < 2:
        raise DataError(f"{names}: {identities} training identities; expected at least 2 to tell apart")
    if len({sample.camera_id for sample in samples}) < 2:
        raise DataError(
            f"{names}: all {len(samples)} training images are from one camera; re-identification is learned across "
            "cameras. Check how cameras are written in the data, or say ?camera=none for a folder that does not tell"
        )
    if len(samples) == identities:
        raise DataError(
            f"{names}: each of {identities} training identities has one image; expected two or more of some"
        )
    places = {(sample.path.resolve(), sample.key) for sample in samples}
    if len(places) < len(samples):
        raise DataError(
            f"{names}: {len(samples) - len(places)} training images are in it twice; the same data set was given "
            "twice, or one lies inside another"
        )
