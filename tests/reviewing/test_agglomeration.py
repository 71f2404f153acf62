"""Agglomeration under links. Oracle: SciPy's average linkage, and a naive loop with links."""

import numpy as np
import pytest
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from passerby.reviewing.agglomeration import Merges, agglomerate, rate_joins
from reviewing.people_vectors import draw_people

NONE = np.empty((0, 2), np.int64)


def full_graph(count):
    return np.arange(count + 1) * (count - 1), np.concatenate([np.delete(np.arange(count), i) for i in range(count)])


def factors(vectors, offset):
    ones = np.ones((len(vectors), 1), np.float32)
    return np.hstack([vectors, np.float32(offset) * ones]), np.hstack([vectors, ones])


def partition(labels):
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_a_full_graph_without_links_gives_average_linkage(threshold):
    vectors, *_ = draw_people(12, 5, noise=0.9)
    merges, first = agglomerate(*factors(vectors, threshold - 1), full_graph(60), must=NONE, cannot=NONE)
    distances = np.clip(1 - vectors.astype(float) @ vectors.T.astype(float), 0, 2)
    np.fill_diagonal(distances, 0)
    tree = linkage(squareform(distances, checks=False), "average")
    assert partition(merges.roots) == partition(fcluster(tree, threshold, "distance")) == partition(first)


def test_links_hold_and_a_link_joins_what_its_crops_belong_to():
    vectors, _, _ = draw_people(4, 5, noise=0.2)
    must, cannot = np.array([[0, 5]]), np.array([[10, 12], [5, 15]])
    merges, first = agglomerate(*factors(vectors, -0.6), full_graph(20), must=must, cannot=cannot)
    assert len(partition(first)) > len(partition(merges.roots))
    groups = merges.roots
    assert len({*groups[:10].tolist()}) == 1  # both whole clusters, not the two crops
    assert groups[10] != groups[12]
    assert groups[0] != groups[15]


@pytest.mark.parametrize("seed", range(8))
def test_groups_never_violate_cannot_links_and_hold_all_must_links(seed):
    generator = np.random.default_rng(seed)
    vectors, *_ = draw_people(6, 6, noise=1.0, seed=seed)
    hidden = generator.integers(0, 5, 36)  # links that some grouping fulfills
    pairs = generator.integers(0, 36, (60, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    same = hidden[pairs[:, 0]] == hidden[pairs[:, 1]]
    merges, _ = agglomerate(*factors(vectors, -0.3), full_graph(36), must=pairs[same], cannot=pairs[~same])
    assert (merges.roots[pairs[same, 0]] == merges.roots[pairs[same, 1]]).all()
    assert (merges.roots[pairs[~same, 0]] != merges.roots[pairs[~same, 1]]).all()


def test_joins_are_a_tree_whose_leaves_are_the_groups():
    vectors, *_ = draw_people(5, 4, noise=0.5)
    merges, _ = agglomerate(*factors(vectors, -0.5), full_graph(20), must=np.array([[0, 19]]), cannot=NONE)
    leaves = {node: {node} for node in range(20)}
    for j, (a, b) in enumerate(zip(merges.left.tolist(), merges.right.tolist(), strict=True)):
        leaves[20 + j] = leaves.pop(a) | leaves.pop(b)
    assert {frozenset(group) for group in leaves.values()} == partition(merges.roots)
    assert np.isinf(merges.log_odds).sum() <= 1


def test_an_empty_set_has_no_groups():
    empty = np.empty((0, 3), np.float32)
    merges, first = agglomerate(empty, empty, (np.zeros(1, np.int64), NONE[:, 0]), must=NONE, cannot=NONE)
    assert len(merges.roots) == len(first) == len(merges.left) == 0


def test_joins_are_rated_by_other_factors_as_a_naive_mean_over_pairs():
    generator = np.random.default_rng(4)
    queries, keys = generator.standard_normal((2, 12, 5)).astype(np.float32)
    left, right = np.array([0, 3, 12, 13, 8]), np.array([1, 5, 7, 14, 9])  # 12 is the join of 0 and 1, and so on
    leaves = {node: [node] for node in range(12)}
    expected = []
    for number, (a, b) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        expected.append(np.mean([queries[i] @ keys[j] for i in leaves[a] for j in leaves[b]]))
        leaves[12 + number] = leaves[a] + leaves[b]
    merges = Merges(left, right, np.array([1.0, np.inf, 0.5, 0.2, 0.1]), np.zeros(12, np.int64))
    before = queries.copy()
    assert np.allclose(rate_joins(queries, keys, merges), expected, atol=1e-5)
    assert np.array_equal(queries, before)
