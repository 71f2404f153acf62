"""Log odds that two sightings show one person: the calibration, corrected by the answers given so far.

    log odds(i, j) = slope * (1 - distance(i, j)) + offset + transition(camera of i, camera of j)

Slope and offset start at a line through the calibration. Logistic regression on the answers moves them, with a Gaussian
prior around the start, and estimates the transitions: log odds of one pair of cameras relative to all pairs, so that
cameras that never share a person stop producing questions.

N sightings   D embedding width   M cameras   A answers
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.openset.calibration import Calibration
from passerby.types import FloatArray, IntArray, Result

SAME_CAMERA = -2.0
"""Log odds of a pair from one camera, relative to a pair from two at the same distance, before any answer.

Of 0, -1 and -2 chosen on the training half of CUHK01."""
SLOPE_DEVIATION, OFFSET_DEVIATION, SAME_CAMERA_DEVIATION, TRANSITION_DEVIATION = 0.1, 1.0, 1.0, 2.0
"""Standard deviations of the prior: of the slope as a fraction of its start, of the others in log odds."""
_STEPS = 12  # of Newton's method on a convex loss


@dataclass(frozen=True, repr=False)
class PairModel(Result):
    """Log odds of a pair of sightings, as a function of their cosine similarity and their cameras.

    Attributes:
        slope: Log odds per unit of cosine similarity.
        offset: Log odds at similarity 0.
        transitions: (M, M) symmetric, added by pair of cameras.
    """

    slope: float
    offset: float
    transitions: NDArray[np.float64]

    @classmethod
    def from_calibration(cls, calibration: Calibration, *, prior: float, cameras: int) -> PairModel:
        """Fit the line through a calibration.

        Args:
            calibration: Calibration of the vectors' cosine distances.
            prior: Probability that a pair of sightings shows one person, between 0 and 1.
            cameras: M.

        Example:
            >>> calibration = passerby.load_calibration("runs/m")
            >>> PairModel.from_calibration(calibration, prior=0.01, cameras=2).slope > 0
            True
        """
        x, y = calibration.distances, calibration.log_ratios
        if len(x) > 1:
            drop, constant = np.polyfit(x, y, 1)
        else:
            drop, constant = 0.0, y[0]
        offset = float(constant + drop) + float(np.log(prior) - np.log1p(-prior))
        return cls(-float(drop), offset, SAME_CAMERA * np.eye(cameras))

    def factor(self, vectors: FloatArray, cameras: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return two (N, D + M) arrays: the product of row i of one and row j of the other is the log odds of i, j."""
        hot = np.zeros((len(vectors), len(self.transitions)), np.float32)
        hot[np.arange(len(vectors)), cameras] = 1
        table = (self.offset + self.transitions).astype(np.float32)
        return np.hstack([np.float32(self.slope) * vectors, table[cameras]]), np.hstack([vectors, hot])


def fit_pair_model(
    start: PairModel, similarities: ArrayLike, mixtures: NDArray[np.float64], answers: ArrayLike, *, error_rate: float
) -> PairModel:
    """Fit slope, offset and transitions to answers, by maximum a posteriori logistic regression.

    Questions are chosen by what the model computes from the similarity and the cameras. Given these, the answer does
    not depend on the choice, so the fit needs no weights.

    Args:
        start: Model from the calibration: the center of the prior.
        similarities: (A,) mean cosine similarity of the two groups that a question was about.
        mixtures: (A, M, M) fractions of the pairs between the groups by pair of cameras, sum 1 each.
        answers: (A,) 1 for the same person, 0 for different ones.
        error_rate: Fraction of wrong answers, 0 to 0.5; targets are 1 minus this, and this.

    Example:
        >>> start = PairModel(10.0, -5.0, np.zeros((2, 2)))
        >>> across = np.tile([[0.0, 0.5], [0.5, 0.0]], (20, 1, 1))  # twenty pairs of crops from both cameras
        >>> model = fit_pair_model(start, np.full(20, 0.6), across, np.zeros(20), error_rate=0.02)
        >>> bool(model.transitions[0, 1] < model.transitions[0, 0])  # they were different people
        True
    """
    y = np.abs(np.asarray(answers, np.float64) - error_rate)
    upper = np.triu_indices(len(start.transitions))
    cells = np.where(upper[0] == upper[1], 1.0, 2.0) * ((mixtures + mixtures.transpose(0, 2, 1)) / 2)[:, *upper]
    used = np.flatnonzero(cells.sum(axis=0) > 0)
    one_camera = cells[:, upper[0] == upper[1]].sum(axis=1)
    pivot = -start.offset / start.slope if start.slope > 0 else 0.0  # even odds: slope and offset are independent there
    x = np.column_stack([np.asarray(similarities, np.float64) - pivot, np.ones(len(y)), one_camera, cells[:, used]])
    known = start.transitions[upper]
    center = np.zeros(3 + len(used))
    center[:2] = start.slope, start.offset + start.slope * pivot
    fixed = cells @ known
    deviations = np.full(len(center), TRANSITION_DEVIATION)
    deviations[:3] = max(SLOPE_DEVIATION * start.slope, 1e-3), OFFSET_DEVIATION, SAME_CAMERA_DEVIATION
    precision = 1 / deviations**2

    def loss(candidate: NDArray[np.float64]) -> float:
        log_odds = fixed + x @ candidate
        return float((np.logaddexp(0, log_odds) - y * log_odds).sum() + precision @ (candidate - center) ** 2 / 2)

    weights = center.copy()
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(fixed + x @ weights, -500, 500)))
        gradient = x.T @ (p - y) + precision * (weights - center)
        curvature = (x * (p * (1 - p))[:, None]).T @ x + np.diag(precision)
        step, size, before = np.linalg.solve(curvature, gradient), 1.0, loss(weights)
        while loss(weights - size * step) > before and size > 1e-6:
            size /= 2
        weights = weights - size * step
    weights[0] = max(weights[0], 0.0)
    transitions = start.transitions + weights[2] * np.eye(len(start.transitions))
    rows, columns = upper[0][used], upper[1][used]
    added = np.zeros_like(transitions)
    added[rows, columns] = added[columns, rows] = weights[3:]
    return PairModel(float(weights[0]), float(weights[1] - weights[0] * pivot), transitions + added)
