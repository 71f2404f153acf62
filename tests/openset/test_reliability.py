"""Reliability. Oracles: a loop over single pairs, values worked by hand."""

import json

import numpy as np
import pytest

from passerby.evaluation.pair_histogram import PairHistogram
from passerby.openset.calibration import Calibration, FittedOn
from passerby.openset.reliability import measure_reliability

FACTS = FittedOn(data="drawn", identities=10, images=40, same=3, different=5, trained_on=False)
LINE = Calibration("logistic", "cosine", [0.0, 1.0], [3.0, -3.0], FACTS)


@pytest.mark.parametrize("prior", [0.5, 0.01])
@pytest.mark.parametrize("bins", [1, 4, 10])
def test_metrics_equal_a_loop_over_pairs(prior, bins):
    generator = np.random.default_rng(bins)
    same, different = generator.integers(0, 4, 16), generator.integers(0, 9, 16)
    pairs = PairHistogram(0.0, 1.0, same, different)
    listed = [
        (float(LINE.probability(center, prior=prior)), kind, weight / total)
        for counts, kind, weight in ((same, 1, prior), (different, 0, 1 - prior))
        for center, count, total in zip(pairs.centers, counts, [counts.sum()] * 16, strict=True)
        for _ in range(count)
    ]
    result = measure_reliability(LINE, pairs, prior=prior, bins=bins)
    assert result.brier == pytest.approx(sum(w * (p - y) ** 2 for p, y, w in listed))
    assert result.log_loss == pytest.approx(-sum(w * np.log(p if y else 1 - p) for p, y, w in listed))
    error = 0.0
    for b in range(bins):
        inside = [item for item in listed if min(int(item[0] * bins), bins - 1) == b]
        weight = sum(w for _, _, w in inside)
        assert result.weight[b] == pytest.approx(weight)
        if inside:
            said, observed = (
                sum(w * item for item, w in zip(values, [i[2] for i in inside], strict=True)) / weight
                for values in ([i[0] for i in inside], [i[1] for i in inside])
            )
            assert (result.predicted[b], result.observed[b]) == (pytest.approx(said), pytest.approx(observed))
            error += weight * abs(said - observed)
        else:
            assert np.isnan([result.predicted[b], result.observed[b]]).all()
    assert result.expected_calibration_error == pytest.approx(error)
    assert (result.same, result.different) == (same.sum(), different.sum())


def test_a_constant_calibration_has_the_log_loss_of_chance():
    blind = Calibration("logistic", "cosine", [0.5], [0.0], FACTS)
    result = measure_reliability(blind, PairHistogram(0.0, 1.0, np.array([3, 1]), np.array([1, 3])), prior=0.2)
    assert result.expected_calibration_error == pytest.approx(0)
    assert result.log_loss == pytest.approx(result.chance) == pytest.approx(0.5004024)
    assert np.isnan(result.slope)
    tree = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert tree["slope"] is None
    assert tree["said"][2] == pytest.approx(0.2)
    assert tree["said"][0] is None


def test_invalid_arguments_are_rejected():
    pairs = PairHistogram(0.0, 1.0, np.array([3, 1]), np.array([1, 3]))
    with pytest.raises(ValueError, match="bins: got 0"):
        measure_reliability(LINE, pairs, bins=0)
    with pytest.raises(ValueError, match="prior: got 1"):
        measure_reliability(LINE, pairs, prior=1)
    with pytest.raises(ValueError, match="none shows two people"):
        measure_reliability(LINE, PairHistogram(0.0, 1.0, np.array([3, 1]), np.zeros(2, int)))
