"""Log odds of pairs. Oracles: a double loop, and the logistic regression of SciPy's optimizer."""

import numpy as np
from scipy.optimize import minimize

from passerby.openset.calibration import Calibration, FittedOn
from passerby.reviewing import evidence
from passerby.reviewing.evidence import PairModel, fit_pair_model
from reviewing.people_vectors import draw_people

FACTS = FittedOn("example", identities=10, images=40, same=60, different=700, trained_on=False)


def test_a_logistic_calibration_is_its_line_and_prior():
    calibration = Calibration("logistic", "cosine", [0.0, 1.0], [8.0, -12.0], FACTS)
    model = PairModel.from_calibration(calibration, prior=0.01, cameras=2)
    odds = np.log(0.01 / 0.99)
    assert np.isclose(model.slope * (1 - 0.3) + model.offset, 8 - 20 * 0.3 + odds)
    assert (model.transitions == evidence.SAME_CAMERA * np.eye(2)).all()


def test_a_calibration_of_one_point_has_slope_0():
    calibration = Calibration("isotonic", "cosine", [0.5], [1.0], FACTS)
    model = PairModel.from_calibration(calibration, prior=0.5, cameras=1)
    assert (model.slope, model.offset) == (0.0, 1.0)


def test_products_of_factors_are_the_log_odds_of_pairs():
    vectors, _, cameras = draw_people(3, 2, cameras=3)
    transitions = np.array([[0, 1, 2], [1, -1, 0.5], [2, 0.5, 3]])
    queries, keys = PairModel(7.0, -2.0, transitions).factor(vectors, cameras)
    for i in range(6):
        for j in range(6):
            expected = 7 * float(vectors[i] @ vectors[j]) - 2 + transitions[cameras[i], cameras[j]]
            assert np.isclose(queries[i] @ keys[j], expected, atol=1e-5)
            assert np.isclose(queries[j] @ keys[i], expected, atol=1e-5)


def test_the_fit_is_the_maximum_of_the_posterior():
    generator = np.random.default_rng(0)
    start = PairModel(10.0, -6.0, np.diag([-2.0, -2.0]))
    similarities = generator.uniform(0.2, 0.9, 60)
    cameras = generator.integers(0, 2, (60, 2))
    mixtures = np.zeros((60, 2, 2))
    mixtures[np.arange(60), cameras[:, 0], cameras[:, 1]] = 1
    answers = (similarities + generator.normal(0, 0.2, 60) > 0.6).astype(float)
    model = fit_pair_model(start, similarities, mixtures, answers, error_rate=0.02)
    y = np.abs(answers - 0.02)

    def loss(weights):
        slope, level, same, *cells = weights
        table = np.array([[cells[0], cells[1]], [cells[1], cells[2]]])
        odds = slope * (similarities - 0.6) + level + table[cameras[:, 0], cameras[:, 1]]
        odds += (same - 2.0) * (cameras[:, 0] == cameras[:, 1])
        spread = np.array(
            [
                evidence.SLOPE_DEVIATION * 10,
                evidence.OFFSET_DEVIATION,
                evidence.SAME_CAMERA_DEVIATION,
                *[evidence.TRANSITION_DEVIATION] * 3,
            ]
        )
        penalty = (((np.array(weights) - [10, 0, 0, 0, 0, 0]) / spread) ** 2).sum() / 2
        return (np.logaddexp(0, odds) - y * odds).sum() + penalty

    slope, level, same, *cells = minimize(loss, [10.0, 0, 0, 0, 0, 0], tol=1e-10).x
    assert np.isclose(model.slope, slope, rtol=1e-3)
    assert np.isclose(model.offset, level - 0.6 * slope, rtol=1e-3)
    assert np.allclose(model.transitions, [[same - 2 + cells[0], cells[1]], [cells[1], same - 2 + cells[2]]], atol=1e-3)


def test_one_sided_answers_give_finite_odds():
    start = PairModel(30.0, -15.0, np.zeros((1, 1)))
    model = fit_pair_model(start, np.full(500, 0.9), np.ones((500, 1, 1)), np.zeros(500), error_rate=0.01)
    assert np.isfinite([model.slope, model.offset, *model.transitions.ravel()]).all()
    assert model.slope >= 0
