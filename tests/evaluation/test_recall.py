"""Precision at recall. Oracle: the definition, level by level, on a sorted list."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.errors import DataError
from passerby.evaluation.recall import LEVELS, precision_at_recall
from passerby.types import Labels


def by_definition(query, gallery, distances):
    curves = []
    for person, camera, row in zip(query.person_ids, query.camera_ids, distances, strict=True):
        own = (gallery.person_ids == person) & (gallery.camera_ids == camera)
        order = [g for g in np.argsort(row, kind="stable") if not own[g] and row[g] < np.inf]
        right = np.array([gallery.person_ids[g] == person for g in order], dtype=bool)
        if right.any():
            result, ranks = np.cumsum(right), np.arange(1, len(right) + 1)
            recall, precision = result / right.sum(), result / ranks
            curves.append([precision[recall >= level - 1e-9].max() for level in LEVELS])
    return np.mean(curves, axis=0) if curves else None


@given(q=st.integers(1, 4), g=st.integers(1, 14), seed=st.integers(0, 10_000))
def test_the_curve_equals_the_mean_of_the_definition(q, g, seed):
    generator = np.random.default_rng(seed)
    distances = (generator.integers(0, 8, (q, g)) / 4).astype(np.float32)
    distances[generator.random((q, g)) < 0.1] = np.inf
    query = Labels(generator.integers(1, 3, q), generator.integers(0, 2, q))
    gallery = Labels(generator.integers(0, 3, g), generator.integers(0, 3, g))
    expected = by_definition(query, gallery, distances)
    if expected is None:
        with pytest.raises(DataError, match="no precision"):
            precision_at_recall(query, gallery, distances=distances)
    else:
        result = precision_at_recall(query, gallery, distances=distances)
        np.testing.assert_allclose(result, expected)
        assert (np.diff(result) <= 1e-12).all()


def test_matches_at_ranks_1_and_3():
    query, gallery = Labels([1], [0]), Labels([1, 2, 1], [1, 1, 1])
    result = precision_at_recall(query, gallery, distances=np.array([[0.1, 0.2, 0.3]], dtype=np.float32))
    assert result[0] == result[50] == 1
    assert result[51] == result[100] == pytest.approx(2 / 3)
