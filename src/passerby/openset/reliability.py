"""Can the probabilities be believed? What a calibration says of pairs that it was not fitted on, against what is so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from passerby.errors import DataError
from passerby.evaluation.pair_histogram import PairHistogram
from passerby.openset.calibration import Calibration
from passerby.openset.fitting import fit_logistic_line


@dataclass(frozen=True)
class Reliability:
    """Said and observed probabilities, pairs weighted so that a share `prior` of them shows the same person.

    Attributes:
        predicted: (M,) mean probability of the pairs in each bin of equal width, NaN where there is none.
        observed: (M,) share of them that show the same person.
        weight: (M,) share of all pairs that are in the bin.
        expected_calibration_error: Mean distance between said and observed, 0 to 1 (Naeini et al. 2015).
        brier: Mean squared error of the probabilities (Brier 1950).
        log_loss: Mean of -log of the probability given to what is so; saying `prior` of every pair is `chance`.
        chance: The log loss of knowing nothing.
        slope: Of what the log odds should be over what they are (Cox 1958): below 1 is over-confident, and how
            much. NaN where all pairs are said to be alike.
        prior: Share of pairs that show the same person.
        same: Pairs of one person that were counted.
        different: Pairs of two people.
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
        """A dict that `json.dumps` takes; null for the means of an empty bin."""
        arrays = {
            name: [None if np.isnan(value) else float(value) for value in getattr(self, name)]
            for name in ("predicted", "observed", "weight")
        }
        arrays["said"] = arrays.pop("predicted")  # the key of scores.json
        rest = {name: value for name, value in vars(self).items() if name != "predicted"}
        return {**rest, **arrays, "slope": None if np.isnan(self.slope) else self.slope}


def measure_reliability(
    calibration: Calibration, pairs: PairHistogram, *, prior: float = 0.5, bins: int = 10
) -> Reliability:
    """Hold a calibration against pairs of other people.

    Args:
        calibration: Fitted on people who are not among the pairs'.
        pairs: Counted distances; each pair is taken to be at the middle of its bin.
        prior: Share of pairs of the same person to weigh the pairs to; 0.5 gives both kinds the same say.
        bins: Of the diagram.

    Raises:
        DataError: When there is no pair of one kind; a prior or bins out of range.
    """
    if bins < 1:
        raise DataError(f"bins: got {bins}, expected at least 1")
    pairs.require_both()
    used = np.flatnonzero(pairs.same + pairs.different)
    same, different = pairs.same[used].astype(float), pairs.different[used].astype(float)
    ratio = calibration.log_ratio(pairs.centers[used])
    p = calibration.probability(pairs.centers[used], prior=prior)
    yes, no = prior * same / same.sum(), (1 - prior) * different / different.sum()
    place = np.minimum((p * bins).astype(np.int64), bins - 1)
    weight, sums, hits = (
        np.bincount(place, weights, minlength=bins).astype(np.float64) for weights in (yes + no, (yes + no) * p, yes)
    )
    with np.errstate(invalid="ignore"):
        said, observed = sums / weight, hits / weight
    t = ratio + logit(prior)
    slope = fit_logistic_line(ratio, same, different)[1] if np.ptp(ratio) > 0 else np.nan
    return Reliability(
        predicted=said,
        observed=observed,
        weight=weight,
        expected_calibration_error=float(np.abs(sums - hits).sum()),
        brier=float(yes @ (1 - p) ** 2 + no @ p**2),
        log_loss=float(yes @ np.logaddexp(0, -t) + no @ np.logaddexp(0, t)),
        chance=float(-prior * np.log(prior) - (1 - prior) * np.log1p(-prior)),
        slope=float(slope),
        prior=prior,
        same=int(same.sum()),
        different=int(different.sum()),
    )
