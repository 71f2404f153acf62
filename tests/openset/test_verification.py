"""ROC and equal error rate. Oracle: every threshold on every pair."""

import json

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from passerby.evaluation.pair_histogram import PairHistogram
from passerby.openset.verification import verify


def histogram(same, different, bins):
    """Distances from 0 to 1, counted by NumPy."""
    counts = [np.histogram(values, bins=bins, range=(0, 1))[0] for values in (same, different)]
    return PairHistogram(0.0, 1.0, *counts)


@settings(max_examples=200)
@example(seed=1634, bins=64)  # the curves are equal, 3 / 21 = 1 / 7, over two bins
@given(seed=st.integers(0, 10_000), bins=st.sampled_from([4, 16, 64]))
def test_rates_are_exact_at_the_edges_and_the_equal_error_rate_to_a_bin(seed, bins):
    generator = np.random.default_rng(seed)
    same = generator.beta(2, 4, generator.integers(1, 30))
    different = generator.beta(4, 2, generator.integers(1, 60))
    result = verify(histogram(same, different, bins))
    for t, true, false in zip(
        result.thresholds[:-1], result.true_positive_rate, result.false_positive_rate, strict=False
    ):
        assert true == pytest.approx(np.mean(same < t))
        assert false == pytest.approx(np.mean(different < t))
    # The exact crossing: the first threshold at which false alarms are no fewer than misses.
    candidates = np.sort(np.concatenate([same, different, [1.1]])) + 1e-12
    crossing = next(t for t in candidates if np.mean(different < t) >= np.mean(same >= t) - 1e-12)
    assert abs(result.equal_error_threshold - crossing) <= result.bin_width + 1e-9 or crossing > 1
    place = int(np.searchsorted(result.thresholds, result.equal_error_threshold - 1e-12)) - 1
    low, high = max(0, place), min(place + 1, bins)
    assert result.false_positive_rate[low] - 1e-9 <= result.equal_error_rate <= result.false_positive_rate[high] + 1e-9
    misses = 1 - result.true_positive_rate
    assert misses[high] - 1e-9 <= result.equal_error_rate <= misses[low] + 1e-9


def test_area_is_the_probability_that_a_same_pair_is_closer():
    generator = np.random.default_rng(0)
    same, different = generator.random(40) * 0.7, generator.random(50) * 0.7 + 0.2
    exact = np.mean(same[:, None] < different)
    assert verify(histogram(same, different, 20_000)).area == pytest.approx(exact, abs=1e-9)


def test_hand_worked():
    """Same at 0.1, 0.3, different at 0.2, 0.9 (bins of 0.25): at 0.25 half of each kind is wrong."""
    result = verify(histogram([0.1, 0.3], [0.2, 0.9], 4))
    assert (result.equal_error_rate, result.equal_error_threshold) == (0.5, 0.25)
    assert result.at(0.5) == (1.0, 0.75)
    assert result.at(1.0) == (1.0, 1.0)
    assert (result.same, result.different, result.bin_width) == (2, 2, 0.25)


def test_a_rate_of_less_than_one_pair_is_nan():
    result = verify(histogram([0.1], np.linspace(0.5, 0.9, 200), 64))
    assert np.isnan(result.at(0.001)).all()
    tree = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert [item["tpr"] for item in tree["rates"]] == [None, 1.0, 1.0]
    with pytest.raises(ValueError, match="far: got 2"):
        result.at(2)
    with pytest.raises(ValueError, match="none shows one person"):
        verify(histogram([], [0.5], 4))
