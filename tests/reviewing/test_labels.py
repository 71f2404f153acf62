"""Labels as evidence of who is who. Oracles: brute force over components; the labels of drawn persons."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.reviewing.identities import SightingGraph, group_sightings
from passerby.reviewing.links import DIFFERENT, SAME, count_votes, resolve_links
from passerby.reviewing.membership import rate_members
from passerby.reviewing.population import draw_units, make_frame, settle_units
from passerby.reviewing.questions import choose_questions
from reviewing.people_vectors import draw_people, make_model


def group(graph, pairs=(), answers=()):
    return group_sightings(graph, count_votes(list(pairs), list(answers)), make_model())


def partition(grouping):
    return {frozenset(np.flatnonzero(grouping.groups == number).tolist()) for number in set(grouping.groups.tolist())}


@settings(max_examples=300)
@given(st.data())
def test_labels_join_what_no_cannot_link_separates_and_contradict_no_answer(data):
    count = data.draw(st.integers(2, 8))
    pair = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)).filter(lambda p: p[0] < p[1])
    pairs = np.array(data.draw(st.lists(pair, max_size=10, unique=True)), dtype=np.int64).reshape(-1, 2)
    signs = np.array([data.draw(st.sampled_from([-1, 1])) for _ in pairs], dtype=np.int64)
    labels = np.array([data.draw(st.integers(-1, 2)) for _ in range(count)])
    plain = resolve_links(count, pairs, signs, np.ones(len(pairs)))
    links = resolve_links(count, pairs, signs, np.ones(len(pairs)), labels=labels)
    assert [(c.link, c.against) for c in links.conflicts] == [(c.link, c.against) for c in plain.conflicts]
    assert np.array_equal(links.cannot, plain.cannot)
    sets = links.components
    assert all(sets[a] == sets[b] for a, b in plain.must)
    walls = {frozenset(sets[link].tolist()) for link in links.cannot}
    assert all(len(wall) == 2 for wall in walls)
    for a in range(count):
        for b in range(count):
            if labels[a] == labels[b] >= 0:
                assert sets[a] == sets[b] or frozenset((int(sets[a]), int(sets[b]))) in walls
            if sets[a] == sets[b]:
                assert links.names[a] == links.names[b]
    for label in {*labels[labels >= 0].tolist()}:  # one part has the name, and it is a largest one
        parts = np.unique(sets[labels == label], return_counts=True)
        assert parts[1].max() in [n for part, n in zip(*parts, strict=True) if links.names[sets == part][0] >= 0]


def test_sightings_of_one_label_are_one_identity_and_of_two_labels_are_two():
    vectors, persons, cameras = draw_people(6, 4, noise=2.5)  # too noisy to be grouped by their distances
    assert len(partition(group(SightingGraph.build(vectors, cameras)))) > 6
    assert partition(group(SightingGraph.build(vectors, cameras, labels=persons))) == {
        frozenset(np.flatnonzero(persons == number).tolist()) for number in range(6)
    }
    twins = np.repeat(np.eye(1, 8, dtype=np.float32), 4, axis=0)  # equal vectors, labels 0 and 1, the last without
    grouping = group(SightingGraph.build(twins, np.array([0, 1, 0, 1]), labels=np.array([0, 0, 1, -1])))
    assert grouping.groups[0] == grouping.groups[1] != grouping.groups[2]


def test_an_answer_is_stronger_than_a_label():
    vectors, persons, cameras = draw_people(2, 3, noise=0.3)
    graph = SightingGraph.build(vectors, cameras, labels=persons)
    assert partition(group(graph, [(0, 3)], [SAME])) == {frozenset(range(6))}
    split = group(graph, [(0, 1), (0, 2)], [DIFFERENT, DIFFERENT])  # the first, which the others were linked to
    assert partition(split) == {frozenset({0}), frozenset({1, 2}), frozenset({3, 4, 5})}
    assert split.links.names[0] == -1  # a label that an answer denies does not keep it from others
    moved = group(graph, [(0, 1), (0, 2), (0, 3)], [DIFFERENT, DIFFERENT, SAME])
    assert partition(moved) == {frozenset({1, 2}), frozenset({0, 3, 4, 5})}


def test_nothing_is_asked_that_labels_imply():
    vectors, persons, cameras = draw_people(6, 4, noise=1.0)
    graph = SightingGraph.build(vectors, cameras, labels=persons)
    assert choose_questions(graph, group(graph)) == []
    assert not np.any(settle_units(graph, group(graph), np.arange(24)).pairs >= 0)
    frame = make_frame(graph, group(graph))
    assert frame.expected.round(6).sum() == 6
    assert len(draw_units(frame, 5, np.random.default_rng(0))) == 5
    some = np.where(persons < 3, persons, -1)
    graph = SightingGraph.build(vectors, cameras, labels=some)
    questions = choose_questions(graph, group(graph), count=50)
    assert questions
    assert all(some[q.first] < 0 or some[q.second] < 0 for q in questions)


def test_groups_that_answers_or_labels_separate_do_not_lower_a_probability():
    twins = np.eye(2, dtype=np.float32)[[0, 0, 1]]
    graph = SightingGraph.build(twins, np.zeros(3, np.int64))
    assert rate_members(graph, group(graph, [(0, 1)], [DIFFERENT])).min() > 0.9
    named = SightingGraph.build(twins, np.zeros(3, np.int64), labels=np.array([0, 1, -1]))
    assert rate_members(named, group(named)).min() > 0.9
