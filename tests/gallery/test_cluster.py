"""Clustering. Oracle: scipy's average linkage over the whole matrix, and planted identities."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from gallery.people import unit
from passerby.errors import GalleryError
from passerby.gallery import cluster
from passerby.gallery.cluster import b_cubed, cluster_vectors, find_pair_threshold, find_simultaneous_tracks
from passerby.gallery.sightings import SightingInfo
from passerby.openset.calibration import Calibration, FittedOn

PAIRS = Calibration(
    "logistic", "cosine", np.array([0.0, 1.0]), np.array([6.0, -6.0]), FittedOn("made", 2, 4, 2, 4, trained_on=False)
)
"""Log ratio 6 - 12 d."""


def planted(people, item, spread, seed=0):
    generator = np.random.default_rng(seed)
    near = np.repeat(unit(generator, people), item, axis=0) + spread * generator.standard_normal((people * item, 24))
    return (near / np.linalg.norm(near, axis=1, keepdims=True)).astype(np.float32)


def pairs(numbers):
    return np.equal.outer(numbers, numbers)


@given(st.integers(0, 50), st.sampled_from([0.1, 0.2, 0.35]), st.floats(0.02, 1.2))
def test_components_give_the_clusters_of_the_whole_matrix(seed, spread, threshold):
    vectors = planted(6, 5, spread, seed)
    distances = 1 - vectors.astype(float) @ vectors.T.astype(float)
    np.fill_diagonal(distances, 0)
    whole = fcluster(linkage(squareform(distances, checks=False), "average"), threshold, "distance")
    clusters = cluster_vectors(vectors, threshold=threshold)
    assert (pairs(clusters) == pairs(whole)).all()
    first = [int(np.flatnonzero(clusters == number)[0]) for number in range(clusters.max() + 1)]
    assert first == sorted(first)


def test_planted_identities_are_recovered_and_excluded_pairs_are_separated():
    vectors = planted(5, 4, 0.05)
    assert cluster_vectors(vectors, threshold=0.3).tolist() == np.repeat(np.arange(5), 4).tolist()
    apart = cluster_vectors(vectors, threshold=0.3, excluded=[(0, 1), (2, 3)])
    assert apart[0] != apart[1]
    assert apart[2] != apart[3]
    assert len(set(apart[:4])) == 2


def test_one_sighting_and_distinct_sightings():
    assert cluster_vectors(unit(np.random.default_rng(0), 1), threshold=0.5).tolist() == [0]
    assert cluster_vectors(unit(np.random.default_rng(0), 3), threshold=0.0).tolist() == [0, 1, 2]


def test_large_components_and_invalid_thresholds_raise(monkeypatch):
    with pytest.raises(GalleryError, match=r"threshold: got 3, expected a cosine distance from 0 to 2"):
        cluster_vectors(planted(2, 2, 0.1), threshold=3)
    monkeypatch.setattr(cluster, "MAX_COMPONENT", 3)
    with pytest.raises(GalleryError, match=r"cluster: 4 sightings are connected by distances up to 0\.500, at most 3"):
        cluster_vectors(planted(2, 4, 0.05), threshold=0.5)


def test_simultaneous_tracks_of_one_camera_are_excluded():
    def track(camera, start, end):
        return SightingInfo(camera=camera, attributes={"track.start": start, "track.end": end})

    sightings = [
        track("a", 0, 5),
        track("a", 4, 9),
        track("b", 0, 9),
        track("a", 5, 6),
        SightingInfo(camera="a"),
        track("a", 9, 12),
    ]
    assert {frozenset(pair) for pair in find_simultaneous_tracks(sightings)} == {frozenset({0, 1}), frozenset({1, 3})}


def test_a_users_attributes_named_start_and_end_are_no_track():
    sightings = [SightingInfo(camera="a", attributes={"start": "left door", "end": "right door"})] * 2
    assert find_simultaneous_tracks(sightings) == []
    assert sightings[0].span is None


@pytest.mark.parametrize("seed", range(5))
def test_exact_copies_are_one_cluster(seed):
    """Rounding makes some of the distances between copies negative, which scipy refuses."""
    vectors = np.repeat(unit(np.random.default_rng(seed), 7, 512), 20, axis=0)
    clusters = cluster_vectors(vectors, threshold=0.2)
    assert clusters.tolist() == np.repeat(np.arange(7), 20).tolist()
    assert cluster_vectors(vectors, threshold=0.0).max() >= 6


def test_the_threshold_is_at_equal_probability():
    """The ratio falls as 6 - 12 d; with even odds that is 1 at 0.5, with a prior of p at 0.5 + logit(p) / 12."""
    assert find_pair_threshold(PAIRS, prior=0.5) == pytest.approx(0.5, abs=1e-3)
    assert find_pair_threshold(PAIRS, prior=0.01) == pytest.approx(0.5 + np.log(0.01 / 0.99) / 12, abs=1e-3)


def test_b_cubed_counts_each_labeled_sighting():
    """By hand: groups {A A B} {A} {B}, one more without a label."""
    precision, recall = b_cubed(np.array([0, 0, 0, 1, 2, 0]), ["A", "A", "B", "A", "B", None])
    assert precision == pytest.approx((2 / 3 + 2 / 3 + 1 / 3 + 1 + 1) / 5)
    assert recall == pytest.approx((2 / 3 + 2 / 3 + 1 / 2 + 1 / 3 + 1 / 2) / 5)
    with pytest.raises(GalleryError, match="B-cubed: no sighting has a label"):
        b_cubed(np.array([0, 1]), [None, None])
