"""Rank-1 by camera pair. Oracle: a loop over queries and cameras, with a stable sort."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from passerby.evaluation.camera_pairs import score_camera_pairs
from passerby.types import Labels


def looped(query, gallery, distances):
    cameras, theirs = np.unique(query.camera_ids), np.unique(gallery.camera_ids)
    valid, result = np.zeros((2, len(cameras), len(theirs)), dtype=int)
    for q, row in enumerate(distances):
        a = list(cameras).index(query.camera_ids[q])
        for b, camera in enumerate(theirs):
            there = np.flatnonzero((gallery.camera_ids == camera) & (row < np.inf))
            right = gallery.person_ids[there] == query.person_ids[q]
            if camera != query.camera_ids[q] and right.any():
                valid[a, b] += 1
                result[a, b] += right[np.argsort(row[there], kind="stable")[0]]
    return cameras, theirs, valid, result


@given(q=st.integers(1, 6), g=st.integers(1, 15), seed=st.integers(0, 10_000))
def test_rank1_equals_a_loop_over_queries_and_cameras(q, g, seed):
    generator = np.random.default_rng(seed)
    distances = (generator.integers(0, 6, (q, g)) / 4).astype(np.float32)  # with ties
    distances[generator.random((q, g)) < 0.1] = np.inf
    query = Labels(generator.integers(1, 4, q), 3 * generator.integers(0, 3, q))  # cameras that the gallery lacks
    gallery = Labels(generator.integers(0, 4, g), generator.integers(0, 4, g))
    cameras, theirs, valid, hits = looped(query, gallery, distances)
    result = score_camera_pairs(query, gallery, distances=distances)
    np.testing.assert_array_equal(result.query_cameras, cameras)
    np.testing.assert_array_equal(result.gallery_cameras, theirs)
    np.testing.assert_array_equal(result.valid, valid)
    np.testing.assert_array_equal(np.isnan(result.rank1), valid == 0)
    np.testing.assert_allclose(result.rank1[valid > 0] * valid[valid > 0], hits[valid > 0])


def test_the_busiest_cameras_keep_their_order():
    people = np.array([1, 1, 1, 2, 2, 2, 2])
    query = Labels(people, np.array([0, 1, 2, 1, 2, 2, 2]))
    gallery = Labels(np.array([1, 2, 1, 2]), np.array([5, 5, 6, 6]))
    result = score_camera_pairs(query, gallery, distances=np.zeros((7, 4), dtype=np.float32)).busiest(2)
    assert result.query_cameras.tolist() == [1, 2]
    assert result.valid.tolist() == [[2, 2], [4, 4]]
    assert result.rank1.tolist() == [[0.5, 0.5], [0.25, 0.25]]
