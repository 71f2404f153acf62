"""Groups of similar crops and their judge. Oracles: identities of drawn people, ranks counted by hand."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from adaptation.drawn_people import LOSS, PARTS, SITES, climb_groups, crops, draw, mean_precision
from passerby.adaptation import crop_groups
from passerby.adaptation.crop_groups import find_crop_groups, regroup
from passerby.adaptation.halves_judge import HalvesJudge
from passerby.adaptation.ladder import normalize_cameras, standard_error
from passerby.adaptation.site import Site, SiteLinks
from passerby.metric.covariance import UNKNOWN
from passerby.metric.part_maps import apply_maps, join_parts, learn_maps, split_parts

NOISE = {"noise": 0.5, "own": 0.3}
"""Noise of which 80 pairs are found, 99 % right."""


def make_site(persons, cameras, links=SiteLinks()):  # noqa: B008
    pixels = np.zeros((len(persons), 1, 1, 3), np.uint8)
    names = tuple(str(camera) for camera in np.unique(cameras))
    return Site("drawn", pixels, names, cameras, np.full(len(persons), UNKNOWN), persons, (), links)


def find(persons, cameras, vectors, links=SiteLinks(), parts=PARTS):  # noqa: B008
    return find_crop_groups(make_site(persons, cameras, links), normalize_cameras(vectors, cameras), parts, seed=0)


@pytest.fixture(scope="module")
def people():
    persons, cameras = crops(150)
    return persons, cameras, draw(np.random.default_rng(1), persons, cameras, **NOISE)


def list_groups(numbers):
    return [np.flatnonzero(numbers == number) for number in np.unique(numbers) if number != UNKNOWN]


def test_a_group_shows_one_person_in_one_camera(people):
    persons, cameras, vectors = people
    groups = find(persons, cameras, vectors)
    found = list_groups(groups.numbers)
    assert groups.usable == len(found) > 70
    assert all(len(crops) > 1 and len(set(cameras[crops])) == 1 for crops in found)
    assert np.mean([len(set(persons[crops])) == 1 for crops in found]) > 0.95


def test_any_two_crops_of_a_group_of_complete_linkage_are_near():
    """Oracle: scipy's clustering of each whole camera, at the level that is counted by hand."""
    persons, cameras = crops(60)
    vectors = normalize_cameras(draw(np.random.default_rng(2), persons, cameras, noise=0.3, own=0.3), cameras)
    similarity = vectors @ vectors.T
    other = cameras[:, None] != cameras[None]
    level = np.quantile(np.where(other, similarity, -1).max(axis=1), 0.9)
    pairs = crop_groups._find_near(vectors, cameras)
    expected = set()
    for camera in (0, 1):
        rows = np.flatnonzero(cameras == camera)
        apart = np.clip(1 - similarity[np.ix_(rows, rows)], 0, None)
        np.fill_diagonal(apart, 0)
        labels = fcluster(linkage(squareform(apart, checks=False), "complete"), 1 - level, "distance")
        expected |= {
            tuple(rows[labels == label].tolist()) for label in np.unique(labels) if (labels == label).sum() > 1
        }
    found = {tuple(crops.tolist()) for crops in list_groups(crop_groups._join(pairs, len(vectors)))}
    assert found == expected
    assert len(found) > 20


def test_grouping_again_leaves_held_out_crops_alone(people):
    persons, cameras, vectors = people
    site = make_site(persons, cameras)
    normalized = normalize_cameras(vectors, cameras)
    groups = find_crop_groups(site, normalized, PARTS, seed=0)
    sharper = normalize_cameras(draw(np.random.default_rng(3), persons, cameras, noise=0.1, own=0.2), cameras)
    numbers = regroup(site, groups, sharper, PARTS)
    assert (numbers[groups.judge.held_out] == UNKNOWN).all()
    found = list_groups(numbers)
    assert len(found) > (np.unique(groups.learned) != UNKNOWN).sum()
    assert np.mean([len(set(persons[crops])) == 1 for crops in found]) > 0.95


def test_links_and_groups_are_held_out_whole(people):
    persons, cameras, vectors = people
    groups = find(persons, cameras, vectors)
    judge = groups.judge
    assert 0.2 < judge.held_out.mean() <= 0.3
    for links in judge.links:
        linked = links != UNKNOWN
        assert (judge.held_out[linked] == judge.held_out[links[linked]]).all()
        assert (cameras[linked] != cameras[links[linked]]).all()
    assert not set(groups.numbers[judge.held_out]) & set(groups.learned) - {UNKNOWN}


