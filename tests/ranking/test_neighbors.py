"""Nearest neighbors. Oracle: a full sort in float64."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from passerby.ranking import neighbors
from passerby.ranking.neighbors import find_neighbors, squared_distances


def sorted_all(points, k):
    """All pairs, stably sorted."""
    wide = points.astype(np.float64)
    squared = ((wide[:, None] - wide[None]) ** 2).sum(axis=2)
    return np.argsort(squared, axis=1, kind="stable")[:, :k], squared.max(axis=1)


@given(seed=st.integers(0, 2**16), count=st.integers(1, 40), k=st.integers(1, 40), grid=st.booleans())
def test_lists_equal_those_of_a_full_stable_sort(seed, count, k, grid):
    """On the grid many vectors are equal, so that float32 keys do not decide and lists are computed again."""
    generator = np.random.default_rng(seed)
    points = generator.integers(-1, 2, (count, 3)).astype(np.float32) if grid else generator.standard_normal((count, 5))
    k = min(k, count)
    result = find_neighbors(points, k=k)
    places, farthest = sorted_all(points, k)
    np.testing.assert_array_equal(result.indices, places)
    np.testing.assert_allclose(result.farthest, farthest, rtol=1e-12)


def test_tiles_cover_all_pairs(monkeypatch):
    """Tiles of 7 cover 60 vectors with both halves of the symmetric product."""
    monkeypatch.setattr(neighbors, "_TILE", 7)
    points = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
    np.testing.assert_array_equal(find_neighbors(points, k=9).indices, sorted_all(points, 9)[0])


def test_vectors_far_from_the_origin_are_distinguished():
    """In float32 the differences are lost beside the squared lengths."""
    points = (1000 + np.random.default_rng(1).standard_normal((200, 6))).astype(np.float32)
    np.testing.assert_array_equal(find_neighbors(points, k=12).indices, sorted_all(points, 12)[0])


def test_pairs_of_equal_vectors_have_equal_distances():
    points = np.random.default_rng(2).standard_normal((4, 33)).astype(np.float32)
    points[3] = points[1]
    result = squared_distances(points, np.array([0, 0, 1]), np.array([1, 3, 3]))
    assert result[0] == result[1] > 0 == result[2]
