"""Camera-wise normalization. Oracles: NumPy arithmetic per camera; vectors with a known shift."""

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
    """Each identity in each of two cameras, as query and as gallery; each camera shifts its vectors."""
    centers = generator.standard_normal((people, 16))
    away = push * generator.standard_normal((2, 16))
    parts = []
    for _ in range(2):
        ids, cameras = np.repeat(np.arange(people), 2), np.tile([0, 1], people)
        vectors = centers[ids] + 0.3 * generator.standard_normal((2 * people, 16)) + away[cameras]
        parts.append(
            Embeddings((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(dtype), ids + 1, cameras)
        )
    return parts


def test_each_cameras_vectors_are_standardized_together_and_of_unit_length():
    query, gallery = sides(np.random.default_rng(0))
    result = normalize_cameras(query, gallery)
    for camera in (0, 1):
        both = np.concatenate([side.vectors[side.camera_ids == camera] for side in (query, gallery)]).astype(np.float64)
        expected = (both - both.mean(axis=0)) / both.std(axis=0)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        got = np.concatenate([side.vectors[side.camera_ids == camera] for side in result])
        np.testing.assert_allclose(got, expected, atol=1e-6)
    assert [side.vectors.dtype for side in result] == [np.float32, np.float32]
    np.testing.assert_array_equal(result[1].person_ids, gallery.person_ids)


def test_a_shift_of_all_vectors_of_a_camera_is_removed():
    query, gallery = sides(np.random.default_rng(1), push=3.0)
    plain, normalized = score(query, gallery).rank1, score(*normalize_cameras(query, gallery)).rank1
    assert plain < 0.7
    assert normalized > 0.95
    assert score(query, gallery, cameras=True).rank1 == normalized


def test_given_distances_cannot_be_normalized():
    query, gallery = sides(np.random.default_rng(1))
    labels = [Labels(side.person_ids, side.camera_ids) for side in (query, gallery)]
    parts = (1 - query.vectors @ gallery.vectors.T).astype(np.float32)
    for given in ((query, gallery), labels):
        with pytest.raises(DataError, match="cameras: normalization needs vectors, got distances"):
            score(*given, distances=parts, cameras=True)


def test_one_set_is_standardized_by_shrunk_statistics():
    query, _ = sides(np.random.default_rng(5), push=2.0, people=30)
    result = standardize_cameras(query)
    own = {camera: query.vectors[query.camera_ids == camera].astype(np.float64) for camera in (0, 1)}
    everything = np.concatenate(list(own.values()))
    for camera, vectors in own.items():
        share = 30 / (30 + PRIOR_IMAGES)
        mean = share * vectors.mean(axis=0) + (1 - share) * everything.mean(axis=0)
        spread = np.sqrt(share * vectors.var(axis=0) + (1 - share) * everything.var(axis=0))
        expected = (vectors - mean) / spread
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(result.vectors[query.camera_ids == camera], expected, atol=1e-5)


def test_merged_statistics_equal_those_of_all_vectors():
    query, gallery = sides(np.random.default_rng(4), push=1.0)
    views = [CameraStatistics.from_vectors(side.vectors) for side in (query, gallery)]
    joined = CameraStatistics.merge(views, [len(query), len(gallery)])
    full_matrix = CameraStatistics.from_vectors(np.concatenate([query.vectors, gallery.vectors]))
    np.testing.assert_allclose(joined.mean, full_matrix.mean, atol=1e-7)
    np.testing.assert_allclose(joined.deviation, full_matrix.deviation, atol=1e-7)


def test_a_constant_dimension_becomes_zero():
    query, gallery = sides(np.random.default_rng(2))
    padded = [
        Embeddings(
            np.concatenate([side.vectors, np.ones((len(side), 1), np.float32)], axis=1),
            side.person_ids,
            side.camera_ids,
        )
        for side in (query, gallery)
    ]
    result, _ = normalize_cameras(*padded)
    assert np.isfinite(result.vectors).all()
    assert (np.abs(result.vectors[:, -1]) < 1e-6).all()


def test_cameras_with_too_few_or_equal_images_are_rejected():
    query, gallery = sides(np.random.default_rng(3), people=MIN_IMAGES // 2 - 1)
    with pytest.raises(DataError, match="camera 0: 8 images, expected at least 10"):
        normalize_cameras(query, gallery)
    same = Embeddings(np.ones((20, 4), np.float32), np.arange(1, 21), np.zeros(20, int))
    with pytest.raises(DataError, match="camera 0: all 40 images have the same vector"):
        normalize_cameras(same, same)
