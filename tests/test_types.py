"""What is handed from room to room refuses what cannot be meant."""

import numpy as np
import pytest

from passerby.types import Embeddings, Labels

vectors = np.ones((3, 2), dtype=np.float32)
ids = np.array([1, 2, 3])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((vectors[0], ids, ids), r"vectors: got shape \(2,\) of float32, expected \(N, D\) floating point"),
        ((vectors.astype(int), ids, ids), r"vectors: got shape \(3, 2\) of int64"),
        ((vectors * np.array([[1], [1], [np.nan]]), ids, ids), "vectors: NaN or infinity, first in row 2"),
        ((vectors, ids[:2], ids), r"person_ids: got shape \(2,\) of int64, expected \(3,\) integers"),
        ((vectors, ids, ids * 1.0), r"camera_ids: got shape \(3,\) of float64, expected \(3,\) integers"),
        ((vectors, ids - 2, ids), "person_ids: got -1, expected 0 or more; drop junk"),
    ],
)
def test_embeddings_that_cannot_be_meant_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Embeddings(*arguments)


def test_a_bad_row_is_found_beyond_the_first_million_numbers():
    wide = np.zeros((1100, 1024), dtype=np.float16)
    wide[1099, 5] = np.inf
    with pytest.raises(ValueError, match="first in row 1099"):
        Embeddings(wide, np.zeros(1100, int), np.zeros(1100, int))


def test_labels_are_checked_like_the_ids_of_embeddings():
    assert len(Labels([1, 2], [0, 0])) == 2
    for people, cameras, message in (
        ([1, 2], [0], r"camera_ids: got shape \(1,\)"),
        ([[1, 2]], [0, 0], r"person_ids: got shape \(1, 2\)"),
        ([-1], [0], "person_ids: got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            Labels(np.array(people), np.array(cameras))
