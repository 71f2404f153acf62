"""Ranks of matches. Oracle: a stable sort."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from passerby.ranking.matches import IdentityIndex, rank_matches


@given(
    items=st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.booleans()), min_size=1, max_size=40).filter(
        lambda items: any(match and not out for _, match, out in items)
    )
)
def test_ranks_equal_those_of_a_stable_sort(items):
    """Oracle: argsort(kind="stable") over the items that are not excluded; few distances, so many ties."""
    distances = np.array([np.inf if out else near for near, _, out in items], dtype=np.float32)
    matches = np.array([match and not out for _, match, out in items])
    expected = np.flatnonzero(matches[np.argsort(distances, kind="stable")]) + 1
    places = np.flatnonzero(matches)
    block = np.stack([np.zeros_like(distances), distances])
    rows = np.ones_like(places)
    np.testing.assert_array_equal(np.sort(rank_matches(block, rows, places)), expected)
    on_device = rank_matches(torch.from_numpy(block), rows, places)  # the code path of a GPU, on the CPU
    np.testing.assert_array_equal(np.sort(on_device.numpy()), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_earlier_item_at_the_same_distance_ranks_ahead(dtype):
    block = np.array([[2, 1, 1, 1, 3], [1, 1, 1, 1, 1]], dtype=dtype)
    assert rank_matches(block, np.array([0, 0, 0, 1, 1]), np.array([2, 0, 3, 0, 4])).tolist() == [2, 4, 3, 1, 5]


def test_own_camera_is_ignored_and_distractors_match_no_query():
    index = IdentityIndex.from_labels(np.array([0, 7, 7, 3, 7, 0]), np.array([0, 0, 1, 0, 0, 1]))
    ignored, matches = index.split(7, 0)
    assert ignored.tolist() == [1, 4]
    assert matches.tolist() == [2]
    for person in (0, 99):
        assert [len(group) for group in index.split(person, 0)] == [0, 0]
    ignored, matches = index.split(7, 0, drop_same_camera=False)
    assert (len(ignored), matches.tolist()) == (0, [1, 2, 4])
