"""Average of the queries of one identity in one camera. Oracle: values worked by hand."""

import numpy as np
import pytest

from passerby.evaluation.multi_query import average_queries
from passerby.types import Embeddings


def people(vectors, person_ids, camera_ids):
    return Embeddings(np.asarray(vectors, dtype=np.float32), np.asarray(person_ids), np.asarray(camera_ids))


QUERY = people([[1, 0], [0, 1], [0, 2], [3, 4]], [5, 5, 5, 6], [0, 1, 1, 0])


def test_queries_are_averaged_over_the_query_set():
    mean = average_queries(QUERY, metric="euclidean")
    np.testing.assert_allclose(mean.vectors, [[1, 0], [0, 1.5], [0, 1.5], [3, 4]])
    np.testing.assert_array_equal(mean.person_ids, QUERY.person_ids)
    np.testing.assert_array_equal(mean.camera_ids, QUERY.camera_ids)


def test_given_images_replace_the_query_and_other_images_have_no_effect():
    """No query has identity 5 in camera 2: the image must not enter any mean."""
    images = people([[0, 4], [0, 8], [2, 0], [9, 9], [1, 1]], [5, 5, 5, 5, 6], [0, 0, 1, 2, 0])
    mean = average_queries(QUERY, images, metric="euclidean")
    np.testing.assert_allclose(mean.vectors, [[0, 6], [2, 0], [2, 0], [1, 1]])


def test_under_cosine_all_images_have_the_same_weight():
    images = people([[10, 0], [0, 0.1], [1, 0], [1, 0]], [5, 5, 5, 6], [0, 0, 1, 0])
    np.testing.assert_allclose(average_queries(QUERY, images).vectors[0], [0.5, 0.5], rtol=1e-6)


def test_a_query_without_images_is_rejected():
    with pytest.raises(ValueError, match=r"multi_query: no image for 3 of 4 queries, the first is query 1 \(person 5"):
        average_queries(QUERY, people([[1, 0]], [5], [0]))


def test_a_different_width_and_an_all_zero_image_are_rejected():
    with pytest.raises(ValueError, match="multi_query: vectors are 1 wide, query's are 2"):
        average_queries(QUERY, people([[1]], [5], [0]))
    images = people([[1, 0], [0, 0], [1, 0]], [5, 5, 6], [0, 1, 0])
    with pytest.raises(ValueError, match="multi_query: 1 vector of zeros only, the first is row 1"):
        average_queries(QUERY, images)
