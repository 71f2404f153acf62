"""Counted pairs. Oracle: a loop over all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.evaluation.pair_histogram import count_pairs, merge_histograms
from passerby.ranking.distance import distance_blocks
from passerby.types import Embeddings, Labels


@settings(max_examples=200)
@given(q=st.integers(1, 5), g=st.integers(1, 12), bins=st.sampled_from([1, 4, 7]), seed=st.integers(0, 1000))
def test_counts_equal_a_loop_over_pairs(q, g, bins, seed):
    """Multiples of a quarter from 0 to 2 lie on the edges of 4 bins; only the last bin includes its upper edge."""
    generator = np.random.default_rng(seed)
    distances = (generator.integers(0, 9, (q, g)) / 4).astype(np.float32)
    distances[generator.random((q, g)) < 0.1] = np.inf
    sides = [Labels(generator.integers(first, 4, n), generator.integers(0, 2, n)) for n, first in ((q, 1), (g, 0))]
    expected = np.zeros((2, bins), dtype=int)
    for a in range(q):
        for b in range(g):
            if sides[0].camera_ids[a] != sides[1].camera_ids[b] and distances[a, b] < np.inf:
                same = sides[0].person_ids[a] == sides[1].person_ids[b]
                expected[int(same), min(int(distances[a, b] * (bins / 2)), bins - 1)] += 1
    result = count_pairs(*sides, distances=distances, limits=(0, 2), bins=bins)
    np.testing.assert_array_equal([result.different, result.same], expected)
    assert result.width == pytest.approx(2 / bins)
    assert len(result.edges) == len(result.centers) + 1 == bins + 1


def two_cameras(count=12, seed=0):
    generator = np.random.default_rng(seed)
    return [
        Embeddings(generator.standard_normal((count, 3)).astype(np.float32), np.arange(count) + 1, [camera] * count)
        for camera in (0, 1)
    ]


def test_default_limits_include_every_distance_of_the_metric():
    query, gallery = two_cameras()
    assert (count_pairs(query, gallery).low, count_pairs(query, gallery).high) == (0, 2)
    far = count_pairs(query, gallery, metric="euclidean")
    longest = [np.linalg.norm(side.vectors, axis=1).max() for side in (query, gallery)]
    assert far.high == pytest.approx(sum(longest), rel=1e-5)
    given_ones = np.full((12, 12), 3.5, dtype=np.float32)
    assert count_pairs(query, gallery, distances=given_ones).different.sum() == 132
    opposite = Embeddings(-query.vectors, gallery.person_ids, gallery.camera_ids)
    assert count_pairs(query, opposite, metric="euclidean").same.sum() == 12
    assert count_pairs(query, opposite).same[-1] == 12


def test_a_set_against_itself_counts_each_pair_twice():
    query, gallery = two_cameras()
    both = Embeddings(np.vstack([query.vectors, gallery.vectors]), [*range(1, 13)] * 2, [0] * 12 + [1] * 12)
    one, twice = count_pairs(query, gallery), count_pairs(both, both)
    assert (twice.same.sum(), twice.different.sum()) == (2 * one.same.sum(), 2 * one.different.sum())
    joined = merge_histograms([one, one])
    np.testing.assert_array_equal(joined.same, 2 * one.same)


def test_invalid_arguments_are_rejected():
    query, gallery = two_cameras()
    shape = 12, 12
    none = Labels(np.empty(0, int), np.empty(0, int))
    blocks = distance_blocks(query.vectors, gallery.vectors)
    for message, arguments, options in (
        ("query: got no image", (none, gallery), {"distances": np.empty((0, 12))}),
        ("gallery: got no image", (query, none), {"distances": np.empty((12, 0))}),
        ("bins: got 0", (query, gallery), {"bins": 0}),
        ("limits: got None with blocks", (query, gallery), {"distances": blocks}),
        ("limits: got 1 to 0", (query, gallery), {"limits": (1, 0)}),
        ("limits: got 0 to nan", (query, gallery), {"limits": (0, np.nan)}),
        (
            "limits: got 0 to 1, and 3.0 between query 0 and gallery item 0",
            (query, gallery),
            {"limits": (0, 1), "distances": np.full(shape, 3.0)},
        ),
        ("distances: none is finite", (query, gallery), {"distances": np.full(shape, np.inf)}),
    ):
        with pytest.raises(ValueError, match=message):
            count_pairs(*arguments, **options)
    with pytest.raises(ValueError, match="histograms: got 0"):
        merge_histograms([])
    with pytest.raises(ValueError, match="histograms: got 2"):
        merge_histograms([count_pairs(query, gallery, bins=bins) for bins in (4, 5)])
    with pytest.raises(ValueError, match="pairs: none shows one person in different cameras"):
        count_pairs(query, Embeddings(gallery.vectors, gallery.person_ids + 50, gallery.camera_ids)).require_both()
    with pytest.raises(ValueError, match="pairs: none shows two people in different cameras"):
        count_pairs(query.take(np.arange(1)), gallery.take(np.arange(1))).require_both()
