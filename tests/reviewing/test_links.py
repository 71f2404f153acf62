"""Links that follow from answers. Oracle: brute force over components."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.reviewing.links import DIFFERENT, SAME, UNKNOWN, count_votes, resolve_links


def components(count, pairs):
    """Set of each item, by repeated relabeling."""
    labels = list(range(count))
    for _ in range(count):
        for a, b in pairs:
            low, high = sorted((labels[a], labels[b]))
            labels = [low if label == high else label for label in labels]
    return labels


def test_answers_of_a_pair_are_counted_in_either_order():
    votes = count_votes([[3, 1], [1, 3], [1, 3], [0, 1]], [SAME, DIFFERENT, SAME, UNKNOWN])
    assert votes.pairs.tolist() == [[0, 1], [1, 3]]
    assert (votes.same.tolist(), votes.different.tolist(), votes.unknown.tolist()) == ([0, 2], [0, 1], [1, 0])
    assert votes.net.tolist() == [0, 1]


def test_no_answers():
    votes = count_votes([], [])
    assert votes.pairs.shape == (0, 2)
    links = resolve_links(3, votes.pairs, votes.net, [])
    assert links.components.tolist() == [0, 1, 2]
    assert links.conflicts == ()


def test_the_weakest_of_three_contradicting_links_is_set_aside_and_the_others_are_named():
    pairs = np.array([[0, 1], [1, 2], [0, 2]])
    for weakest in range(3):
        weights = np.full(3, 2.0)
        weights[weakest] = 1.0
        (conflict,) = resolve_links(3, pairs, [1, 1, -1], weights).conflicts
        assert conflict.link == weakest
        assert sorted(conflict.against) == sorted({0, 1, 2} - {weakest})


def test_a_long_contradiction_names_every_link_of_the_path():
    pairs = np.array([[0, 1], [1, 2], [3, 4], [4, 5], [0, 5], [2, 3]])
    links = resolve_links(6, pairs, [1, 1, 1, 1, -1, 1], [9, 8, 7, 6, 5, 1])
    assert [(c.link, sorted(c.against)) for c in links.conflicts] == [(5, [0, 1, 2, 3, 4])]


@settings(max_examples=200)
@given(st.data())
def test_accepted_links_are_consistent_and_rejected_ones_contradict_them(data):
    count = data.draw(st.integers(2, 8))
    pair = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda p: p[0] < p[1])
    pairs = np.array(data.draw(st.lists(pair, max_size=14, unique=True)), dtype=np.int64).reshape(-1, 2)
    signs = np.array([data.draw(st.sampled_from([-1, 0, 1])) for _ in pairs], dtype=np.int64)
    weights = np.array([data.draw(st.integers(1, 3)) for _ in pairs], dtype=np.float64)
    links = resolve_links(count, pairs, signs, weights)
    sets = components(count, links.must.tolist())
    assert all(sets[a] != sets[b] for a, b in links.cannot)
    assert all(
        (links.components[a] == links.components[b]) == (sets[a] == sets[b]) for a in range(count) for b in range(count)
    )
    assert len(links.must) + len(links.cannot) + len(links.conflicts) == np.count_nonzero(signs)
    for conflict in links.conflicts:  # the link and those against it cannot hold together
        chosen = [conflict.link, *conflict.against]
        sets = components(count, [pairs[link] for link in chosen if signs[link] > 0])
        assert any(sets[a] == sets[b] for a, b in pairs[[link for link in chosen if signs[link] < 0]])
        assert all(weights[link] >= weights[conflict.link] for link in conflict.against)


@pytest.mark.parametrize("signs", [[1, 1], [-1, -1], [1, -1]])
def test_links_of_other_pairs_do_not_contradict(signs):
    assert resolve_links(4, np.array([[0, 1], [2, 3]]), signs, [1, 1]).conflicts == ()
