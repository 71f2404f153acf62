"""Detection and identification rate at a false alarm rate. Oracles: loops over sorted lists, values worked by hand."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.evaluation.score import score
from passerby.openset.detection import open_set, score_open_set
from passerby.openset.nearest_identities import find_nearest_identities
from passerby.types import Embeddings, Labels


def labels(people, cameras):
    return Labels(np.array(people), np.array(cameras))


def naive(distances, query, gallery, hidden, far):
    """(rate, threshold): the largest of all alarms and infinity with at most the allowed number of alarms below it."""
    own, alarms = [], []
    for q in range(len(query)):
        listed = sorted(
            (float(distances[q, g]), g, gallery.person_ids[g] == query.person_ids[q])
            for g in range(len(gallery))
            if gallery.person_ids[g] not in hidden
            and (gallery.person_ids[g], gallery.camera_ids[g]) != (query.person_ids[q], query.camera_ids[q])
        )
        if any(same for _, _, same in listed):
            own.append(listed[0][0] if listed[0][2] else np.inf)
        else:
            alarms.append(listed[0][0] if listed else np.inf)
    candidates = [t for t in {*alarms, np.inf} if sum(alarm < t for alarm in alarms) <= far * len(alarms) + 1e-9]
    threshold = max(candidates)
    return np.mean([distance < threshold for distance in own]), threshold


@st.composite
def cases(draw):
    """3 to 4 identities in query and gallery, each with a match, with ties and a few distractors."""
    people = list(range(1, draw(st.integers(3, 4)) + 1))
    looked_for = people + draw(st.lists(st.sampled_from(people), max_size=4))
    query = labels(looked_for, [0] * len(looked_for))
    more = draw(st.lists(st.tuples(st.sampled_from([0, *people, 9]), st.integers(0, 1)), max_size=6))
    gallery = labels(people + [person for person, _ in more], [1] * len(people) + [camera for _, camera in more])
    cells = len(query) * len(gallery)
    numbers = draw(st.lists(st.integers(0, 5), min_size=cells, max_size=cells))
    return np.array(numbers, dtype=np.float32).reshape(len(query), len(gallery)), query, gallery


@settings(max_examples=300)
@given(case=cases(), far=st.sampled_from([0.3, 0.5, 0.75, 1.0]), seed=st.integers(0, 3))
def test_one_draw_equals_a_loop(case, far, seed):
    distances, query, gallery = case
    people = sorted(set(query.person_ids.tolist()))
    hidden = np.random.default_rng(seed).choice(people, round(0.5 * len(people)), replace=False)
    (result,) = open_set(query, gallery, distances=distances, fars=[far], repeats=1, seed=seed).rates
    strangers = int(np.isin(query.person_ids, hidden).sum())
    if far * strangers < 1:
        assert np.isnan(result.rate)
        assert f"of {strangers} unknown queries is less than one" in result.reason
        return
    rate, threshold = naive(distances, query, gallery, hidden, far)
    assert result.rate == pytest.approx(rate)
    assert result.threshold == threshold
    assert result.interval == (pytest.approx(rate), pytest.approx(rate))


def people_apart(count, spread, seed=0):
    """Embeddings of people in two cameras, query and gallery."""
    generator = np.random.default_rng(seed)
    centers = generator.standard_normal((count, 16))
    return [
        Embeddings(
            (centers + spread * generator.standard_normal(centers.shape)).astype(np.float32),
            np.arange(count) + 1,
            np.full(count, camera),
        )
        for camera in (0, 1)
    ]


def test_queries_without_a_match_are_the_unknown_ones():
    """By hand. Known: 1 at 0.1 and 2 at 0.4 (correct), 3 at 0.2 (another identity first). Unknown: 0.3, 0.5."""
    query = labels([1, 2, 3, 8, 9], [0] * 5)
    gallery = labels([1, 2, 3], [1] * 3)
    distances = np.array(
        [[0.1, 0.9, 0.9], [0.9, 0.4, 0.9], [0.1, 0.9, 0.2], [0.3, 0.9, 0.9], [0.9, 0.5, 0.9]], dtype=np.float32
    )
    result = open_set(query, gallery, distances=distances, unknown=None, fars=[0.1, 0.5, 1.0])
    assert [item.rate for item in result.rates[1:]] == [pytest.approx(2 / 3), pytest.approx(2 / 3)]
    assert [item.threshold for item in result.rates[1:]] == [pytest.approx(0.5), np.inf]
    assert result.rates[0].reason == "10 % of 2 unknown queries is less than one query; at least 10 are needed"
    assert (result.known_queries, result.unknown_queries, result.enrolled, result.unknown) == (3, 2, 3, None)
    low, high = result.rates[1].interval
    assert 0 <= low < 2 / 3 <= high <= 1


def test_at_a_false_alarm_rate_of_1_the_rate_is_rank_1():
    query, gallery = people_apart(40, 0.8)
    extra = Embeddings(
        np.vstack([query.vectors, -gallery.vectors[:2]]), np.append(query.person_ids, [90, 91]), np.zeros(42, dtype=int)
    )
    (result,) = open_set(extra, gallery, unknown=None, fars=[1.0]).rates
    assert 0.3 < result.rate < 1
    assert result.rate == pytest.approx(score(query, gallery).rank1)


def test_separated_identities_are_recognized_and_draws_are_seeded():
    query, gallery = people_apart(60, 0.01)
    result = open_set(query, gallery, fars=[0.05, 0.1])
    assert [item.rate for item in result.rates] == [1, 1]
    assert (result.known_queries, result.unknown_queries, result.enrolled) == (30, 30, 30)
    blurred = people_apart(60, 0.7)
    one, same, other = (open_set(*blurred, fars=[0.1], repeats=20, seed=seed).rates for seed in (1, 1, 2))
    assert one == same != other
    assert one[0].interval[0] < one[0].rate < one[0].interval[1]


def test_distractors_are_always_enrolled():
    """A distractor at the vector of every query raises an alarm below every other distance."""
    query, gallery = people_apart(40, 0.01)
    crowd = Embeddings(query.vectors * 3, np.zeros(40, dtype=int), np.full(40, 1))
    both = Embeddings(
        np.vstack([gallery.vectors, crowd.vectors]), np.append(gallery.person_ids, crowd.person_ids), [1] * 80
    )
    assert open_set(query, gallery, fars=[0.1]).rates[0].rate == 1
    assert open_set(query, both, fars=[0.1]).rates[0].rate == 0


def test_json_has_null_and_the_reason_without_a_rate():
    tree = json.loads(json.dumps(open_set(*people_apart(40, 0.5)).to_dict(), allow_nan=False))
    assert [rate["dir"] is None for rate in tree["rates"]] == [True, True, False]
    assert tree["rates"][0]["reason"].endswith("at least 1000 are needed")
    assert tree["unknown"] == 0.5
    all_pass = open_set(*people_apart(40, 0.5), fars=[1.0]).to_dict()
    json.dumps(all_pass, allow_nan=False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fars": []}, r"fars: got \[\], expected false alarm rates above 0"),
        ({"fars": [0.1, 1.5]}, "fars: got"),
        ({"fars": [0]}, "fars: got"),
        ({"repeats": 0}, "repeats: got 0, expected at least 1"),
        ({"unknown": 1.5}, "unknown: 1.5 of 10 people with a query and a match leaves none known or none unknown"),
        ({"unknown": 0.01}, "unknown: 0.01 of 10 people"),
        ({"unknown": None}, "unknown: None uses queries without a match as they are, and 0 of 10 are"),
    ],
)
def test_invalid_arguments_are_rejected(change, message):
    with pytest.raises(ValueError, match=message):
        score_open_set(find_nearest_identities(*people_apart(10, 0.5)), **change)
