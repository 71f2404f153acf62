"""The paired test. Oracles: scipy's t-test with one random factor, Clark's formula, simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from passerby.errors import DataError
from passerby.evaluation.paired import paired_test


def drawn(seed, *, seeds=3, people=40, of_seed=0.0, of_person=0.1, rest=0.1):
    """Differences without an effect: a part per seed, a part per identity, and a residual; one query each."""
    chance = np.random.default_rng(seed)
    parts = (chance.normal(0, of_seed, (seeds, 1)), chance.normal(0, of_person, (1, people)))
    return parts[0] + parts[1] + chance.normal(0, rest, (seeds, people))


def test_one_seed_gives_students_t_over_identities():
    variant = drawn(0, seeds=1) + 0.03
    result = paired_test(variant, np.zeros_like(variant), np.arange(1, 41))
    oracle = stats.ttest_1samp(variant[0], 0)
    low, high = oracle.confidence_interval(0.95)
    assert result.p == pytest.approx(oracle.pvalue)
    assert result.interval == pytest.approx((low, high))
    assert (result.seeds, result.identities) == (1, 40)


def test_equal_identities_give_students_t_over_seeds():
    variant = np.tile([[0.01], [0.05], [0.03]], (1, 6))
    result = paired_test(variant, np.zeros_like(variant), np.arange(6))
    assert result.p == pytest.approx(stats.ttest_1samp([0.01, 0.05, 0.03], 0).pvalue)


@pytest.mark.parametrize("of_seed", [0.0, 0.01, 0.05, 0.2])
def test_p_is_the_larger_of_min_f_and_t_over_seeds(of_seed):
    """Oracle: Clark's min F' = F1 F2 / (F1 + F2) with its degrees of freedom, from two t-tests."""
    differences = drawn(1, of_seed=of_seed) + 0.05
    result = paired_test(differences, np.zeros_like(differences), np.arange(40))
    people, seeds = (stats.ttest_1samp(differences.mean(axis=axis), 0) for axis in (0, 1))
    over_people, over_seeds = people.statistic**2, seeds.statistic**2
    ratio = over_people * over_seeds / (over_people + over_seeds)
    degrees = (over_people + over_seeds) ** 2 / (over_people**2 / 2 + over_seeds**2 / 39)
    assert result.p == pytest.approx(max(stats.f.sf(ratio, 1, degrees), seeds.pvalue))
    low, high = result.interval
    assert (low > 0 or high < 0) == (result.p < 0.05)


def test_queries_of_one_identity_are_one_observation():
    """Oracle: the same test with each identity's mean in place of five equal queries."""
    variant = drawn(2) + 0.02
    people = np.arange(40)
    once = paired_test(variant, np.zeros_like(variant), people)
    five = paired_test(np.repeat(variant, 5, axis=1), np.zeros((3, 200)), np.repeat(people, 5))
    assert five.p == pytest.approx(once.p)
    assert five.interval == pytest.approx(once.interval)


@pytest.mark.parametrize("of_seed", [0.0, 0.05, 0.2])
def test_rejections_without_an_effect_stay_near_the_level(of_seed):
    """Oracle: 3,000 simulated ablations without an effect; the level is 5 % (plus the error of the simulation)."""
    result = [
        paired_test(drawn(seed, of_seed=of_seed), np.zeros((3, 40)), np.arange(40)).p < 0.05 for seed in range(3000)
    ]
    assert np.mean(result) < 0.062


def test_a_test_over_queries_alone_rejects_too_often():
    """The same simulation, tested over identities alone."""
    result = [stats.ttest_1samp(drawn(seed, of_seed=0.05).mean(axis=0), 0).pvalue < 0.05 for seed in range(300)]
    assert np.mean(result) > 0.2


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(2, 9))
def test_exchanging_variant_and_baseline_changes_the_sign_only(seed, seeds, people):
    chance = np.random.default_rng(seed)
    one, other = chance.random((2, seeds, people))
    forth, back = (paired_test(*pair, np.arange(people)) for pair in ((one, other), (other, one)))
    assert forth.difference == pytest.approx(-back.difference)
    assert forth.interval == pytest.approx((-back.interval[1], -back.interval[0]))
    assert forth.p == pytest.approx(back.p)
    assert 0 <= forth.p <= 1


def test_equal_runs_have_no_difference_and_p_1():
    result = paired_test(np.ones((2, 4)), np.ones((2, 4)), np.arange(4))
    assert (result.difference, result.interval, result.p) == (0.0, (0.0, 0.0), 1.0)


@pytest.mark.parametrize(
    ("variant", "baseline", "people", "message"),
    [
        (np.ones((2, 4)), np.ones((3, 4)), np.arange(4), r"got shapes \(2, 4\), \(3, 4\) and \(4,\), expected"),
        (np.ones((2, 4)), np.ones((2, 4)), np.arange(3), "compare runs that were evaluated on the same queries"),
        (
            np.full((1, 2), np.nan),
            np.ones((1, 2)),
            np.arange(2),
            "NaN or infinity among the metrics; leave out",
        ),
        (np.ones((1, 2)), np.ones((1, 2)), np.ones(2, int), "queries of 1 person, expected two or more"),
    ],
)
def test_invalid_shapes_and_values_are_rejected(variant, baseline, people, message):
    with pytest.raises(DataError, match=message):
        paired_test(variant, baseline, people)
