"""Answers in each rung that learns from tracks. Oracle: the same rung, with tracks as the answers say, by hand."""

import numpy as np
import pytest

from adaptation.drawn_people import PARTS, WIDTH, crops
from passerby.adaptation.groups import find_groups, join_groups
from passerby.adaptation.ladder import LINKS, learn_rung
from passerby.adaptation.site import Site, SiteLinks
from passerby.adaptation.site_tracks import find_tracks
from passerby.metric.part_maps import METHODS, split_parts

PERSONS, CAMERAS = crops(100)
TRACKS = 2 * PERSONS + CAMERAS
RNG = np.random.default_rng(1)
PEOPLE, NOISE = RNG.normal(size=(100, PARTS * WIDTH)), RNG.normal(size=(len(PERSONS), PARTS * WIDTH))
PARTS_OF_CROPS = split_parts(PEOPLE[PERSONS] + 0.6 * NOISE, PARTS)
NO_PAIRS = np.empty((0, 2), np.int64)


def make_site(tracks, links=SiteLinks()):  # noqa: B008
    pixels = np.zeros((len(tracks), 1, 1, 3), np.uint8)
    return Site("drawn", pixels, ("a", "b"), CAMERAS, tracks, PERSONS, tuple(map(str, range(len(tracks)))), links)


def learn(name, site):
    return learn_rung(name, PARTS_OF_CROPS, site, join_groups(site, site.tracks))[0]


def rows_of(person, camera):
    return np.flatnonzero((camera == CAMERAS) & (person == PERSONS))


@pytest.mark.parametrize("name", [*METHODS, LINKS])
def test_a_track_that_an_answer_takes_apart_is_not_learned_from(name):
    """Track 0 has the crops of the persons 0 and 1 in camera 0; two of them are answered to be of two people."""
    mixed = np.where(TRACKS == 2, 0, TRACKS)
    first, second = rows_of(0, 0)[0], rows_of(1, 0)[0]
    apart = np.where(mixed == 0, -1, mixed)
    apart[[first, second]] = 1000, 1001  # each is known to differ from the other
    answered = learn(name, make_site(mixed, SiteLinks(NO_PAIRS, np.array([[first, second]]))))
    np.testing.assert_allclose(answered, learn(name, make_site(apart)), atol=1e-9)
    assert np.abs(answered - learn(name, make_site(mixed))).max() > 1e-4


@pytest.mark.parametrize("name", [*METHODS, LINKS])
def test_tracks_that_answers_join_are_learned_from_as_one(name):
    """The tracks of 30 people are cut in two, and an answer joins the parts."""
    cut = TRACKS.copy()
    must = []
    for person in range(30):
        rows = rows_of(person, 0)
        cut[rows[0]] = 1000 + person
        must.append(rows[:2])
    answered = learn(name, make_site(cut, SiteLinks(np.array(must), NO_PAIRS)))
    np.testing.assert_allclose(answered, learn(name, make_site(TRACKS)), atol=1e-9)
    assert np.abs(answered - learn(name, make_site(cut))).max() > 1e-4


def test_answers_are_in_the_links_of_the_fine_tuning():
    """Person 0 in camera 0 is answered to be person 1 in camera 1, and not person 0 there."""
    own, other, wrong = rows_of(0, 0)[0], rows_of(1, 1)[0], rows_of(0, 1)[0]
    site = make_site(TRACKS, SiteLinks(np.array([[own, other]]), np.array([[own, wrong]])))
    groups = find_groups(site, labels=False, seed=0)
    tracks = find_tracks(site, groups.numbers)
    pairs = tracks.link(PARTS_OF_CROPS.reshape(len(TRACKS), -1)).pairs
    of = {row: int(tracks.labels[tracks.rows == row][0]) for row in (own, other, wrong)}
    linked = {frozenset(pair) for pair in pairs.tolist()}
    assert frozenset((of[own], of[other])) in linked
    assert frozenset((of[own], of[wrong])) not in linked
    assert sum(of[own] in pair for pair in linked) == 1
