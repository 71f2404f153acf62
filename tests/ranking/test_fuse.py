"""Rank fusion. Oracles: values worked by hand, and loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.evaluation.score import score
from passerby.ranking.fuse import fuse, fuse_blocks
from passerby.types import Labels

A = np.array([[0.1, 0.2, 0.3, 0.4]], dtype=np.float32)
B = np.array([[9.0, 1.0, 5.0, 1.0]], dtype=np.float32)


def order(fused):
    return np.argsort(fused[0], kind="stable").tolist()


def test_reciprocal_ranks_are_added():
    """By hand: ranks 1 2 3 4 and 4 1 3 2 (a tie keeps its order), k = 60."""
    expected = [-(1 / (60 + a) + 1 / (60 + b)) / 2 for a, b in ((1, 4), (2, 1), (3, 3), (4, 2))]
    np.testing.assert_allclose(fuse([A, B])[0], expected, rtol=1e-6)
    assert order(fuse([A, B])) == [1, 0, 3, 2]


def test_borda_is_the_mean_rank_and_weights_count():
    np.testing.assert_allclose(fuse([A, B], method="borda")[0], [2.5, 1.5, 3, 3])
    np.testing.assert_allclose(fuse([A, B], method="borda", weights=[3, 1])[0], [1.75, 1.75, 3, 3.5])
    assert order(fuse([A, B], method="borda", weights=[1, 0])) == [0, 1, 2, 3]


def test_an_average_does_not_depend_on_the_scale_of_a_model():
    fused = fuse([A, B], method="average")
    np.testing.assert_allclose(fuse([1000 * A + 7, B], method="average"), fused, atol=1e-4)
    expected = sum((item - item.mean()) / item.std() for item in (A.astype(float), B.astype(float))) / 2
    np.testing.assert_allclose(fused, expected, rtol=1e-5)
    np.testing.assert_array_equal(fuse([np.ones((2, 3), np.float32)], method="average"), np.zeros((2, 3)))


def test_calibrated_probabilities_are_averaged():
    fused = fuse([A, B], method="average", calibrations=[lambda d: 1 - d, lambda d: np.exp(-d)])
    np.testing.assert_allclose(fused, -((1 - A) + np.exp(-B)) / 2, rtol=1e-6)


@given(seed=st.integers(0, 2**16), method=st.sampled_from(["reciprocal", "average", "borda"]))
def test_one_list_keeps_its_order_and_blocks_give_the_same_as_matrices(seed, method):
    generator = np.random.default_rng(seed)
    queries, items = generator.integers(1, 8, 2)
    lists = [generator.integers(0, 5, (queries, items)).astype(np.float32) for _ in range(3)]
    alone = fuse(lists[:1], method=method)
    np.testing.assert_array_equal(np.argsort(alone, kind="stable"), np.argsort(lists[0], kind="stable"))
    blocks = [[(first, item[first : first + 2].copy()) for first in range(0, queries, 2)] for item in lists]
    result = np.concatenate([block for _, block in fuse_blocks(blocks, method=method)])
    np.testing.assert_allclose(result, fuse(lists, method=method), rtol=1e-6)


@pytest.mark.parametrize("method", ["reciprocal", "average", "borda"])
def test_an_item_excluded_from_one_list_is_excluded(method):
    out = A.copy()
    out[0, 0] = np.inf
    fused = fuse([out, B], method=method)
    assert np.isposinf(fused[0]).tolist() == [True, False, False, False]
    result = score(Labels([1], [0]), Labels([2, 1, 3, 4], [1, 1, 1, 1]), distances=fused)
    assert result.rank1 == 1


@pytest.mark.parametrize(
    ("lists", "options", "message"),
    [
        ([A, B], {"method": "sum"}, "method: got 'sum', expected one of reciprocal, average, borda"),
        ([], {}, "lists: got none"),
        ([A, B], {"weights": [1]}, r"weights: got \[1\], expected 2 numbers"),
        ([A, B], {"weights": [0, 0]}, "expected 2 numbers, at least 0 and not all 0"),
        ([A, B], {"weights": [1, -1]}, "at least 0"),
        ([A, B], {"calibrations": [np.exp, np.exp]}, "calibrations: got 2 for 2 lists and method='reciprocal'"),
        ([A, B], {"calibrations": [np.exp], "method": "average"}, "calibrations: got 1 for 2 lists"),
        ([A, B], {"k": 0}, "k: got 0, expected at least 1"),
        ([A, B[:, :3]], {}, r"distances: got shape \(1, 3\) of float32, expected \(1, 4\)"),
        ([A, A * np.nan], {}, "distances: NaN, first at query 0"),
        ([A, np.full_like(A, -np.inf)], {}, "lists: NaN or -infinity in list 1, query 0"),
        ([A[0], B[0]], {}, r"distances: got shape \(4,\), expected \(Q, G\)"),
        ([A, B.astype(int)], {}, "distances: got shape .* of int64, expected .* floating point"),
        ([A], {"calibrations": [lambda d: 0.5], "method": "average"}, r"calibrations: gave shape \(\) for 4 distances"),
        ([A], {"calibrations": [lambda d: d * 9], "method": "average"}, "calibrations: gave .* or not 0 to 1"),
    ],
)
def test_invalid_lists_and_options_are_rejected(lists, options, message):
    with pytest.raises(ValueError, match=message):
        fuse(lists, **options)


def test_blocks_of_different_heights_are_aligned():
    generator = np.random.default_rng(0)
    lists = [generator.random((7, 5)).astype(np.float32) for _ in range(2)]
    blocks = [
        [(first, item[first : first + height]) for first in range(0, 7, height)]
        for item, height in zip(lists, (2, 3), strict=True)
    ]
    result = np.concatenate([block for _, block in fuse_blocks(blocks)])
    np.testing.assert_array_equal(result, fuse(lists))


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([[(0, A), (1, A)], [(0, B)]], "list 1 ends before query 1, other lists continue"),
        ([[(1, A)], [(0, B)]], r"expected query 0, got queries \[1, 0\]"),
        ([[(0, A)], [(0, B[:, :3])]], r"with \[4, 3\] gallery items"),
    ],
)
def test_lists_of_different_queries_or_galleries_are_rejected(blocks, message):
    with pytest.raises(ValueError, match=message):
        list(fuse_blocks(blocks))


@pytest.mark.parametrize("method", ["reciprocal", "average", "borda"])
def test_a_query_with_all_items_excluded_stays_at_infinity(method):
    assert np.isposinf(fuse([np.full((1, 3), np.inf, dtype=np.float32)], method=method)).all()
