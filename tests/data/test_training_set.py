"""Joined training sets. Oracle: two tiny sets worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from passerby.data.training_set import join_training
from passerby.errors import DataError
from passerby.types import DataSet, Sample


def data_set(name: str, *train: tuple[int, int]) -> DataSet:
    """Return a data set with numbered training images of (person, camera)."""
    samples = tuple(Sample(Path(f"/{name}/{i}.jpg"), person, camera) for i, (person, camera) in enumerate(train))
    return DataSet(name, Path(f"/{name}"), f"{name}:/{name}", samples, (), ())


def test_identities_and_cameras_of_two_sets_are_disjoint() -> None:
    joined = join_training([data_set("a", (9, 0), (2, 2), (9, 1)), data_set("b", (2, 0), (2, 1), (9, 0))])
    assert joined.labels.tolist() == [1, 0, 1, 2, 2, 3]
    assert joined.labels.dtype == np.int64
    assert joined.identities == 4
    assert [s.camera_id for s in joined.samples] == [0, 2, 1, 3, 4, 3]
    assert [s.person_id for s in joined.samples] == [2, 1, 2, 3, 3, 4]
    assert [s.path.parent.name for s in joined.samples] == list("aaabbb")
    assert len(joined) == 6


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([], "no data set: 0 training identities"),
        ([data_set("a", (1, 0), (1, 1), (2, 0)), data_set("b")], "b: the train split of /b is empty"),
        ([data_set("a", (5, 0), (5, 1))], "a: 1 training identity; expected at least 2"),
        ([data_set("a", (1, 3), (1, 3), (2, 3))], "a: 3 training images from one camera"),
        ([data_set("a", (1, 0), (2, 1))], "a: each of 2 training identities has one image"),
        ([data_set("a", (1, 0), (1, 1), (2, 0))] * 2, r"a \+ a: 3 training images in it twice"),
    ],
)
def test_untrainable_sets_are_refused(sets: list[DataSet], message: str) -> None:
    with pytest.raises(DataError, match=message):
        join_training(sets)
