"""Nearest image of every identity. Oracle: loops over all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.openset.nearest_identities import find_nearest_identities
from passerby.ranking.distance import distance_blocks
from passerby.types import Embeddings, Labels


@st.composite
def labeled_distances(draw):
    """Small whole numbers (many ties), few identities (0 is a distractor) and cameras."""
    q, g = draw(st.integers(1, 5)), draw(st.integers(1, 14))
    numbers = draw(st.lists(st.integers(0, 3), min_size=q * g, max_size=q * g))
    sides = []
    for count, first in ((q, 1), (g, 0)):
        people = draw(st.lists(st.integers(first, 4), min_size=count, max_size=count))
        cameras = draw(st.lists(st.integers(0, 1), min_size=count, max_size=count))
        sides.append(Labels(np.array(people), np.array(cameras)))
    return np.array(numbers, dtype=np.float32).reshape(q, g), *sides


@settings(max_examples=500)
@given(labeled_distances())
def test_nearest_images_and_order_equal_a_loop(case):
    distances, query, gallery = case
    result = find_nearest_identities(query, gallery, distances=distances)
    np.testing.assert_array_equal(result.gallery_ids, sorted(set(gallery.person_ids.tolist())))
    for q, (person, camera) in enumerate(zip(query.person_ids, query.camera_ids, strict=True)):
        listed = sorted(
            (float(distances[q, g]), g, int(gallery.person_ids[g]))
            for g in range(len(gallery))
            if not (gallery.person_ids[g] == person and gallery.camera_ids[g] == camera)
        )
        first = {who: item for item in reversed(listed) for who in [item[2]]}
        own = first.get(int(person), (np.inf, -1))
        assert result.own[q] == own[0]
        for i, who in enumerate(result.gallery_ids.tolist()):
            there = first.get(who, (np.inf, -1))
            assert result.distances[q, i] == there[0]
            assert result.ahead[q, i] == (who != person and there[0] < np.inf and there[:2] < own[:2])


def test_blocks_and_vectors_give_the_same_result():
    generator = np.random.default_rng(0)
    query, gallery = (
        Embeddings(
            generator.standard_normal((n, 4)).astype(np.float32),
            generator.integers(first, 6, n),
            generator.integers(0, 2, n),
        )
        for n, first in ((9, 1), (30, 0))
    )
    one = find_nearest_identities(query, gallery)
    other = find_nearest_identities(query, gallery, distances=distance_blocks(query.vectors, gallery.vectors, block=2))
    for name, value in vars(one).items():
        np.testing.assert_array_equal(getattr(other, name), value)
    assert one.is_identity.tolist() == [False] + [True] * 5
    assert one.images.sum() == 30


def test_double_precision_is_kept():
    """Two distances that are equal in float32."""
    near = np.array([[1.0, 1.0 + 1e-12]])
    labels = Labels(np.array([1]), np.array([0])), Labels(np.array([1, 2]), np.array([1, 1]))
    result = find_nearest_identities(*labels, distances=near[:, ::-1].copy())
    assert result.distances.dtype == np.float64
    assert result.ahead.tolist() == [[False, True]]


def test_invalid_arguments_are_rejected():
    some, none = Labels(np.array([1]), np.array([0])), Labels(np.empty(0, int), np.empty(0, int))
    with pytest.raises(ValueError, match="query: got no image"):
        find_nearest_identities(none, some, distances=np.empty((0, 1)))
    with pytest.raises(ValueError, match="gallery: got no image"):
        find_nearest_identities(some, none, distances=np.empty((1, 0)))
    with pytest.raises(ValueError, match=r"query.person_ids: 1 of 1 are 0, which marks distractors"):
        find_nearest_identities(Labels(np.array([0]), np.array([0])), some, distances=np.ones((1, 1)))
