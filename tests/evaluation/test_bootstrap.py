"""Bootstrap intervals. Oracles: binomial intervals, and simulation."""

import numpy as np
import pytest

from passerby.evaluation.bootstrap import bootstrap_intervals


def intervals(values, person_ids, *, seed=0, replicates=2000):
    return bootstrap_intervals(
        np.asarray(values, dtype=float),
        np.asarray(person_ids),
        replicates=replicates,
        generator=np.random.default_rng(seed),
    )


def test_the_interval_of_perfect_results_has_no_width():
    assert intervals(np.ones((30, 2)), np.arange(30) // 3).tolist() == [[1, 1], [1, 1]]


def test_one_identity_has_no_width():
    assert intervals([[0.0], [1.0]], [4, 4]).tolist() == [[0.5, 0.5]]


def test_the_interval_of_independent_queries_is_binomial():
    """100 identities of one query, half of them correct: mean 0.5, standard deviation 0.05: 0.5 +- 1.96 x 0.05."""
    low, high = intervals(np.arange(100)[:, None] % 2, np.arange(100))[0]
    assert low == pytest.approx(0.402, abs=0.015)
    assert high == pytest.approx(0.598, abs=0.015)


def test_queries_of_one_identity_are_resampled_together():
    """100 identities with 9 equal queries each have the width of 100 queries; 900 identities have a third of it."""
    values = np.repeat(np.arange(100) % 2, 9)[:, None]
    together = np.ptp(intervals(values, np.repeat(np.arange(100), 9)))
    apart = np.ptp(intervals(values, np.arange(900)))
    assert together == pytest.approx(0.196, abs=0.02)
    assert apart == pytest.approx(0.196 / 3, abs=0.01)


def test_identities_are_weighted_by_their_queries():
    """Two identities, 3 correct queries and 1 wrong: a sample is (2, 0), (1, 1) or (0, 2): means 1, 3/4 or 0."""
    low, high = intervals([[1], [1], [1], [0]], [1, 1, 1, 2])[0]
    assert (low, high) == (0, 1)


def test_the_interval_covers_the_true_mean_19_times_of_20():
    """Oracle: 300 samples of 80 identities from a known distribution (mean 0.5, two correlated queries each)."""
    generator = np.random.default_rng(3)
    covered = 0
    for trial in range(300):
        skill = np.repeat(generator.random(80), 2)
        low, high = intervals(skill[:, None], np.arange(160) // 2, seed=trial, replicates=300)[0]
        covered += low <= 0.5 <= high
    assert 0.90 <= covered / 300 <= 0.98


def test_the_seed_determines_the_interval():
    values = np.random.default_rng(0).random((40, 1))
    assert (intervals(values, np.arange(40), seed=1) == intervals(values, np.arange(40), seed=1)).all()
    assert (intervals(values, np.arange(40), seed=1) != intervals(values, np.arange(40), seed=2)).any()


def test_many_identities_are_resampled_in_chunks():
    low, high = intervals(np.full((5000, 1), 0.25), np.arange(5000), replicates=1000)[0]
    assert (low, high) == (0.25, 0.25)
