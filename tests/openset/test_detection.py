"""Detection and identification rate at a false alarm rate. Oracles: loops over sorted lists, hand-worked numbers."""

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
    """(rate, threshold): every threshold from all alarms tried, the largest with few enough of them is taken."""
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
    tried = [t for t in {*alarms, np.inf} if sum(alarm < t for alarm in alarms) <= far * len(alarms) + 1e-9]
    threshold = max(tried)
    return np.mean([distance < threshold for distance in own]), threshold


@st.composite
def cases(draw):
    """3 to 4 people in query and gallery, each with a match, ties, a distractor now and then."""
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
def test_one_draw_is_that_of_a_loop(case, far, seed):
    distances, query, gallery = case
    people = sorted(set(query.person_ids.tolist()))
    hidden = np.random.default_rng(seed).choice(people, round(0.5 * len(people)), replace=False)
    (found,) = open_set(query, gallery, distances=distances, fars=[far], repeats=1, seed=seed).rates
    strangers = int(np.isin(query.person_ids, hidden).sum())
    if far * strangers < 1:
        assert np.isnan(found.rate)
        assert f"of {strangers} unknown queries is less than one" in found.reason
        return
    rate, threshold = naive(distances, query, gallery, hidden, far)
    assert found.rate == pytest.approx(rate)
    assert found.threshold == threshold
    assert found.interval == (pytest.approx(rate), pytest.approx(rate))


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


def test_queries_without_a_match_are_used_as_they_are():
    """Hand-worked. Known: 1 at 0.1 (right), 2 at 0.4 (right), 3 at 0.2 (wrong person first). Unknown: 0.3, 0.5."""
    query = labels([1, 2, 3, 8, 9], [0] * 5)
    gallery = labels([1, 2, 3], [1] * 3)
    distances = np.array(
        [[0.1, 0.9, 0.9], [0.9, 0.4, 0.9], [0.1, 0.9, 0.2], [0.3, 0.9, 0.9], [0.9, 0.5, 0.9]], dtype=np.float32
    )
    found = open_set(query, gallery, distances=distances, unknown=None, fars=[0.1, 0.5, 1.0])
    assert [each.rate for each in found.rates[1:]] == [pytest.approx(2 / 3), pytest.approx(2 / 3)]
    assert [each.threshold for each in found.rates[1:]] == [pytest.approx(0.5), np.inf]
    assert found.rates[0].reason == "10 % of 2 unknown queries is less than one query; at least 10 are needed"
    assert (found.known_queries, found.unknown_queries, found.enrolled, found.unknown) == (3, 2, 3, None)
    low, high = found.rates[1].interval
    assert 0 <= low < 2 / 3 <= high <= 1


def test_at_a_rate_of_one_everybody_passes_and_it_is_rank_1():
    query, gallery = people_apart(40, 0.8)
    extra = Embeddings(
        np.vstack([query.vectors, -gallery.vectors[:2]]), np.append(query.person_ids, [90, 91]), np.zeros(42, dtype=int)
    )
    (found,) = open_set(extra, gallery, unknown=None, fars=[1.0]).rates
    assert 0.3 < found.rate < 1
    assert found.rate == pytest.approx(score(query, gallery).rank1)


def test_people_far_apart_are_all_recognized_and_draws_are_seeded():
    query, gallery = people_apart(60, 0.01)
    found = open_set(query, gallery, fars=[0.05, 0.1])
    assert [each.rate for each in found.rates] == [1, 1]
    assert (found.known_queries, found.unknown_queries, found.enrolled) == (30, 30, 30)
    blurred = people_apart(60, 0.7)
    one, same, other = (open_set(*blurred, fars=[0.1], repeats=20, seed=seed).rates for seed in (1, 1, 2))
    assert one == same != other
    assert one[0].interval[0] < one[0].rate < one[0].interval[1]


def test_distractors_are_always_enrolled():
    """A distractor on top of every unknown person raises their alarm before anybody is recognized."""
    query, gallery = people_apart(40, 0.01)
    crowd = Embeddings(query.vectors * 3, np.zeros(40, dtype=int), np.full(40, 1))
    both = Embeddings(
        np.vstack([gallery.vectors, crowd.vectors]), np.append(gallery.person_ids, crowd.person_ids), [1] * 80
    )
    assert open_set(query, gallery, fars=[0.1]).rates[0].rate == 1
    assert open_set(query, both, fars=[0.1]).rates[0].rate == 0


def test_json_holds_null_and_the_reason_where_there_is_no_figure():
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
def test_what_cannot_be_measured_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        score_open_set(find_nearest_identities(*people_apart(10, 0.5)), **change)
