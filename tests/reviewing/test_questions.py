"""Choice of questions and groups under answers. Oracles: true persons of drawn vectors; the definition of the value."""

from dataclasses import replace

import numpy as np
import pytest

from passerby.gallery.cluster import b_cubed
from passerby.reviewing.evidence import PairModel
from passerby.reviewing.identities import SightingGraph, group_sightings
from passerby.reviewing.links import DIFFERENT, SAME, UNKNOWN, count_votes
from passerby.reviewing.questions import WORTH, choose_questions
from reviewing.people_vectors import draw_people, make_model


def review(vectors, persons, cameras, *, budget, wrong=0.0, seed=0, unknown=0.0):
    """Answer questions; return the last grouping, the pairs and the answers."""
    generator = np.random.default_rng(seed)
    graph = SightingGraph.build(vectors, cameras)
    pairs, answers = [], []
    while True:
        grouping = group_sightings(graph, count_votes(pairs, answers), make_model())
        questions = choose_questions(graph, grouping, count=10)
        if len(pairs) >= budget or not questions:
            return grouping, pairs, answers
        for question in questions:
            same = persons[question.first] == persons[question.second]
            answer = SAME if same ^ (generator.random() < wrong) else DIFFERENT
            pairs.append((question.first, question.second))
            answers.append(UNKNOWN if generator.random() < unknown else answer)


def score(grouping, persons):
    precision, recall = b_cubed(grouping.groups, [str(person) for person in persons])
    return 2 * precision * recall / (precision + recall)


def test_answers_raise_the_score():
    vectors, persons, cameras = draw_people(40, 6, noise=0.9)
    before, *_ = review(vectors, persons, cameras, budget=0)
    after, *_ = review(vectors, persons, cameras, budget=150)
    assert score(before, persons) < 0.9 < 0.96 < score(after, persons)


def test_five_percent_of_wrong_answers_and_some_unknown_ones_are_tolerated():
    vectors, persons, cameras = draw_people(40, 6, noise=0.9)
    grouping, *_ = review(vectors, persons, cameras, budget=250, wrong=0.05, unknown=0.05)
    assert score(grouping, persons) > 0.95


def test_splits_are_rated_by_the_model_that_doubts_them_more():
    """Oracle: the mean log odds of the pairs between both parts, under another model than the one that joined them."""
    vectors, _, cameras = draw_people(6, 5, noise=0.9)
    graph = SightingGraph.build(vectors, cameras)
    grouping = group_sightings(graph, count_votes([], []), make_model())
    doubtful = replace(grouping, model=PairModel(8.0, -6.0, np.zeros((2, 2))))
    splits = [question for question in choose_questions(graph, doubtful) if question.reason == "split"]
    assert splits
    for question in splits:
        first, second = (vectors[list(members)] for members in question.members)
        log_odds = 8.0 * (first @ second.T).mean() - 6.0
        assert question.probability == pytest.approx(1 / (1 + np.exp(-log_odds)), abs=1e-4)


def test_no_question_is_implied_by_answers():
    vectors, persons, cameras = draw_people(20, 5, noise=1.3)
    graph = SightingGraph.build(vectors, cameras)
    pairs, answers = [], []
    for _ in range(15):
        grouping = group_sightings(graph, count_votes(pairs, answers), make_model())
        components = grouping.links.components
        walls = {frozenset(components[pair].tolist()) for pair in grouping.links.cannot}
        for question in choose_questions(graph, grouping, count=5):
            ends = frozenset(components[[question.first, question.second]].tolist())
            if question.reason in ("merge", "split"):
                assert len(ends) == 2
                assert ends not in walls
            pairs.append((question.first, question.second))
            answers.append(SAME if persons[question.first] == persons[question.second] else DIFFERENT)


def test_questions_of_a_batch_are_about_different_groups():
    vectors, _, cameras = draw_people(30, 4, noise=1.3)
    graph = SightingGraph.build(vectors, cameras)
    grouping = group_sightings(graph, count_votes([], []), make_model())
    questions = choose_questions(graph, grouping, count=10)
    used = [{int(grouping.groups[question.first]), int(grouping.groups[question.second])} for question in questions]
    assert all(not a & b for i, a in enumerate(used) for b in used[:i])
    assert [question.value for question in questions] == sorted((q.value for q in questions), reverse=True)


def test_the_value_is_the_probability_of_a_change_times_its_size():
    vectors, _, cameras = draw_people(30, 4, noise=1.3)
    graph = SightingGraph.build(vectors, cameras)
    grouping = group_sightings(graph, count_votes([], []), make_model())
    for question in choose_questions(graph, grouping, count=10):
        a, b = map(len, question.members)
        wrong = question.probability if question.reason == "merge" else 1 - question.probability
        assert question.value == pytest.approx(wrong * 2 * a * b / (a + b), rel=1e-4)
        assert question.first in question.members[0]
        assert question.second in question.members[1]


