"""Calibration. Oracles: the distributions of the pairs, a grid search, pooling by hand."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from passerby.evaluation.pair_histogram import PairHistogram
from passerby.openset.calibration import (
    Calibration,
    FittedOn,
)
from passerby.openset.fitting import fit_calibration, fit_logistic_line
from passerby.openset.identification import Identification
from passerby.openset.reliability import measure_reliability

FACTS = FittedOn(data="drawn", identities=10, images=40, same=3, different=5, trained_on=False)
METHODS = ["logistic", "isotonic"]


def normal_pairs(same=0.6, different=1.0, deviation=0.15, count=20_000, seed=0):
    """Two normal distributions: the log ratio is linear, decreasing by (1.0 - 0.6) / 0.15^2 per unit of distance."""
    generator = np.random.default_rng(seed)
    values = [np.clip(generator.normal(mean, deviation, count), 0, 2) for mean in (same, different)]
    return PairHistogram(0.0, 2.0, *(np.histogram(item, bins=2048, range=(0, 2))[0] for item in values))


@pytest.mark.parametrize("method", METHODS)
def test_the_likelihood_ratio_of_known_distributions_is_estimated(method):
    result = fit_calibration(normal_pairs(), FACTS, method=method)
    at = np.array([0.6, 0.7, 0.8, 0.9, 1.0])
    np.testing.assert_allclose(result.log_ratio(at), (0.8 - at) * 0.4 / 0.15**2, atol=0.4)
    assert result.probability(0.8) == pytest.approx(0.5, abs=0.03)


def test_a_prior_shifts_the_log_odds():
    """Bayes' rule by hand: odds = ratio x prior odds."""
    result = Calibration("logistic", "cosine", [0.0, 1.0], [2.0, -2.0], FACTS)
    ratio = np.exp(result.log_ratio(0.25))
    assert ratio == pytest.approx(np.e)
    for prior in (0.001, 0.5, 0.9):
        odds = ratio * prior / (1 - prior)
        assert result.probability(0.25, prior=prior) == pytest.approx(odds / (1 + odds))
    np.testing.assert_allclose(result.probability([[-5.0, 9.0, np.inf]]), [[expit(2), expit(-2), 0]])


@settings(max_examples=100)
@given(
    same=st.lists(st.integers(0, 5), min_size=6, max_size=6).filter(any),
    different=st.lists(st.integers(0, 5), min_size=6, max_size=6).filter(any),
    method=st.sampled_from(METHODS),
)
def test_probability_does_not_increase_with_distance_and_is_never_0_or_1(same, different, method):
    pairs = PairHistogram(0.0, 1.0, np.array(same), np.array(different))
    result = fit_calibration(pairs, FACTS, method=method).probability(np.linspace(-1, 2, 50))
    assert (np.diff(result) <= 1e-12).all()
    assert (result > 0).all()
    assert (result < 1).all()


def test_isotonic_steps_equal_pooling_by_hand():
    """Same 3, 0, 1 and different 0, 2, 4, and one more of each at both ends: 4/6, 0/6, 2/6 and 1/8, 2/8, 5/8.

    The middle is less probable than the last: pooled, 2/6 to 7/8 at their common center (2/8 x 1.5 + (2/6 + 5/8) x 2.5)
    over 2/6 + 7/8.
    """
    result = fit_calibration(
        PairHistogram(0.0, 3.0, np.array([3, 0, 1]), np.array([0, 2, 4])), FACTS, method="isotonic"
    )
    center = (2 / 8 * 1.5 + (2 / 6 + 5 / 8) * 2.5) / (2 / 6 + 7 / 8)
    np.testing.assert_allclose(result.distances, [0.5, center])
    np.testing.assert_allclose(result.log_ratios, np.log([(4 / 6) / (1 / 8), (2 / 6) / (7 / 8)]))


def test_the_logistic_line_is_the_best_of_a_grid():
    pairs = normal_pairs(count=500)
    same, different = pairs.same.astype(float), pairs.different.astype(float)
    offset, slope = fit_logistic_line(pairs.centers, same, different)

    def loss(a, b):
        p = expit(a + b * pairs.centers)
        sure = 501 / 502
        return -(
            same @ (sure * np.log(p) + (1 - sure) * np.log1p(-p))
            + different @ ((1 - sure) * np.log(p) + sure * np.log1p(-p))
        )

    best = loss(offset, slope)
    for a in (-0.05, 0, 0.05):
        for b in (-0.05, 0, 0.05):
            assert best <= loss(offset + a, slope + b) + 1e-9


