"""Camera-wise normalization. Oracle: scikit-free arithmetic, camera by camera, and vectors with a planted camera."""

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.evaluation.score import score
from passerby.ranking.camera_normalization import (
    MIN_IMAGES,
    PRIOR_IMAGES,
    CameraStatistics,
    normalize_cameras,
    standardize_cameras,
)
from passerby.types import Embeddings, Labels


def sides(generator, *, push=0.0, people=40, dtype=np.float32):
    """Each person once in each of two cameras as query and once as gallery; each camera pushes vectors its own way."""
    centers = generator.standard_normal((people, 16))
    away = push * generator.standard_normal((2, 16))
    made = []
    for _ in range(2):
        ids, cameras = np.repeat(np.arange(people), 2), np.tile([0, 1], people)
        vectors = centers[ids] + 0.3 * generator.standard_normal((2 * people, 16)) + away[cameras]
        made.append(
            Embeddings((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(dtype), ids + 1, cameras)
        )
    return made


def test_each_cameras_vectors_are_standardized_together_and_of_unit_length():
    query, gallery = sides(np.random.default_rng(0))
    found = normalize_cameras(query, gallery)
    for camera in (0, 1):
        both = np.concatenate([side.vectors[side.camera_ids == camera] for side in (query, gallery)]).astype(np.float64)
        expected = (both - both.mean(axis=0)) / both.std(axis=0)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        got = np.concatenate([side.vectors[side.camera_ids == camera] for side in found])
        np.testing.assert_allclose(got, expected, atol=1e-6)
    assert [side.vectors.dtype for side in found] == [np.float32, np.float32]
    np.testing.assert_array_equal(found[1].person_ids, gallery.person_ids)


def test_a_push_that_a_camera_gives_all_its_vectors_does_no_harm_any_more():
    query, gallery = sides(np.random.default_rng(1), push=3.0)
    plain, normalized = score(query, gallery).rank1, score(*normalize_cameras(query, gallery)).rank1
    assert plain < 0.7
    assert normalized > 0.95
    assert score(query, gallery, cameras=True).rank1 == normalized


def test_distances_that_are_made_already_cannot_be_normalized():
    query, gallery = sides(np.random.default_rng(1))
    labels = [Labels(side.person_ids, side.camera_ids) for side in (query, gallery)]
    made = (1 - query.vectors @ gallery.vectors.T).astype(np.float32)
    for given in ((query, gallery), labels):
        with pytest.raises(DataError, match="cameras: normalization needs vectors, got distances"):
            score(*given, distances=made, cameras=True)


def test_one_set_is_standardized_by_views_that_doubt_few_images():
    query, _ = sides(np.random.default_rng(5), push=2.0, people=30)
    found = standardize_cameras(query)
    own = {camera: query.vectors[query.camera_ids == camera].astype(np.float64) for camera in (0, 1)}
    everything = np.concatenate(list(own.values()))
    for camera, vectors in own.items():
        share = 30 / (30 + PRIOR_IMAGES)
        mean = share * vectors.mean(axis=0) + (1 - share) * everything.mean(axis=0)
        spread = np.sqrt(share * vectors.var(axis=0) + (1 - share) * everything.var(axis=0))
        expected = (vectors - mean) / spread
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(found.vectors[query.camera_ids == camera], expected, atol=1e-5)


def test_a_view_is_joined_of_others_as_if_their_vectors_were_one_cameras():
    query, gallery = sides(np.random.default_rng(4), push=1.0)
    views = [CameraStatistics.from_vectors(side.vectors) for side in (query, gallery)]
    joined = CameraStatistics.merge(views, [len(query), len(gallery)])
    whole = CameraStatistics.from_vectors(np.concatenate([query.vectors, gallery.vectors]))
    np.testing.assert_allclose(joined.mean, whole.mean, atol=1e-7)
    np.testing.assert_allclose(joined.deviation, whole.deviation, atol=1e-7)


def test_a_constant_dimension_stays_harmless():
    query, gallery = sides(np.random.default_rng(2))
    padded = [
        Embeddings(
            np.concatenate([side.vectors, np.ones((len(side), 1), np.float32)], axis=1),
            side.person_ids,
            side.camera_ids,
        )
        for side in (query, gallery)
    ]
    found, _ = normalize_cameras(*padded)
    assert np.isfinite(found.vectors).all()
    assert (np.abs(found.vectors[:, -1]) < 1e-6).all()


def test_cameras_that_say_too_little_are_named():
    query, gallery = sides(np.random.default_rng(3), people=MIN_IMAGES // 2 - 1)
    with pytest.raises(DataError, match="camera 0: 8 images, expected at least 10"):
        normalize_cameras(query, gallery)
    same = Embeddings(np.ones((20, 4), np.float32), np.arange(1, 21), np.zeros(20, int))
    with pytest.raises(DataError, match="camera 0: all 40 images have the same vector"):
        normalize_cameras(same, same)
