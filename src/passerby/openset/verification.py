"""Do two images show the same person? Receiver operating characteristic and equal error rate, over all pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.evaluation.pair_histogram import PairHistogram
from passerby.openset.detection import FARS


@dataclass(frozen=True)
class Verification:
    """Rates of taking a pair for the same person when it is nearer than each of B + 1 thresholds.

    Attributes:
        thresholds: (B + 1,) ascending; the edges of the bins, where the rates are exact.
        true_positive_rate: (B + 1,) share of the pairs of one person that are nearer, 0 to 1.
        false_positive_rate: (B + 1,) share of the pairs of two people that are nearer.
        equal_error_rate: Where as many of either kind are wrong, linear between two thresholds.
        equal_error_threshold: The distance there.
        area: Under the curve: the chance that a pair of one person is nearer than one of two people, pairs of one bin
            counting half.
        same: Pairs of one person.
        different: Pairs of two people.
        bin_width: Between two thresholds.
    """

    thresholds: NDArray[np.float64]
    true_positive_rate: NDArray[np.float64]
    false_positive_rate: NDArray[np.float64]
    equal_error_rate: float
    equal_error_threshold: float
    area: float
    same: int
    different: int
    bin_width: float

    def at(self, far: float) -> tuple[float, float]:
        """(true positive rate, threshold) at the largest threshold with a false positive rate of at most `far`.

        NaN for both where `far` is less than one pair.

        Raises:
            DataError: For `far` outside 0 to 1.
        """
        if not 0 < far <= 1:
            raise DataError(f"far: got {far}, expected a false alarm rate above 0 and at most 1")
        if far * self.different + 1e-9 < 1:
            return np.nan, np.nan
        place = int(np.searchsorted(self.false_positive_rate, far, side="right")) - 1
        return float(self.true_positive_rate[place]), float(self.thresholds[place])

    def to_dict(self, fars: Sequence[float] = FARS) -> dict[str, Any]:
        """A dict that `json.dumps` takes; null for a rate that the pairs cannot resolve."""
        rates = []
        for far in fars:
            rate, threshold = (None if np.isnan(value) else value for value in self.at(far))
            rates.append({"far": far, "tpr": rate, "threshold": threshold})
        return {
            "equal_error_rate": self.equal_error_rate,
            "equal_error_threshold": self.equal_error_threshold,
            "area": self.area,
            "same": self.same,
            "different": self.different,
            "bin_width": self.bin_width,
            "rates": rates,
        }


def verify(pairs: PairHistogram) -> Verification:
    """The curve and its figures from counted pairs.

    Raises:
        DataError: When there is no pair of one kind.
    """
    pairs.require_both()
    found, taken = (np.concatenate([[0], np.cumsum(counts)]) for counts in (pairs.same, pairs.different))
    true, false = found / found[-1], taken / taken[-1]  # (B + 1,)
    edges = pairs.edges
    # The first threshold where false alarms are no fewer than misses; 3 / 21 and 1 - 6 / 7 differ in the last digit.
    after = int(np.argmax(false >= 1 - true - 1e-12))
    before = 1 - true[after - 1] - false[after - 1]  # above 0
    part = min(1.0, before / (before + false[after] - (1 - true[after])))
    return Verification(
        thresholds=edges,
        true_positive_rate=true,
        false_positive_rate=false,
        equal_error_rate=float(false[after - 1] + part * (false[after] - false[after - 1])),
        equal_error_threshold=float(edges[after - 1] + part * pairs.width),
        area=float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2)),
        same=int(found[-1]),
        different=int(taken[-1]),
        bin_width=pairs.width,
    )
