"""Rank lists. Oracle: a full stable sort."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.evaluation.score import score
from passerby.ranking.blocks import iter_distances
from passerby.ranking.rank import rank, record_ranking
from passerby.types import Embeddings, Labels


def people(vectors, person_ids, camera_ids):
    return Embeddings(
        np.asarray(vectors, dtype=np.float32).reshape(len(person_ids), -1),
        np.asarray(person_ids),
        np.asarray(camera_ids),
    )


@st.composite
def embeddings(draw, largest):
    count = draw(st.integers(1, largest))
    numbers = draw(st.lists(st.integers(-2, 2), min_size=2 * count, max_size=2 * count))
    ids = [draw(st.lists(st.integers(0, high), min_size=count, max_size=count)) for high in (3, 2)]
    return people(np.array(numbers).reshape(count, 2), *ids)


@settings(max_examples=200)
@given(query=embeddings(4), gallery=embeddings(14), top=st.integers(1, 20), drop=st.booleans())
def test_lists_equal_those_of_a_full_stable_sort(query, gallery, top, drop):
    """Oracle: a loop over queries that sorts all items by exact integer squared distance, stably."""
    result = rank(query, gallery, top=top, metric="euclidean", drop_same_camera=drop)
    assert result.indices.shape == (len(query), min(top, len(gallery)))
    for q in range(len(query)):
        person = query.person_ids[q]
        same = (gallery.person_ids == person) & (person != 0)
        kept = ~(same & (gallery.camera_ids == query.camera_ids[q])) if drop else np.ones(len(gallery), bool)
        squared = ((gallery.vectors - query.vectors[q]) ** 2).sum(axis=1)
        order = [g for g in np.argsort(squared, kind="stable") if kept[g]][:top]
        padding = result.indices.shape[1] - len(order)
        assert result.indices[q].tolist() == order + [-1] * padding
        assert result.matches[q].tolist() == [bool(same[g]) for g in order] + [False] * padding
        np.testing.assert_allclose(result.distances[q][: len(order)], np.sqrt(squared[order]), rtol=1e-6)
        assert np.isnan(result.distances[q][len(order) :]).all()


def test_top_must_be_positive():
    one = people([[1.0]], [1], [0])
    with pytest.raises(ValueError, match="top: got 0"):
        rank(one, one, top=0)


def test_recorded_blocks_give_the_same_scores():
    """Oracle: the lists of `rank` and the metrics of `score`, from separate passes."""
    generator = np.random.default_rng(0)
    query, gallery = (
        people(generator.standard_normal((n, 3)), generator.integers(1, 6, n), generator.integers(0, 3, n))
        for n in (20, 90)
    )
    ranking, blocks = record_ranking(query, gallery, iter_distances(query, gallery), top=7)
    result, expected = score(query, gallery, distances=blocks), score(query, gallery)
    np.testing.assert_array_equal(result.average_precision, expected.average_precision)
    np.testing.assert_array_equal(ranking.indices, rank(query, gallery, top=7).indices)
    assert (ranking.matches[:, 0] == (expected.first_match == 1)).all()


def test_distances_that_are_equal_in_float32_keep_their_float64_order():
    query, gallery = Labels([1], [0]), Labels([1, 2, 3], [1, 1, 1])
    result = rank(query, gallery, distances=np.array([[1 + 2e-12, 1 + 1e-12, 1.0]]), top=2)
    assert result.indices.tolist() == [[2, 1]]