def test_pairs_without_overlap_have_a_finite_line():
    pairs = PairHistogram(0.0, 1.0, np.array([50, 0, 0, 0]), np.array([0, 0, 0, 50]))
    result = fit_calibration(pairs, FACTS, method="logistic")
    assert result.probability(0.125) == pytest.approx(51 / 52, abs=1e-4)  # the target of Platt
    assert result.probability(0.875) == pytest.approx(1 / 52, abs=1e-4)


def test_a_positive_slope_is_bounded_to_zero():
    pairs = PairHistogram(0.0, 1.0, np.array([1, 9]), np.array([9, 1]))
    for method in METHODS:
        np.testing.assert_allclose(fit_calibration(pairs, FACTS, method=method).probability([0.2, 0.8]), 0.5, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_reading_returns_what_was_written(method):
    result = fit_calibration(normal_pairs(count=300), FACTS, method=method)
    back = Calibration.from_dict(json.loads(json.dumps(result.to_dict(), allow_nan=False)))
    at = np.linspace(0, 2, 30)
    np.testing.assert_array_equal(back.log_ratio(at), result.log_ratio(at))
    assert (back.method, back.metric, back.fitted_on, back.cameras) == (method, "cosine", FACTS, None)
    line = Identification(12.0, 3.0)
    both = dataclasses.replace(
        result, identification=line, cameras=fit_calibration(normal_pairs(count=200), FACTS, method=method)
    )
    back = Calibration.from_dict(json.loads(json.dumps(both.to_dict())))
    np.testing.assert_array_equal(back.log_ratio(at), result.log_ratio(at))
    assert back.identification == line
    np.testing.assert_array_equal(back.cameras.log_ratio(at), both.cameras.log_ratio(at))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "format 2, this version reads 1"),
        ({"method": "magic"}, "method is 'magic', expected one of logistic, isotonic"),
        ({"metric": "manhattan"}, "metric is 'manhattan', expected one of cosine"),
        ({"distances": [1.0, 0.5]}, "expected ascending distances"),
        ({"log_ratios": [0.0, 1.0]}, "log_ratios that do not increase"),
        ({"distances": [0.0]}, "1 distance and 2 log_ratios"),
        ({"distances": []}, r"distances has shape \(0,\)"),
        ({"log_ratios": [1.0, None]}, "log_ratios has shape|log_ratios cannot be read"),
        ({"distances": "near"}, "distances cannot be read"),
        ({"identification": {"slope": 1.0}}, "identification lacks offset"),
        ({"identification": {"slope": "steep", "offset": 1.0}}, "identification.slope is 'steep', expected a finite"),
        ({"cameras": {"format": 1}}, "file lacks method"),
        ({"fitted_on": None}, "fitted_on lacks data, identities"),
        ({"fitted_on": {"data": "x"}}, "fitted_on lacks identities"),
        ({"fitted_on": {**vars(FACTS), "images": "many"}}, "fitted_on.images is 'many', expected int"),
        ({"fitted_on": {**vars(FACTS), "trained_on": 1}}, "fitted_on.trained_on is 1, expected bool"),
    ],
)
def test_an_invalid_entry_is_named(change, message):
    tree = Calibration("logistic", "cosine", [0.0, 1.0], [2.0, -2.0], FACTS).to_dict()
    with pytest.raises(ValueError, match=f"calibration: .*({message})"):
        Calibration.from_dict({**tree, **change})
    with pytest.raises(ValueError, match="calibration: file lacks format"):
        Calibration.from_dict([])


def test_invalid_arguments_are_rejected():
    pairs = PairHistogram(0.0, 1.0, np.array([1, 0]), np.array([0, 1]))
    result = fit_calibration(pairs, FACTS)
    for prior in (0, 1, np.nan):
        with pytest.raises(ValueError, match="prior: got"):
            result.probability(0.5, prior=prior)
    with pytest.raises(ValueError, match="distances: NaN"):
        result.log_ratio([0.1, np.nan])
    with pytest.raises(ValueError, match="method: got 'magic'"):
        fit_calibration(pairs, FACTS, method="magic")
    with pytest.raises(ValueError, match="pairs: none shows one person"):
        fit_calibration(PairHistogram(0.0, 1.0, np.zeros(2, int), np.ones(2, int)), FACTS)


@pytest.mark.parametrize("method", METHODS)
def test_a_calibration_on_separated_pairs_is_over_confident_on_others(method):
    """Fitted to separated pairs, measured on overlapping ones."""
    result = fit_calibration(normal_pairs(same=0.4, different=1.0), FACTS, method=method)
    fair, others = (measure_reliability(result, normal_pairs(same=same, seed=1)) for same in (0.4, 0.8))
    assert fair.expected_calibration_error < 0.02
    assert fair.slope == pytest.approx(1, abs=0.1)
    assert others.expected_calibration_error > 0.1
    assert others.slope < 0.5
