"""Thresholds for a gallery of a stated size. Oracle: all galleries of n identities."""

import json
from itertools import combinations, pairwise

import numpy as np
import pytest

from passerby.openset.nearest_identities import find_nearest_identities
from passerby.openset.thresholds import compute_threshold
from passerby.types import Embeddings, Labels


def every_gallery(distances, query, gallery, size):
    """Function of t: fraction of queries and galleries of `size` other identities with one nearer than t."""
    nearest = []
    for q, person in enumerate(query.person_ids):
        others = [who for who in np.unique(gallery.person_ids) if who not in (0, person)]
        for chosen in combinations(others, size):
            near = min(distances[q, g] for g in range(len(gallery)) if gallery.person_ids[g] in chosen)
            nearest.append((near, 1 / len(query)))
        total = len(list(combinations(others, size)))
        nearest[-total:] = [(near, weight / total) for near, weight in nearest[-total:]]
    return lambda t: sum(weight for near, weight in nearest if near < t)


def recognized(distances, query, gallery, size, threshold):
    """Mean over queries with a match and all galleries of their identity and `size` - 1 others."""
    rates = []
    for q, (person, camera) in enumerate(zip(query.person_ids, query.camera_ids, strict=True)):
        rows = [
            (distances[q, g], g, gallery.person_ids[g])
            for g in range(len(gallery))
            if gallery.person_ids[g] != person or gallery.camera_ids[g] != camera
        ]
        own = min((row for row in rows if row[2] == person), default=None)
        if own is None:
            continue
        others = [who for who in np.unique(gallery.person_ids) if who not in (0, person)]
        rates.append(
            np.mean(
                [
                    own[0] < threshold and not any(row[:2] < own[:2] for row in rows if row[2] in chosen)
                    for chosen in combinations(others, size - 1)
                ]
            )
        )
    return np.mean(rates)


def crowd(seed, people=7, ties=False):
    """Query and gallery of `people` identities, two images each, a distractor, and a query without a match."""
    generator = np.random.default_rng(seed)
    query = Labels(np.append(np.repeat(np.arange(people) + 1, 2), 99), np.zeros(2 * people + 1, dtype=int))
    gallery = Labels(np.append(np.repeat(np.arange(people) + 1, 2), 0), np.tile([1, 0, 1], people)[: 2 * people + 1])
    distances = generator.random((len(query), len(gallery))).astype(np.float32)
    distances[query.person_ids[:, None] == gallery.person_ids] *= 0.4
    return (np.round(4 * distances) / 4 if ties else distances), query, gallery


@pytest.mark.parametrize("size", [1, 2, 4, 6])
@pytest.mark.parametrize("far", [0.1, 0.3, 0.8])
@pytest.mark.parametrize("ties", [False, True])
def test_the_rates_equal_the_mean_over_all_galleries(size, far, ties):
    distances, query, gallery = crowd(size, ties=ties)
    nearest = find_nearest_identities(query, gallery, distances=distances)
    result = compute_threshold(nearest, far, gallery_size=size, bootstrap=20)
    rate_at = every_gallery(distances, query, gallery, size)
    assert rate_at(result.threshold) <= far + 1e-9
    beyond = np.nextafter(np.float32(result.threshold), np.float32(9))
    assert rate_at(beyond) > far
    assert result.rate == pytest.approx(recognized(distances, query, gallery, size, result.threshold))
    assert not result.extrapolated
    assert (result.queries, result.other_identities, result.images) == (15, 6, 2)


def embedded(count, spread, seed):
    """Identities in two cameras, two images in each, as query and gallery."""
    generator = np.random.default_rng(seed)
    people = np.repeat(np.arange(count) + 1, 4)
    vectors = generator.standard_normal((count, 12))[people - 1] + spread * generator.standard_normal((4 * count, 12))
    return Embeddings(vectors.astype(np.float32), people, np.tile([0, 0, 1, 1], count))