def test_a_contradiction_is_asked_again_first():
    vectors, _, cameras = draw_people(10, 3, noise=0.1)
    graph = SightingGraph.build(vectors, cameras)
    pairs, answers = [(0, 3), (3, 6), (0, 6)], [SAME, SAME, DIFFERENT]
    grouping = group_sightings(graph, count_votes(pairs, answers), make_model())
    assert len(grouping.links.conflicts) == 1
    question = choose_questions(graph, grouping)[0]
    assert question.reason == "contradiction"
    assert (question.first, question.second) in pairs


def test_an_answer_against_the_distance_is_asked_again_and_two_votes_hold():
    vectors, _, cameras = draw_people(10, 3, noise=0.1)
    graph = SightingGraph.build(vectors, cameras)
    for repeats, asked in ((1, True), (4, False)):
        grouping = group_sightings(graph, count_votes([(0, 3)] * repeats, [SAME] * repeats), make_model())
        assert grouping.groups[0] == grouping.groups[3]  # never overridden
        reasons = {(q.first, q.second): q.reason for q in choose_questions(graph, grouping) if q.value > 0.1}
        assert ((0, 3) in reasons) == asked
        if asked:
            assert reasons[0, 3] == "confirm"


def test_cannot_tell_chooses_another_pair():
    vectors, _, cameras = draw_people(30, 4, noise=1.3)
    graph = SightingGraph.build(vectors, cameras)
    grouping = group_sightings(graph, count_votes([], []), make_model())
    best = choose_questions(graph, grouping)[0]
    pair = (best.first, best.second)
    again = group_sightings(graph, count_votes([pair], [UNKNOWN]), make_model())
    assert (again.groups == grouping.groups).all()
    asked = {frozenset((q.first, q.second)) for q in choose_questions(graph, again, count=30)}
    assert frozenset(pair) not in asked


def test_cannot_tell_is_asked_again_after_everything_that_is_worth_asking():
    vectors, _, cameras = draw_people(30, 4, noise=1.3)
    graph = SightingGraph.build(vectors, cameras)
    pairs, answers, sides = [], [], []
    for _ in range(8):
        grouping = group_sightings(graph, count_votes(pairs, answers), make_model())
        best, *others = choose_questions(graph, grouping, count=30)
        if others:
            assert not any(one & set(best.members[0]) and other & set(best.members[1]) for one, other in sides)
        sides += [tuple(map(set, best.members)), tuple(map(set, best.members[::-1]))]
        pairs.append((best.first, best.second))
        answers.append(UNKNOWN)
    questions = choose_questions(graph, group_sightings(graph, count_votes(pairs, answers), make_model()), count=200)
    again = [any(one & set(q.members[0]) and other & set(q.members[1]) for one, other in sides) for q in questions]
    for question, repeated in zip(questions, again, strict=True):
        if not repeated and question.value >= WORTH:
            assert not any(again[: questions.index(question)])


def test_a_contradiction_that_cannot_be_told_is_not_asked_next_and_not_lost():
    vectors, persons, cameras = draw_people(10, 3, noise=0.1)
    graph = SightingGraph.build(vectors, cameras)
    pairs, answers = [(0, 3), (3, 6), (0, 6)], [SAME, SAME, DIFFERENT]
    asked = []
    for _ in range(3):
        question = choose_questions(graph, group_sightings(graph, count_votes(pairs, answers), make_model()))[0]
        assert question.reason == "contradiction"
        asked.append((question.first, question.second))
        pairs.append(asked[-1])
        answers.append(UNKNOWN)
    assert sorted(asked) == [(0, 3), (0, 6), (3, 6)]  # each of its answers is asked about once
    rounds = []
    while "contradiction" not in rounds and len(rounds) < 100:
        question = choose_questions(graph, group_sightings(graph, count_votes(pairs, answers), make_model()))[0]
        rounds.append(question.reason)
        pairs.append((question.first, question.second))
        answers.append(SAME if persons[question.first] == persons[question.second] else DIFFERENT)
    assert rounds[0] != "contradiction"
    assert rounds[-1] == "contradiction"


def test_reviewers_who_disagree_about_a_pair_are_asked_again():
    vectors, _, cameras = draw_people(10, 3, noise=0.1)
    graph = SightingGraph.build(vectors, cameras)
    ask = lambda pairs, answers: choose_questions(  # noqa: E731
        graph, group_sightings(graph, count_votes(pairs, answers), make_model())
    )[0]
    question = ask([(0, 3), (3, 0)], [SAME, DIFFERENT])
    assert (question.reason, question.first, question.second, question.value) == ("contradiction", 0, 3, np.inf)
    decided = ask([(0, 3), (0, 3), (0, 3)], [SAME, DIFFERENT, SAME])
    assert decided.reason != "contradiction"  # two answers against one
    implied = ask([(0, 3), (0, 3), (0, 6), (3, 6)], [SAME, DIFFERENT, SAME, SAME])
    assert (implied.reason, implied.first, implied.second) != ("contradiction", 0, 3)  # two other answers decide it


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_sightings(count):
    graph = SightingGraph.build(np.eye(count, 4, dtype=np.float32), np.zeros(count, np.int64))
    grouping = group_sightings(graph, count_votes([], []), make_model(1))
    assert len(grouping.groups) == count
    assert len(choose_questions(graph, grouping)) <= 1
