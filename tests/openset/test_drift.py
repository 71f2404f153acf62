"""Drift of distances. Oracle: scipy's test of Kolmogorov and Smirnov, and counts by hand."""

import numpy as np
import pytest
from scipy.stats import kstest

from passerby.errors import DataError
from passerby.evaluation.pair_histogram import PairHistogram
from passerby.openset.calibration import QUANTILES, Calibration, FittedOn
from passerby.openset.drift import count_between, measure_drift
from passerby.openset.fitting import fit_calibration

FACTS = FittedOn("vectors", identities=10, images=40, same=60, different=700, trained_on=False)


def test_counts_between_quantiles():
    assert count_between([], [0, 1, 2]).tolist() == [0, 0]
    assert count_between([-5, 0.5, 1, 9], [0, 1, 2]).tolist() == [2, 2]  # an edge counts above it


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.4])
def test_drift_is_the_distance_of_kolmogorov_and_smirnov(shift):
    generator = np.random.default_rng(0)
    reference = generator.normal(0.8, 0.1, 100_000)
    sample = generator.normal(0.8 - shift, 0.1, 20_000)
    edges = np.quantile(reference, np.linspace(0, 1, QUANTILES))
    drift = measure_drift(count_between(sample, edges))
    assert drift == pytest.approx(kstest(sample, reference).statistic, abs=0.05)  # the distance at the quantiles only
    if shift == 0:
        assert drift < 1.36 / np.sqrt(len(sample)) + 1.36 / np.sqrt(len(reference))


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_a_calibration_has_the_quantiles_of_different_persons(method):
    distances = np.random.default_rng(1).beta(8, 3, 50_000)
    different, _ = np.histogram(distances, bins=1000, range=(0, 1))
    same, _ = np.histogram(distances / 2, bins=1000, range=(0, 1))
    calibration = fit_calibration(PairHistogram(0.0, 1.0, same, different), FACTS, method=method)
    expected = np.quantile(distances, np.linspace(0, 1, QUANTILES))
    np.testing.assert_allclose(calibration.reference, expected, atol=2e-3)
    read = Calibration.from_dict(calibration.to_dict())
    np.testing.assert_array_equal(read.reference, calibration.reference)


def test_references_that_are_none():
    tree = Calibration("logistic", "cosine", [0.0, 1.0], [2.0, -2.0], FACTS).to_dict()
    assert "reference" not in tree  # of an earlier version
    assert Calibration.from_dict(tree).reference is None
    for reference in ([0.0, 1.0], [*np.linspace(1, 0, QUANTILES)]):
        with pytest.raises(DataError, match="reference is not 21 distances that do not descend"):
            Calibration.from_dict({**tree, "reference": reference})
