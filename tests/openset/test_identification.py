"""Identification. Oracles: the likelihood with loops; fractions of correct answers on synthetic identities."""

import math

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.openset.identification import Identification, _draw, _nearest_images, fit_identification
from passerby.types import Embeddings


def crowd(people, *, seed, noise=0.6, width=24):
    """Two images of each identity in each of two cameras; a random shift moves each image toward the mean of all."""
    generator = np.random.default_rng(seed)
    centers = generator.standard_normal((people, width))
    ids = np.repeat(np.arange(1, people + 1), 4)
    vectors = centers[ids - 1] + noise * generator.standard_normal((len(ids), width))
    vectors += generator.uniform(0, 4, (len(ids), 1)) * np.ones(width) / width**0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return Embeddings(vectors.astype(np.float32), ids, np.tile([0, 0, 1, 1], people))


def test_the_nearest_image_of_each_person_is_of_another_camera():
    images = crowd(7, seed=0)
    result = _nearest_images(images, images.person_ids - 1, 7)
    for i, vector in enumerate(images.vectors):
        for person in range(7):
            there = (images.person_ids == person + 1) & (images.camera_ids != images.camera_ids[i])
            assert result[i, person] == pytest.approx(1 - (images.vectors[there] @ vector).max(), abs=1e-5)


def test_drawn_galleries_have_at_most_half_of_the_identities_and_balanced_weights():
    images = crowd(40, seed=1)
    drawn = _draw(images, np.random.default_rng(0))
    assert [item.distances.shape[1] for item in drawn][:: len(drawn) - 1] == [1, 20]
    for item in drawn:
        assert item.weights[item.known == 1].sum() == pytest.approx(0.5)
        assert item.weights[item.known == 0].sum() == pytest.approx(0.5)
        assert np.isfinite(item.distances).all()
        right = item.known == 1
        assert (item.distances[right] == item.own[right, None]).any(axis=1).all()


def test_the_fit_has_the_highest_likelihood_of_a_grid():
    images = crowd(30, seed=2)
    line = fit_identification([images], seed=5)
    drawn = _draw(images, np.random.default_rng(5))

    def minus_log_likelihood(slope, offset):
        total = 0.0
        for item in drawn:
            for row, known, right, weight in zip(item.distances, item.known, item.own, item.weights, strict=True):
                r = [math.exp(offset - slope * d) / len(row) for d in row]
                answer = math.exp(offset - slope * right) / len(row) if known else 1.0
                total -= weight * math.log(answer / (1 + sum(r)))
        return total

    best = minus_log_likelihood(line.slope, line.offset)
    for slope in (0.5, 0.95, 1, 1.05, 2):
        for offset in (-2, -0.2, 0, 0.2, 2):
            assert minus_log_likelihood(line.slope * slope, line.offset + offset) >= best - 1e-6


def test_predicted_probabilities_match_fractions_on_other_identities():
    """Fitted to 300 identities, measured on 300 others in galleries of 60."""
    line = fit_identification([crowd(300, seed=3)])
    others = crowd(300, seed=4)
    own = others.person_ids - 1
    nearest = _nearest_images(others, own, 300)
    predicted, right, unknown = [], [], []
    for draw in range(5):
        enrolled = np.random.default_rng(draw).permutation(300)[:60]
        rows = np.concatenate([np.flatnonzero(np.isin(own, enrolled)), np.flatnonzero(~np.isin(own, enrolled))[:240]])
        ratios = np.exp(line.log_ratio(nearest[np.ix_(rows, enrolled)])) / 60
        best = ratios.argmax(axis=1)
        predicted += (ratios.max(axis=1) / (1 + ratios.sum(axis=1))).tolist()
        unknown += (1 / (1 + ratios.sum(axis=1))).tolist()
        right += (enrolled[best] == own[rows]).tolist()
    known = np.array([True] * 240 + [False] * 240 * 1).tolist() * 5
    assert np.mean(right) > 0.3
    assert np.mean(predicted) == pytest.approx(np.mean(right), abs=0.05)
    assert np.mean(unknown) == pytest.approx(1 - np.mean(known), abs=0.05)
    sure = np.array(predicted) > 0.8
    assert sure.sum() > 100
    assert np.mean(np.array(right)[sure]) == pytest.approx(np.mean(np.array(predicted)[sure]), abs=0.08)


def test_perfectly_separated_identities_have_a_finite_fit():
    vectors = np.repeat(np.eye(6, dtype=np.float32), 2, axis=0)
    images = Embeddings(vectors, np.repeat(np.arange(1, 7), 2), np.tile([0, 1], 6))
    line = fit_identification([images])
    assert np.isfinite([line.slope, line.offset]).all()
    assert line.log_ratio(0.0) > 0 > line.log_ratio(1.0)


def test_a_positive_slope_is_bounded_to_zero():
    """The correct identity is always the farthest, and some are in one camera only: the slope is 0."""
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((40, 8))
    vectors[1::2] = -vectors[::2]
    cameras = np.tile([0, 1], 20)
    cameras[:6] = 0
    line = fit_identification([Embeddings(vectors.astype(np.float32), np.repeat(np.arange(1, 21), 2), cameras)])
    assert line.slope == 0
    assert np.isfinite(line.offset)


def test_invalid_values_are_rejected():
    alone = Embeddings(np.eye(4, dtype=np.float32), np.arange(1, 5), np.zeros(4, int))
    with pytest.raises(DataError, match="identification: no identity has images of two cameras"):
        fit_identification([alone])
    with pytest.raises(DataError, match=r"identification.slope is -1.0, expected at least 0"):
        Identification(-1.0, 0.0)
    with pytest.raises(DataError, match=r"identification.offset is nan, expected a finite number"):
        Identification(1.0, math.nan)
