"""Stable ids and incremental assignment. Oracles: worked examples, and the formula of the probability."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from passerby.reviewing.evidence import PairModel
from passerby.reviewing.naming import assign_new, match_identities


def match(groups, identities, anchors=None):
    numbers = itertools.count(1)
    return match_identities(groups, identities, anchors or {}, lambda: f"new{next(numbers)}")


def test_the_larger_part_keeps_the_id_of_a_split():
    assert match([0, 1, 1], ["a", "a", "a"]) == {0: "new1", 1: "a"}


def test_the_larger_identity_gives_a_merge_its_id():
    assert match([0, 0, 0], ["a", "b", "b"]) == {0: "b"}


def test_an_anchor_brings_an_identity_back():
    assert match([0, 0, 1], ["b", "b", "b"], {"a": 2, "b": 0}) == {0: "b", 1: "a"}


@given(st.data())
def test_each_group_has_one_identity_and_each_identity_one_group(data):
    groups = data.draw(st.lists(st.integers(0, 4), max_size=12))
    names = st.sampled_from(["a", "b", "c", None])
    identities = data.draw(st.lists(names, min_size=len(groups), max_size=len(groups)))
    anchors = {name: data.draw(st.integers(0, len(groups) - 1)) for name in "abc" if groups}
    matched = match(groups, identities, anchors)
    assert set(matched) == set(groups)
    assert len(set(matched.values())) == len(matched)
    unchanged = {g for g in groups if {i for i, h in zip(identities, groups, strict=True) if h == g} == {"a"}}
    if len(unchanged) == 1 and identities.count("a") == sum(g in unchanged for g in groups):
        assert matched[unchanged.pop()] == "a"


def test_the_probability_is_that_of_the_formula():
    vectors = np.array([[1, 0], [0, 1], [0.8, 0.6]], np.float32)
    model = PairModel(6.0, -3.0, np.zeros((1, 1)))
    groups, chances = assign_new(vectors, np.zeros(3, np.int64), np.array([0, 1, -1]), np.array([2]), model)
    s = np.array([6 * 0.8 - 3, 6 * 0.6 - 3])
    assert groups.tolist() == [0, 1, 0]
    assert np.isclose(chances[0], np.exp(s[0]) / (1 + np.exp(s).sum()))


def test_new_sightings_of_a_new_person_form_one_group():
    vectors = np.eye(3, 4, dtype=np.float32)[[0, 1, 1]]
    model = PairModel(10.0, -5.0, np.zeros((1, 1)))
    groups, _ = assign_new(vectors, np.zeros(3, np.int64), np.full(3, -1), np.arange(3), model)
    assert groups.tolist() == [0, 1, 1]
