"""Single-gallery-shot. Oracle: the exact expectation."""

import numpy as np

from passerby.evaluation.score import score
from passerby.evaluation.single_shot import SingleShotGallery
from passerby.types import Embeddings


def test_the_mean_over_draws_equals_the_expectation():
    """Oracle: each other identity ranks ahead with the fraction of its images that do, independently; the rank's
    distribution is the product of those polynomials, averaged over the matches that may be drawn.
    20,000 draws: the deviation of a share is at most 0.5 / sqrt(20,000) = 0.0035; tolerance 4 of them.
    """
    generator = np.random.default_rng(0)
    person_ids = generator.integers(0, 6, size=40)
    distances = generator.integers(0, 12, size=40).astype(np.float32)  # with ties
    matches = np.flatnonzero(person_ids == 3)[1:]
    expected = np.zeros(6)
    for match in matches:
        polynomial = np.ones(1)
        for person in (0, 1, 2, 4, 5):
            theirs = np.flatnonzero(person_ids == person)
            before = (distances[theirs] < distances[match]) | (
                (distances[theirs] == distances[match]) & (theirs < match)
            )
            polynomial = np.convolve(polynomial, [1 - before.mean(), before.mean()])
        expected += polynomial / len(matches)
    ranks = SingleShotGallery.from_ids(person_ids).draw_ranks(
        distances, matches, person_id=3, repeats=20_000, generator=np.random.default_rng(1)
    )
    np.testing.assert_allclose(np.bincount(ranks, minlength=7)[1:] / 20_000, expected, atol=0.014)


def test_one_image_per_identity_gives_the_market_protocol():
    """With one gallery image of each identity every draw is the whole gallery."""
    generator = np.random.default_rng(2)
    query = Embeddings(generator.standard_normal((9, 4)), np.arange(1, 10), np.zeros(9, dtype=int))
    gallery = Embeddings(generator.standard_normal((12, 4)), np.arange(1, 13), np.ones(12, dtype=int))
    shot, market = score(query, gallery, protocol="single-gallery-shot"), score(query, gallery)
    np.testing.assert_array_equal(shot.cmc, market.cmc)
    assert shot.mAP == market.mAP


def test_own_camera_is_never_drawn():
    """The nearest item is in the query's own camera; the only other match ranks behind the other identity."""
    query = Embeddings(np.array([[1.0, 0.0]]), np.array([1]), np.array([0]))
    gallery = Embeddings(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.array([1, 1, 2]), np.array([0, 1, 1]))
    assert score(query, gallery, protocol="single-gallery-shot", repeats=50).cmc.tolist() == [0, 1]


def test_the_seed_determines_the_draws():
    generator = np.random.default_rng(4)
    one, other = (
        Embeddings(generator.standard_normal((60, 3)), np.arange(60) % 12 + 1, np.full(60, camera)) for camera in (0, 1)
    )
    first, again, different = (score(one, other, protocol="single-gallery-shot", seed=seed).cmc for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert (first != different).any()
