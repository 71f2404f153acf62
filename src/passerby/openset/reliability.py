"""Reliability of a calibration: predicted probabilities against observed fractions on other pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.evaluation.pair_histogram import PairHistogram
from passerby.openset.calibration import Calibration
from passerby.openset.fitting import fit_logistic_line
from passerby.types import Result


@dataclass(frozen=True, repr=False)
class Reliability(Result):
    """Predicted and observed probabilities, with pairs weighted so that a fraction `prior` shows the same person.

    Attributes:
        predicted: (M,) mean predicted probability of the pairs in each bin of equal width, NaN for an empty bin.
        observed: (M,) fraction of them that shows the same person.
        weight: (M,) fraction of all pairs in the bin.
        expected_calibration_error: Weighted mean of |predicted - observed|, 0 to 1 (Naeini et al. 2015).
        brier: Mean squared error of the probabilities (Brier 1950).
        log_loss: Mean of -log of the probability of the true outcome; predicting `prior` for every pair gives `chance`.
        chance: Log loss of predicting `prior` for every pair.
        slope: Slope of the true log odds over the predicted ones (Cox 1958); below 1 is over-confident. NaN where all
            predictions are equal.
        prior: Fraction of pairs that shows the same person.
        same: Number of pairs of one identity.
        different: Number of pairs of two identities.
    """

    predicted: NDArray[np.float64]
    observed: NDArray[np.float64]
    weight: NDArray[np.float64]
    expected_calibration_error: float
    brier: float
    log_loss: float
    chance: float
    slope: float
    prior: float
    same: int
    different: int

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of `scores.json`; None for the means of an empty bin."""
        tree = super().to_dict()
        return {"said": tree.pop("predicted"), **tree}  # `said` is the key of the file format


def measure_reliability(
    calibration: Calibration, pairs: PairHistogram, *, prior: float = 0.5, bins: int = 10
) -> Reliability:
    """Compare the probabilities of a calibration with counted pairs of other identities.

    Args:
        calibration: Calibration fitted to identities that are not in the pairs.
        pairs: Counted distances; the distance of a pair is taken as the center of its bin.
        prior: Fraction of pairs of the same person to which the pairs are weighted; 0.5 gives both kinds the same
            weight.
        bins: Number of bins of the predicted probability.

    Returns:
        Reliability with `bins` bins.

    Raises:
        DataError: When there is no pair of one kind; for a prior or bins out of range.

    Example:
        >>> from passerby.openset.calibration import FittedOn
        >>> facts = FittedOn("example", identities=10, images=40, same=60, different=700, trained_on=False)
        >>> calibration = Calibration("logistic", "cosine", [0.0, 1.0], [2.0, -2.0], facts)
        >>> pairs = PairHistogram(0.0, 1.0, same=[8, 2], different=[2, 8])
        >>> round(measure_reliability(calibration, pairs).expected_calibration_error, 3)
        0.069
    """
    if bins < 1:
        raise DataError(f"bins: got {bins}, expected at least 1")
    pairs.require_both()
    used = np.flatnonzero(pairs.same + pairs.different)
    same, different = pairs.same[used].astype(float), pairs.different[used].astype(float)
    ratio = calibration.log_ratio(pairs.centers[used])
    p = calibration.probability(pairs.centers[used], prior=prior)
    positive, negative = prior * same / same.sum(), (1 - prior) * different / different.sum()
    total = positive + negative
    bin_of = np.minimum((p * bins).astype(np.int64), bins - 1)
    weight, sums, hits = (
        np.bincount(bin_of, values, minlength=bins).astype(np.float64) for values in (total, total * p, positive)
    )
    with np.errstate(invalid="ignore"):
        predicted, observed = sums / weight, hits / weight
    log_odds = ratio + np.log(prior) - np.log1p(-prior)
    slope = fit_logistic_line(ratio, same, different)[1] if np.ptp(ratio) > 0 else np.nan
    return Reliability(
        predicted=predicted,
        observed=observed,
        weight=weight,
        expected_calibration_error=float(np.abs(sums - hits).sum()),
        brier=float(positive @ (1 - p) ** 2 + negative @ p**2),
        log_loss=float(positive @ np.logaddexp(0, -log_odds) + negative @ np.logaddexp(0, log_odds)),
        chance=float(-prior * np.log(prior) - (1 - prior) * np.log1p(-prior)),
        slope=float(slope),
        prior=prior,
        same=int(same.sum()),
        different=int(different.sum()),
    )
