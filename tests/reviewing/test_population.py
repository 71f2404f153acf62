"""Number of people. Oracles: the true number in drawn vectors, and the expectation of the estimator over all draws."""

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.reviewing.identities import SightingGraph, group_sightings
from passerby.reviewing.links import DIFFERENT, SAME, UNKNOWN, count_votes
from passerby.reviewing.population import draw_units, estimate_population, make_frame, settle_units
from reviewing.people_vectors import draw_people, make_model


def is_first(persons):
    first = np.zeros(len(persons))
    first[np.unique(persons, return_index=True)[1]] = 1
    return first


def draw_scene(seed, people=30, noise=0.75):
    vectors, persons, cameras = draw_people(people, 4, noise=noise, seed=seed)
    order = np.random.default_rng(seed).permutation(len(persons))
    return SightingGraph.build(vectors[order], cameras[order]), persons[order]


def survey(graph, persons, *, units, seed, wrong=0.0):
    generator = np.random.default_rng(seed)
    pairs, answers = [], []
    grouping = group_sightings(graph, count_votes(pairs, answers), make_model())
    frame = make_frame(graph, grouping)
    drawn = draw_units(frame, units, generator)
    for _ in range(80):
        state = settle_units(graph, grouping, drawn)
        questions = {tuple(pair) for pair in state.pairs.tolist() if pair[0] >= 0}
        if not questions:
            break
        for first, second in sorted(questions):
            assert first < second
            same = (persons[first] == persons[second]) ^ (generator.random() < wrong)
            pairs.append((first, second))
            answers.append(SAME if same else DIFFERENT)
        grouping = group_sightings(graph, count_votes(pairs, answers), make_model())
    totals = np.full(units, frame.expected.sum())
    return drawn, state, estimate_population(totals, frame.expected[drawn], frame.chances[drawn], state.values)


def test_the_estimate_is_unbiased_over_all_draws():
    graph, persons = draw_scene(0)
    frame = make_frame(graph, group_sightings(graph, count_votes([], []), make_model()))
    first = is_first(persons)
    drawn = np.flatnonzero(frame.chances)
    z = frame.expected.sum() + (first - frame.expected)[drawn] / frame.chances[drawn]
    assert np.isclose(frame.chances.sum(), 1)
    assert np.isclose(frame.chances[drawn] @ z, 30)
    assert (frame.expected[frame.chances == 0] == first[frame.chances == 0]).all()


def test_answers_settle_the_drawn_sightings():
    graph, persons = draw_scene(1, noise=0.5)
    drawn, state, _ = survey(graph, persons, units=40, seed=1)
    assert (state.values == is_first(persons)[drawn]).mean() > 0.95


def test_the_interval_contains_the_number_in_most_runs():
    inside = []
    for seed in range(20):
        graph, persons = draw_scene(seed)
        estimate = survey(graph, persons, units=30, seed=seed)[2]
        inside.append(estimate.low <= 30 <= estimate.high)
    assert sum(inside) >= 14  # 18 expected; fewer than 14 have a probability below 1 %


def test_answered_sightings_are_not_drawn():
    graph, _ = draw_scene(2, noise=0.2)
    votes = count_votes([(0, i) for i in range(1, 10)], [SAME] * 9)
    frame = make_frame(graph, group_sightings(graph, votes, make_model()))
    assert (frame.chances[:10] == 0).all()
    assert (frame.expected[1:10] == 0).all()
    assert frame.expected[0] == 1


def test_a_worked_estimate():
    estimate = estimate_population([3.0] * 4, [0.5] * 4, [0.25] * 4, [1, 0, 1, 1])
    assert estimate.people == 3 + 0.5 * 4 * (3 - 1) / 4  # mean of 5, 1, 5, 5
    assert np.isclose(estimate.high - estimate.people, 2.3534 * 2 / 2, rtol=1e-3)  # t(3), deviation 2
    assert estimate.low == max(estimate.people - 2.3534, 1.0) or np.isclose(estimate.low, 4 - 2.3534, rtol=1e-3)


def test_bad_input_is_one_clear_error():
    with pytest.raises(DataError, match="population: 1 sighting of a survey with all answers, expected at least 2"):
        estimate_population([1.0], [0.5], [0.5], [1])
    with pytest.raises(DataError, match=r"population: level 1\.0, expected a probability between 0 and 1"):
        estimate_population([1.0, 1.0], [0.5, 0.5], [0.5, 0.5], [1, 1], level=1.0)


def test_one_sighting_is_one_person():
    graph = SightingGraph.build(np.eye(1, 4, dtype=np.float32), np.zeros(1, np.int64))
    frame = make_frame(graph, group_sightings(graph, count_votes([], []), make_model(1)))
    assert frame.expected.tolist() == [1.0]
    assert draw_units(frame, 5, np.random.default_rng(0)).tolist() == []


def test_an_uncertain_answer_that_cannot_be_told_is_not_asked_forever():
    graph, persons = draw_scene(3, noise=0.2)
    unit = int(np.flatnonzero(persons == persons[0])[1])
    pairs, answers = [(0, unit)], [DIFFERENT]
    grouping = group_sightings(graph, count_votes(pairs, answers), make_model())
    assert settle_units(graph, grouping, np.array([unit])).pairs.tolist() == [[0, unit]]
    grouping = group_sightings(graph, count_votes([*pairs, (0, unit)], [*answers, UNKNOWN]), make_model())
    assert settle_units(graph, grouping, np.array([unit])).pairs.tolist() != [[0, unit]]
