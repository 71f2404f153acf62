"""Log odds by pair of cameras before any answer. Oracle: counts of groups by a naive loop."""

from itertools import combinations

import numpy as np
import pytest

from passerby.reviewing.evidence import PairModel
from passerby.reviewing.identities import SHARED_GROUPS, SightingGraph, find_parts, learn_transitions


def make_graph(visits):
    """Persons whose sightings are equal vectors; `visits` are the cameras of each."""
    persons = np.repeat(np.arange(len(visits)), [len(cameras) for cameras in visits])
    vectors = np.eye(len(visits), dtype=np.float32)[persons]
    return SightingGraph.build(vectors, np.concatenate(visits).astype(np.int64), neighbors=4)


def start(cameras):
    return PairModel(20.0, -10.0, -2 * np.eye(cameras))


def test_cameras_get_log_odds_by_the_groups_that_they_share():
    visits = [[0, 1]] * 9 + [[2, 3]] * 6 + [[0, 2, 2]] + [[1], [3]]
    graph = make_graph(visits)
    assert find_parts(graph, start(4)).max() + 1 == len(visits)
    shared, present = np.zeros((4, 4)), np.zeros(4)
    for cameras in map(set, visits):
        present[list(cameras)] += 1
        for a, b in combinations(sorted(cameras), 2):
            shared[a, b] += 1
            shared[b, a] += 1
    chances = np.outer(present, present) * (1 - np.eye(4))
    added = learn_transitions(graph, start(4)).transitions - start(4).transitions
    for a, b in combinations(range(4), 2):
        expected = shared.sum() * chances[a, b] / chances.sum()
        assert (
            added[a, b]
            == added[b, a]
            == pytest.approx(np.log((shared[a, b] + SHARED_GROUPS) / (expected + SHARED_GROUPS)))
        )
    assert np.diag(added).tolist() == [0, 0, 0, 0]
    assert added[0, 1] > 0 > added[0, 2] > added[0, 3]


@pytest.mark.parametrize("visits", [[[0, 1]] * 5 + [[0], [1]], [[0], [1], [2]], [[0, 0]] * 3, []])
def test_without_evidence_nothing_is_added(visits):
    """Two cameras, no shared group, one camera, no sighting."""
    cameras = 1 + max((camera for group in visits for camera in group), default=0)
    graph = make_graph(visits) if visits else SightingGraph.build(np.empty((0, 4), np.float32), np.empty(0, np.int64))
    assert np.array_equal(learn_transitions(graph, start(cameras)).transitions, start(cameras).transitions)
