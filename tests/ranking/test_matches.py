"""Ranks of matches without a sort, against a stable sort."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from passerby.ranking.matches import Places, match_ranks


@given(
    items=st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.booleans()), min_size=1, max_size=40).filter(
        lambda items: any(match and not out for _, match, out in items)
    )
)
def test_ranks_are_those_of_a_stable_sort(items):
    """Oracle: argsort(kind="stable") over the items that are not taken out; few distances, so ties everywhere."""
    distances = np.array([np.inf if out else near for near, _, out in items], dtype=np.float32)
    matches = np.array([match and not out for _, match, out in items])
    expected = np.flatnonzero(matches[np.argsort(distances, kind="stable")]) + 1
    places = np.flatnonzero(matches)
    np.testing.assert_array_equal(np.sort(match_ranks(distances, places)), expected)
    on_device = match_ranks(torch.from_numpy(distances), places)  # what a GPU computes, here on the CPU
    np.testing.assert_array_equal(np.sort(on_device.numpy()), expected)


def test_an_earlier_item_at_the_same_distance_stands_before():
    distances = np.array([2, 1, 1, 1, 3], dtype=np.float32)
    assert match_ranks(distances, np.array([2])).tolist() == [2]
    assert match_ranks(distances, np.array([0, 3])).tolist() == [4, 3]


def test_a_query_with_very_many_matches_has_the_same_ranks():
    """Oracle: a stable sort; 600 matches take the other way through the function than 400 do."""
    distances = np.random.default_rng(0).integers(0, 50, 2000).astype(np.float32)
    order = np.argsort(distances, kind="stable")
    for count in (400, 600):
        ranks = match_ranks(distances, np.arange(0, 3 * count, 3))
        assert (order[ranks - 1] == np.arange(0, 3 * count, 3)).all()


def test_own_camera_is_ignored_and_distractors_match_nobody():
    places = Places.of(np.array([0, 7, 7, 3, 7, 0]), np.array([0, 0, 1, 0, 0, 1]))
    ignored, matches = places.split(7, 0)
    assert ignored.tolist() == [1, 4]
    assert matches.tolist() == [2]
    for person in (0, 99):
        assert [len(group) for group in places.split(person, 0)] == [0, 0]
    ignored, matches = places.split(7, 0, drop_same_camera=False)
    assert (len(ignored), matches.tolist()) == (0, [1, 2, 4])
