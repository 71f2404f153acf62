"""Learned maps. Oracles: loops over all pairs, scikit-learn's LDA, scipy's generalized eigenvalues, cases by hand."""

import itertools

import numpy as np
import pytest
from scipy.linalg import eigh
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from passerby.errors import DataError
from passerby.metric.covariance import UNKNOWN, PairCovariances, add_ridge, pair_covariances, symmetric_root
from passerby.metric.kissme import kissme_map
from passerby.metric.lda import lda_map
from passerby.metric.part_maps import apply_maps, center_cameras, learn_maps, split_parts
from passerby.metric.whitening import wccn_map
from passerby.metric.xqda import xqda_map

GROUPS = np.array([1, 1, 1, 2, 2, 3, 4, 4, 4, 4, UNKNOWN, UNKNOWN])


@pytest.fixture
def vectors():
    rng = np.random.default_rng(0)
    return rng.normal(size=(len(GROUPS), 4)) + 2 * rng.normal(size=(5, 4))[GROUPS]


def test_covariances_are_means_over_all_pairs(vectors):
    moments = {True: [], False: []}
    for i, j in itertools.combinations(np.flatnonzero(GROUPS != UNKNOWN), 2):
        difference = vectors[i] - vectors[j]
        moments[GROUPS[i] == GROUPS[j]].append(np.outer(difference, difference))
    covariances = pair_covariances(vectors, GROUPS)
    np.testing.assert_allclose(covariances.within, np.mean(moments[True], axis=0))
    np.testing.assert_allclose(covariances.between, np.mean(moments[False], axis=0))


@pytest.mark.parametrize("groups", [np.arange(12), np.ones(12, int), np.full(12, UNKNOWN)])
def test_groups_without_both_kinds_of_pairs_are_refused(vectors, groups):
    with pytest.raises(DataError, match=r"groups: got \d+ groups? of \d+ crops, expected two or more"):
        pair_covariances(vectors, groups)


def test_equal_crops_of_a_group_are_refused():
    with pytest.raises(DataError, match="are equal, expected different ones"):
        pair_covariances(np.eye(2)[[0, 0, 1, 1]], np.array([1, 1, 2, 2]))


@pytest.mark.parametrize("method", ["kissme", "xqda"])
def test_groups_that_no_direction_separates_are_refused(method):
    """All groups have the same two crops, so that pairs of two groups differ half as much as those of one."""
    parts = np.tile([[[1.0, 0.0]], [[0.0, 1.0]]], (5, 1, 1))
    with pytest.raises(DataError, match="crops of two groups differ no more than those of one group"):
        learn_maps(parts, np.zeros(10, np.int64), np.repeat(np.arange(5), 2), method=method)


def test_wccn_whitens_the_covariance_within_groups(vectors):
    covariances = pair_covariances(vectors, GROUPS)
    matrix = wccn_map(covariances, ridge=1e-9)
    np.testing.assert_allclose(matrix @ covariances.within @ matrix, np.eye(4), atol=1e-6)


def test_kissme_is_the_difference_of_the_inverses_without_its_negative_part(vectors):
    covariances = pair_covariances(vectors, GROUPS)
    inverses = [np.linalg.inv(add_ridge(matrix)) for matrix in (covariances.within, covariances.between)]
    values, axes = np.linalg.eigh(inverses[0] - inverses[1])
    expected = sum(max(value, 0) * np.outer(axis, axis) for value, axis in zip(values, axes.T, strict=True))
    matrix = kissme_map(covariances)
    np.testing.assert_allclose(matrix @ matrix, expected, atol=1e-9)


def test_xqda_is_the_metric_in_the_subspace_of_large_generalized_eigenvalues():
    rng = np.random.default_rng(1)
    first, second = (a @ a.T for a in rng.normal(size=(2, 5, 5)))
    within, between = add_ridge(first), add_ridge(second)
    values, axes = eigh(between, within)
    subspace = axes[:, values > 1]
    assert 0 < subspace.shape[1] < 5
    inverses = [np.linalg.inv(subspace.T @ matrix @ subspace) for matrix in (within, between)]
    matrix = xqda_map(PairCovariances(first, second))
    np.testing.assert_allclose(matrix @ matrix, subspace @ (inverses[0] - inverses[1]) @ subspace.T, atol=1e-8)


def test_lda_keeps_the_directions_of_scikit_learn():
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(3), 8)
    vectors = rng.normal(size=(24, 4)) + 3 * rng.normal(size=(3, 4))[labels]
    matrix = lda_map(pair_covariances(vectors, labels), ridge=1e-9, kept=0.5)
    lda = LinearDiscriminantAnalysis(solver="eigen", n_components=2).fit(vectors, labels)
    scalings = np.linalg.qr(lda.scalings_[:, :2])[0]
    own = np.linalg.eigh(matrix)[1][:, -2:]
    np.testing.assert_allclose(own @ own.T, scalings @ scalings.T, atol=1e-5)
    np.testing.assert_allclose(
        lda_map(pair_covariances(vectors, labels), kept=1), wccn_map(pair_covariances(vectors, labels))
    )


def test_the_root_of_a_metric_has_no_negative_part():
    np.testing.assert_allclose(symmetric_root(np.diag([4.0, -1.0])), np.diag([2.0, 0.0]))


def test_maps_are_learned_and_applied_part_by_part(vectors):
    cameras = np.arange(len(GROUPS)) % 2
    parts = split_parts(vectors.astype(np.float32), 2)
    maps = learn_maps(parts, cameras, GROUPS, method="wccn")
    centered = center_cameras(parts, cameras)
    for camera in (0, 1):
        np.testing.assert_allclose(centered[cameras == camera].mean(axis=0), 0, atol=1e-12)
    changed = apply_maps(parts, maps)
    for part in (0, 1):
        matrix = wccn_map(pair_covariances(centered[:, part], GROUPS))
        expected = matrix @ parts[3, part]
        np.testing.assert_allclose(changed[3, part], expected / np.linalg.norm(expected))
    assert apply_maps(parts, None) is parts


def test_an_unknown_method_is_refused(vectors):
    with pytest.raises(DataError, match="method: got 'pca', expected one of wccn, kissme, xqda, lda"):
        learn_maps(split_parts(vectors, 2), np.zeros(12, int), GROUPS, method="pca")
