"""Averaging the queries of one person in one camera."""

import numpy as np
import pytest

from passerby.evaluation.multi_query import average_queries
from passerby.types import Embeddings


def people(vectors, person_ids, camera_ids):
    return Embeddings(np.asarray(vectors, dtype=np.float32), np.asarray(person_ids), np.asarray(camera_ids))


QUERY = people([[1, 0], [0, 1], [0, 2], [3, 4]], [5, 5, 5, 6], [0, 1, 1, 0])


def test_the_query_set_averages_over_itself():
    mean = average_queries(QUERY, metric="euclidean")
    np.testing.assert_allclose(mean.vectors, [[1, 0], [0, 1.5], [0, 1.5], [3, 4]])
    np.testing.assert_array_equal(mean.person_ids, QUERY.person_ids)
    np.testing.assert_array_equal(mean.camera_ids, QUERY.camera_ids)


def test_given_images_replace_the_query_and_others_are_left_alone():
    """Camera 2 of person 5 is no query's: it must not be averaged into anything."""
    images = people([[0, 4], [0, 8], [2, 0], [9, 9], [1, 1]], [5, 5, 5, 5, 6], [0, 0, 1, 2, 0])
    mean = average_queries(QUERY, images, metric="euclidean")
    np.testing.assert_allclose(mean.vectors, [[0, 6], [2, 0], [2, 0], [1, 1]])


def test_under_cosine_each_image_has_one_vote():
    images = people([[10, 0], [0, 0.1], [1, 0], [1, 0]], [5, 5, 5, 6], [0, 0, 1, 0])
    np.testing.assert_allclose(average_queries(QUERY, images).vectors[0], [0.5, 0.5], rtol=1e-6)


def test_a_query_without_images_is_named():
    with pytest.raises(ValueError, match=r"multi_query: no image for 3 of 4 queries, the first is query 1 \(person 5"):
        average_queries(QUERY, people([[1, 0]], [5], [0]))


def test_another_width_and_an_all_zero_image_are_refused():
    with pytest.raises(ValueError, match="multi_query: vectors are 1 wide, query's are 2"):
        average_queries(QUERY, people([[1]], [5], [0]))
    images = people([[1, 0], [0, 0], [1, 0]], [5, 5, 6], [0, 1, 0])
    with pytest.raises(ValueError, match="multi_query: 1 vectors are all zero, the first is row 1"):
        average_queries(QUERY, images)
