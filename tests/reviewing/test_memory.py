"""Memory of a review of 20,000 sightings. Oracle: the bytes that Python and NumPy allocate, by tracemalloc."""

import tracemalloc

import numpy as np
import pytest

from passerby.reviewing.agglomeration import Merges
from passerby.reviewing.identities import Grouping, SightingGraph, find_parts, group_sightings
from passerby.reviewing.links import count_votes
from passerby.reviewing.membership import rate_members
from passerby.reviewing.population import draw_units, make_frame, settle_units
from passerby.reviewing.questions import choose_questions
from passerby.reviewing.row_blocks import CELLS, iter_blocks
from reviewing.people_vectors import make_model

COUNT = 20_000
LIMIT = 300 * 2**20
"""A matrix of 20,000 x 20,000 numbers has 3,052 MiB in double precision, and 381 MiB with one byte each."""


@pytest.fixture(scope="module")
def alone():
    """20,000 sightings without neighbors, each of them a group: as many groups as there can be."""
    vectors = np.random.default_rng(0).standard_normal((COUNT, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    graph = SightingGraph(
        vectors,
        np.arange(COUNT) % 2,
        np.zeros(COUNT + 1, np.int64),
        np.empty(0, np.int64),
        np.empty((0, 2), np.int64),
    )
    grouping = group_sightings(graph, count_votes([], []), make_model())
    assert len(grouping.sizes) == COUNT
    return graph, grouping


def measure(function):
    """Return the largest sum of allocations while a function runs, and its result."""
    tracemalloc.start()
    try:
        result = function()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


def test_the_estimate_of_the_number_of_people_is_bounded(alone):
    peak, frame = measure(lambda: make_frame(*alone))
    assert peak < LIMIT
    units = draw_units(frame, 500, np.random.default_rng(0))
    peak, state = measure(lambda: settle_units(*alone, units))
    assert peak < LIMIT
    assert len(state.values) == 500


@pytest.mark.parametrize("function", [rate_members, choose_questions])
def test_questions_and_members_are_bounded(alone, function):
    assert measure(lambda: function(*alone))[0] < LIMIT


def test_groups_are_bounded(alone):
    graph, _ = alone
    peak, grouping = measure(lambda: group_sightings(graph, count_votes([], []), make_model()))
    assert peak < LIMIT
    assert isinstance(grouping, Grouping)
    assert isinstance(grouping.merges, Merges)
    assert len(find_parts(graph, make_model())) == COUNT


def test_blocks_contain_every_row_once():
    rows = np.arange(7) * 3
    parts = list(iter_blocks(rows, CELLS // 3))
    assert [len(part) for part in parts] == [3, 3, 1]
    assert np.concatenate(parts).tolist() == rows.tolist()
    assert [len(part) for part in iter_blocks(rows, 10 * CELLS)] == [1] * 7
    assert list(iter_blocks(rows[:0], 5)) == []