def test_a_larger_gallery_has_a_smaller_threshold_also_when_extrapolated():
    images = embedded(60, 0.5, 0)
    nearest = find_nearest_identities(images, images)
    result = [compute_threshold(nearest, 0.1, gallery_size=size, bootstrap=50) for size in (1, 10, 59, 60, 120, 600)]
    assert all(a.threshold >= b.threshold for a, b in pairwise(result))
    assert all(a.rate >= b.rate for a, b in pairwise(result))
    assert [item.extrapolated for item in result] == [False] * 3 + [True] * 3
    assert compute_threshold(nearest, 0.1, bootstrap=1).gallery_size == 59
    for item in result:
        assert item.interval[0] <= item.threshold <= item.interval[1]
        assert item.rate_interval[0] <= item.rate <= item.rate_interval[1]


def test_an_extrapolated_rate_of_10_percent_is_between_3_and_20():
    """Oracle: the false alarm rate of all 400 identities at thresholds from samples of 100."""
    images = embedded(400, 0.5, 1)
    nearest = find_nearest_identities(images, images)
    others = np.where(nearest.query_ids[:, None] == nearest.gallery_ids, np.inf, nearest.distances).min(axis=1)
    rates = []
    for first in range(0, 400, 100):
        some = images.take(np.flatnonzero((images.person_ids > first) & (images.person_ids <= first + 100)))
        result = compute_threshold(find_nearest_identities(some, some), 0.1, gallery_size=399, bootstrap=1)
        rates.append(np.mean(others < result.threshold))
    assert 0.03 < np.mean(rates) < 0.2


def test_the_interval_is_over_identities_and_seeded():
    images = embedded(40, 0.5, 2)
    thrice = Embeddings(
        *(np.concatenate([getattr(images, name)] * 3) for name in ("vectors", "person_ids", "camera_ids"))
    )
    one, more = (
        compute_threshold(find_nearest_identities(item, images), 0.1, bootstrap=200, seed=4)
        for item in (images, thrice)
    )
    assert one.interval == more.interval
    assert one.threshold == more.threshold
    assert one == compute_threshold(find_nearest_identities(images, images), 0.1, bootstrap=200, seed=4)
    assert (
        one.interval != compute_threshold(find_nearest_identities(images, images), 0.1, bootstrap=200, seed=5).interval
    )


def test_queries_without_a_match_have_a_threshold_and_no_rate():
    images = embedded(30, 0.5, 3)
    strangers = Embeddings(images.vectors + 0.1, images.person_ids + 100, images.camera_ids)
    result = compute_threshold(find_nearest_identities(strangers, images), 0.1, bootstrap=20)
    assert result.other_identities == 30
    assert np.isnan(result.rate)
    tree = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert (tree["rate"], tree["rate_interval"]) == (None, [None, None])
    assert tree["threshold"] == result.threshold


def test_without_other_identities_the_threshold_is_infinite():
    """All other identities are at infinity: there is no false alarm at any threshold."""
    query = Labels(np.arange(1, 6), np.zeros(5, dtype=int))
    gallery = Labels(np.arange(1, 6), np.ones(5, dtype=int))
    distances = np.full((5, 5), np.inf, dtype=np.float32)
    np.fill_diagonal(distances, 0.5)
    result = compute_threshold(find_nearest_identities(query, gallery, distances=distances), 0.5, bootstrap=5)
    assert (result.threshold, result.rate) == (np.inf, 1)
    assert result.to_dict()["threshold"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"far": 0}, "far: got 0, expected a false alarm rate between 0 and 1"),
        ({"far": 1}, "far: got 1"),
        ({"far": 0.1, "bootstrap": 0}, "bootstrap: got 0"),
        ({"far": 0.1, "gallery_size": 0}, "gallery_size: got 0"),
        ({"far": 0.01}, "far: 0.01 in a gallery of 9 people is less than one of 40 queries against 9 people; 60 more"),
        ({"far": 0.1, "gallery_size": 90}, "is less than one of 40 queries against 9 people; 56 more are needed, 96"),
    ],
)
def test_an_unresolved_rate_is_rejected_with_the_number_of_queries_needed(arguments, message):
    images = embedded(10, 0.5, 0)
    with pytest.raises(ValueError, match=message):
        compute_threshold(find_nearest_identities(images, images), **arguments)


def test_a_single_identity_is_rejected():
    images = embedded(1, 0.5, 0)
    with pytest.raises(ValueError, match="gallery: shows 1 person, expected at least 2"):
        compute_threshold(find_nearest_identities(images, images), 0.5)
