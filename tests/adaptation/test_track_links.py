"""Links between tracks. Oracles: loops and permutations, drawn people whose identities are known, and links by hand."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.adaptation import track_links
from passerby.adaptation.link_probability import fit_probabilities
from passerby.adaptation.site import Site, SiteLinks
from passerby.adaptation.site_tracks import SiteTracks, find_tracks
from passerby.adaptation.track_links import NO_PAIRS, TrackLinks, link_table, link_tracks, scale_similarities
from passerby.metric.covariance import UNKNOWN


def draw_tracks(people, *, cameras=2, noise=0.5, common=1.0, seed=0):
    """Draw one track of each person in each camera, of whom only a fraction is in the cameras after the first."""
    rng = np.random.default_rng(seed)
    persons = np.tile(np.arange(people), cameras)
    camera_ids = np.repeat(np.arange(cameras), people)
    others = (camera_ids > 0) & (persons >= common * people)
    persons = np.where(others, 10_000 + np.arange(len(persons)), persons)
    faces = rng.normal(size=(20_000, 16))
    return faces[persons] + noise * rng.normal(size=(len(persons), 16)), camera_ids, persons


def is_right(links, persons):
    return persons[links.pairs[:, 0]] == persons[links.pairs[:, 1]]


def test_similarities_are_scaled_as_by_a_loop():
    rng = np.random.default_rng(4)
    vectors, cameras = rng.normal(size=(14, 3)), np.array([0, 1, 2, 0, 1, 2, 0] * 2)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def strangers(track, camera):
        values = sorted((unit[track] @ unit[i] for i in range(14) if cameras[i] == camera and i != track), reverse=True)
        return np.mean(values[1:6])

    scaled = scale_similarities(vectors, cameras)
    for i in range(14):
        for j in range(14):
            expected = 2 * unit[i] @ unit[j] - strangers(i, cameras[j]) - strangers(j, cameras[i])
            assert scaled[i, j] == (pytest.approx(expected) if i != j else -np.inf)


def test_the_assignment_is_the_best_of_all_permutations(monkeypatch):
    """Oracle: all permutations. The values are computed by a loop."""
    monkeypatch.setattr(track_links, "MIN_WRONG", 1)
    monkeypatch.setattr(track_links, "fit_probabilities", lambda values, _views, _wrong: values)
    rng = np.random.default_rng(2)
    vectors, cameras = rng.normal(size=(10, 3)), np.repeat([0, 1], 5)
    scaled = scale_similarities(vectors, cameras)
    best = max(permutations(range(5)), key=lambda order: sum(scaled[i, 5 + j] for i, j in enumerate(order)))
    links = link_tracks(vectors, cameras, least=-np.inf)
    assert sorted(links.pairs.tolist()) == [[i, 5 + j] for i, j in enumerate(best)]
    for (i, j), value in zip(links.pairs.tolist(), links.probabilities, strict=True):
        rivals = [scaled[i, k] for k in range(10) if k not in (i, j)] + [
            scaled[j, k] for k in range(10) if k not in (i, j)
        ]
        assert value == pytest.approx(1.5 * scaled[i, j] - max(rivals))


@pytest.mark.parametrize(("cameras", "noise", "common"), [(2, 0.6, 1.0), (2, 0.6, 0.6), (4, 0.6, 0.7)])
def test_the_mean_probability_is_not_above_the_precision(cameras, noise, common):
    """Of the links of 10 draws, at least as many are right as their probabilities add up to, but for 5 %."""
    right = expected = count = 0
    for seed in range(10):
        vectors, camera_ids, persons = draw_tracks(60, cameras=cameras, noise=noise, common=common, seed=seed)
        links = link_tracks(vectors, camera_ids, least=0.5)
        right, expected = right + is_right(links, persons).sum(), expected + links.probabilities.sum()
        count += len(links.pairs)
    assert count > 20
    assert right >= expected - 0.05 * count


def test_cameras_without_common_people_have_no_links():
    vectors, camera_ids, _ = draw_tracks(60, common=0.0)
    assert len(link_tracks(vectors, camera_ids, least=0.5).pairs) == 0


def test_links_connect_no_two_tracks_of_a_camera():
    vectors, camera_ids, _ = draw_tracks(30, cameras=4, noise=0.7)
    pairs = link_tracks(vectors, camera_ids, least=0.05).pairs.tolist()
    groups = {track: {track} for track in range(len(vectors))}
    for first, second in pairs:
        joined = groups[first] | groups[second]
        for track in joined:
            groups[track] = joined
    assert max(map(len, groups.values())) > 2
    for group in groups.values():
        assert len({camera_ids[track] for track in group}) == len(group)


def test_links_do_not_depend_on_the_order_of_the_tracks():
    vectors, camera_ids, _ = draw_tracks(30, cameras=3)
    order = np.random.default_rng(1).permutation(len(vectors))
    pairs = {frozenset(pair) for pair in link_tracks(vectors, camera_ids, least=0.5).pairs.tolist()}
    shuffled = link_tracks(vectors[order], camera_ids[order], least=0.5).pairs
    assert pairs == {frozenset(pair) for pair in order[shuffled].tolist()}


def test_answers_are_kept_and_exclude_other_links():
    vectors, camera_ids, _ = draw_tracks(30, noise=0.2)
    pairs = [[person, person + 30] for person in range(30)]
    assert sorted(link_tracks(vectors, camera_ids, least=0.5).pairs.tolist()) == pairs
    without = link_tracks(vectors, camera_ids, least=0.5, cannot=np.array([[30, 0]])).pairs.tolist()
    assert [0, 30] not in without
    assert len(without) >= 25
    known = link_tracks(vectors, camera_ids, least=0.5, known=np.array([[0, 30]])).pairs.tolist()
    assert sorted(known) == pairs[1:]  # a known link is not found again
    wrong = link_tracks(vectors, camera_ids, least=0.5, known=np.array([[0, 31]])).pairs.tolist()
    assert not {0, 1, 30, 31} & {track for pair in wrong for track in pair} - {1, 30}


def test_two_links_do_not_join_strangers():
    """Tracks of one person in three cameras; those in cameras 1 and 2 are answered to be of two people."""
    vectors, camera_ids, _ = draw_tracks(30, cameras=3, noise=0.2)
    pairs = link_tracks(vectors, camera_ids, least=0.5, cannot=np.array([[30, 60]])).pairs.tolist()
    assert [30, 60] not in pairs
    assert not ([0, 30] in pairs and [0, 60] in pairs)


@pytest.mark.parametrize("count", [0, 1, 4, 60])
def test_one_camera_has_no_links(count):
    links = link_tracks(np.eye(60)[:count], np.zeros(count, np.int64), least=0.0)
    assert links.pairs.shape == (0, 2)


@pytest.mark.parametrize("sizes", [(1, 1), (5, 5), (1, 40), (2, 30)])
def test_few_tracks_have_few_or_no_links(sizes):
    """Fewer than 20 wrong assignments give no probability."""
    rng = np.random.default_rng(0)
    cameras = np.repeat([0, 1], sizes)
    links = link_tracks(rng.normal(size=(len(cameras), 4)), cameras, least=0.0)
    assert len(links.pairs) <= (min(sizes) if sum(sizes) >= 20 else 0)


def test_probabilities_by_hand():
    """60 of 100 links are above all of 99 wrong links but one, and one wrong link is added there."""
    values, wrong = np.repeat([1.0, 0.0], [60, 40]), np.append(np.zeros(98), 1.0)
    rate = (0.6 - 0.1 - 2 * np.sqrt(0.1 * 0.9 / 100)) / 0.9
    ratio = (0.6 / (2 / 100) - (1 - rate)) / rate
    odds = rate / (1 - rate) * ratio
    probabilities = fit_probabilities(values, np.zeros(100, np.int64), np.sort(wrong))
    assert probabilities[0] == pytest.approx(odds / (1 + odds))
    assert probabilities[-1] == 0
    assert fit_probabilities(np.empty(0), np.empty(0, np.int64), wrong).shape == (0,)


@given(st.lists(st.floats(-2, 2), min_size=1, max_size=40), st.lists(st.floats(-2, 2), min_size=1, max_size=40))
def test_probabilities_rise_with_the_value(values, wrong):
    values, views = np.sort(np.array(values)), np.zeros(len(values), np.int64)
    probabilities = fit_probabilities(values, views, np.array(wrong))
    assert ((probabilities >= 0) & (probabilities < 1)).all()
    assert (np.diff(probabilities) >= -1e-9).all()


def test_the_table_has_each_link_twice():
    table = link_table(np.array([[0, 2], [1, 3]]), np.array([0, 0, 1, 2]))
    assert table.tolist() == [[-1, 2, -1], [-1, -1, 3], [0, -1, -1], [1, -1, -1]]


def test_answers_about_crops_hold_for_their_tracks():
    """By hand: groups 0 and 1 have a track in each of two cameras; the crops 0 and 3 are of two people."""
    links = SiteLinks(must=np.empty((0, 2), np.int64), cannot=np.array([[0, 3], [4, 4]]))
    numbers, cameras = np.array([0, 0, 1, 1, UNKNOWN]), np.array([0, 1, 0, 1, 1])
    site = Site("drawn", np.zeros((5, 1, 1, 3), np.uint8), ("a", "b"), cameras, numbers, numbers, tuple("01234"), links)
    tracks = find_tracks(site, numbers)
    assert tracks.cannot.tolist() == [[0, 2], [0, 3], [1, 2], [1, 3]]
    found = tracks.link(None)
    assert (found.pairs.tolist(), found.probabilities.tolist()) == ([[0, 1], [2, 3]], [1.0, 1.0])


def test_precision_and_recall_of_links():
    """By hand: of three links two are right, and there are three pairs of one person in two cameras."""
    persons, cameras = np.array([1, 2, 3, 1, 2, 3]), np.repeat([0, 1], 3)
    tracks = SiteTracks(np.arange(6), np.arange(6), cameras, np.arange(6), persons, NO_PAIRS)
    links = TrackLinks(np.array([[0, 3], [1, 4], [2, 4]]), np.array([0.9, 0.8, 0.7]))
    assert tracks.measure(links) == {
        "links": 3,
        "link_probability": pytest.approx(0.8),
        "link_precision": pytest.approx(2 / 3),
        "link_recall": pytest.approx(2 / 3),
    }
    unknown = SiteTracks(np.arange(6), np.arange(6), cameras, np.arange(6), np.full(6, UNKNOWN), NO_PAIRS)
    assert unknown.measure(links) == {"links": 3, "link_probability": pytest.approx(0.8)}
    assert tracks.measure(TrackLinks(NO_PAIRS, np.empty(0))) == {"links": 0}