def test_average_precision_is_one_over_the_rank_of_the_link_in_the_other_half():
    """Crop 0 is linked to 2 by the first half; by the second, 3 is nearer to 0 and 0 is the nearest of 2 to 3."""
    second = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [0.8, 0.6]])
    vectors = np.concatenate([np.tile([1.0, 0.0], (4, 1)), second], axis=1)
    links = np.array([[2, UNKNOWN, 0, UNKNOWN], [UNKNOWN] * 4])
    judge = HalvesJudge(links, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 3]), np.ones(4, bool), 2)
    queries, precision = judge.query_precision(vectors)
    assert queries.tolist() == [0, 2]
    assert precision.tolist() == [0.5, 0.5]  # 3 before 2; of 2, crop 1 of (0, 1) before crop 0 of (1, 0)
    assert judge.precision(vectors).tolist() == [0.5]
    assert judge.rank(vectors, 0).tolist() == [3, 2]
    assert judge.is_match(0, 2)
    assert not judge.is_match(0, 3)


@pytest.mark.parametrize("method", ["wccn", "kissme", "xqda", "lda"])
def test_maps_of_random_pairs_are_refused_or_do_no_harm(people, method):
    """Crops of two people each, in three draws. Oracle: the mAP by the identities.

    The covariance within random pairs is that of all crops, by which `wccn` whitens.
    """
    persons, cameras, vectors = people
    judge = find(persons, cameras, vectors).judge
    parts = split_parts(vectors, PARTS)
    before = judge.precision(normalize_cameras(vectors, cameras))
    for seed in range(3):
        random = np.random.default_rng(seed).permutation(len(persons)) // 2
        maps = learn_maps(parts, cameras, np.where(judge.held_out, UNKNOWN, random), method=method)
        mapped = join_parts(apply_maps(parts, maps))
        gains = judge.precision(normalize_cameras(mapped, cameras)) - before
        harm = mean_precision(vectors, persons + 1, cameras) - mean_precision(mapped, persons + 1, cameras)
        assert gains.mean() <= 2 * standard_error(gains) or harm <= LOSS


def test_maps_of_identities_are_accepted(people):
    """So that the test above does not hold because nothing is accepted."""
    persons, cameras, vectors = people
    judge = find(persons, cameras, vectors).judge
    parts = split_parts(vectors, PARTS)
    maps = learn_maps(parts, cameras, np.where(judge.held_out, UNKNOWN, persons), method="kissme")
    gains = judge.precision(normalize_cameras(join_parts(apply_maps(parts, maps)), cameras))
    gains -= judge.precision(normalize_cameras(vectors, cameras))
    assert gains.mean() > 2 * standard_error(gains)


@pytest.mark.parametrize("name", SITES)
def test_the_choice_is_not_worse_than_the_start(name):
    persons, cameras = SITES[name]
    vectors = draw(np.random.default_rng(1), persons, cameras, **NOISE)
    gain, _, _ = climb_groups(make_site(persons, cameras), find(persons, cameras, vectors), vectors, **NOISE)
    assert gain >= -LOSS


def test_answers_take_pairs_apart_and_join_crops(people):
    persons, cameras, vectors = people
    groups = find(persons, cameras, vectors)
    pair = np.flatnonzero(groups.numbers == groups.numbers[groups.numbers != UNKNOWN][0])
    alone = np.flatnonzero(groups.numbers == UNKNOWN)[:2]
    answered = find(persons, cameras, vectors, SiteLinks(must=alone[None], cannot=pair[None])).numbers
    assert answered[pair[0]] != answered[pair[1]]
    assert answered[alone[0]] == answered[alone[1]] != UNKNOWN


def test_one_camera_has_no_links_that_could_judge(people):
    persons, _, vectors = people
    groups = find(persons, np.zeros(len(persons), np.int64), vectors)
    assert groups.judge is None
    assert "one camera: rungs are compared by links between cameras; give tracks" in groups.obstacle


def test_an_embedding_of_one_part_has_no_halves(people):
    groups = find(*people, parts=1)
    assert groups.judge is None
    assert "no tracks, and the embedding is one vector without halves" in groups.obstacle
    assert groups.usable == 0
