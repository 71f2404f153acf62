"""Given distances. Oracles: the given matrix itself, and distances from vectors."""

import numpy as np
import pytest
import torch

from passerby.evaluation.score import score
from passerby.ranking.blocks import check_distances, iter_distances
from passerby.ranking.distance import distance_blocks
from passerby.ranking.rank import rank
from passerby.types import Embeddings, Labels


def labels(count):
    return Labels(np.arange(1, count + 1), np.zeros(count, dtype=int))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_a_matrix_is_read_in_contiguous_blocks_and_not_changed(dtype, order):
    given = np.array(np.random.default_rng(0).random((700, 900)), dtype=dtype, order=order)
    before = given.copy()
    blocks = []
    for first, block in check_distances(given, shape=given.shape):
        assert first == sum(map(len, blocks))
        assert block.flags.c_contiguous
        assert block.dtype == (np.float64 if dtype == np.float64 else np.float32)
        blocks.append(block.copy())
        block[:] = -1  # allowed: the caller may overwrite a block
    assert len(blocks) > 1
    np.testing.assert_array_equal(np.concatenate(blocks), before)
    np.testing.assert_array_equal(given, before)


def test_ranking_from_distances_equals_ranking_from_vectors():
    generator = np.random.default_rng(1)
    query, gallery = (
        Embeddings(generator.standard_normal((n, 4)).astype(np.float32), generator.integers(1, 5, n), np.arange(n) % 2)
        for n in (9, 40)
    )
    expected = rank(query, gallery)
    matrix = np.concatenate([block.copy() for _, block in distance_blocks(query.vectors, gallery.vectors)])
    for given in (matrix, distance_blocks(query.vectors, gallery.vectors, block=2)):
        result = rank(
            Labels(query.person_ids, query.camera_ids), Labels(gallery.person_ids, gallery.camera_ids), distances=given
        )
        np.testing.assert_array_equal(result.indices, expected.indices)
        np.testing.assert_array_equal(result.distances, expected.distances)
        np.testing.assert_array_equal(result.matches, expected.matches)


ones = np.ones((2, 3), dtype=np.float32)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ones.T, r"distances: got shape \(3, 2\) of float32, expected \(2, 3\) floating point"),
        (ones.astype(int), r"got shape \(2, 3\) of int"),
        (ones * np.array([1, np.nan, 1], np.float32), "distances: NaN, first at query 0, gallery item 1"),
        ([(1, ones)], r"a block of shape \(2, 3\) for query 1, expected query 0 of 2 next and 3 columns"),
        ([(0, ones[:, :2])], r"a block of shape \(2, 2\) for query 0"),
        ([(0, ones), (2, ones)], "a block of shape .* for query 2, expected query 2 of 2 next"),
        ("x", r"distances: got str, expected \(2, 3\) floating point, or blocks \(first query, rows\)"),
        (3, "distances: got int, expected"),
        ([(0, ones[:1])], "the blocks end after 1 of 2 queries"),
    ],
)
def test_invalid_distances_are_rejected(given, message):
    with pytest.raises(ValueError, match=message):
        list(check_distances(given, shape=(2, 3)))


def test_labels_need_distances():
    with pytest.raises(ValueError, match="Labels without distances; give Embeddings, or distances="):
        iter_distances(labels(2), labels(3))


@pytest.mark.parametrize(
    "convert", [np.ndarray.tolist, torch.from_numpy, tuple, lambda matrix: list(map(tuple, matrix))]
)
def test_a_matrix_may_be_any_array_like(convert):
    """Oracle: the array itself, also in `score`."""
    matrix = np.random.default_rng(0).random((3, 5))
    query, gallery = Labels([1, 2, 3], [0, 0, 0]), Labels([1, 2, 3, 1, 0], [1] * 5)
    (first, block), *rest = iter_distances(query, gallery, convert(matrix))
    np.testing.assert_array_equal(block, matrix)
    assert (first, rest) == (0, [])
    assert score(query, gallery, distances=convert(matrix)).mAP == score(query, gallery, distances=matrix).mAP
