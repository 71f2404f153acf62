"""Query expansion. Oracle: a loop over queries."""

import numpy as np
import pytest

from passerby.ranking.expand import expand_queries
from passerby.types import Embeddings


def people(vectors, first=1):
    count = len(vectors)
    return Embeddings(np.asarray(vectors), np.arange(first, first + count), np.zeros(count, dtype=int))


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("alpha", [None, 0.0, 3.0])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_expansion_equals_a_loop_over_queries(alpha, dtype):
    """Oracle: each query alone, in float64: itself with weight 1, its nearest with cosine ** alpha."""
    generator = np.random.default_rng(0)
    query, gallery = (generator.standard_normal((count, 6)).astype(dtype) for count in (7, 30))
    result = expand_queries(people(query), people(gallery), top=4, alpha=alpha)
    a, b = unit(query.astype(float)), unit(gallery.astype(float))
    for q, vector in enumerate(a):
        cosines = b @ vector
        near = np.argsort(-cosines, kind="stable")[:4]
        weights = np.ones(4) if alpha is None else np.maximum(cosines[near], 0) ** alpha
        expected = unit(vector + weights @ b[near])
        np.testing.assert_allclose(
            result.vectors[q].astype(float), expected, atol=2e-3 if dtype == np.float16 else 1e-6
        )
    assert result.vectors.dtype == dtype
    assert result.person_ids.tolist() == list(range(1, 8))


def test_identities_and_cameras_have_no_effect():
    generator = np.random.default_rng(1)
    query, gallery = (generator.standard_normal((count, 6)).astype(np.float32) for count in (7, 30))
    expected = expand_queries(people(query), people(gallery))
    result = expand_queries(people(query), people(gallery, first=1000))
    np.testing.assert_array_equal(result.vectors, expected.vectors)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "top: got 0, expected 1 to 2"),
        ({"top": 3}, "top: got 3, expected 1 to 2, the size of the gallery"),
        ({"top": 1, "alpha": -1}, "alpha: got -1, expected a finite number of at least 0"),
        ({"top": 2}, "query: row 0 and its nearest items sum to zero"),
    ],
)
def test_invalid_options_are_rejected(options, message):
    query = people(np.array([[1.0, 0.0]]))
    gallery = people(np.array([[-0.5, np.sqrt(0.75)], [-0.5, -np.sqrt(0.75)]]))
    with pytest.raises(ValueError, match=message):
        expand_queries(query, gallery, **options)
