"""Verification: receiver operating characteristic and equal error rate over all pairs of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.evaluation.pair_histogram import PairHistogram
from passerby.openset.detection import FARS
from passerby.types import Result, to_json


@dataclass(frozen=True, repr=False)
class Verification(Result):
    """Rates of accepting a pair as the same person when its distance is below each of B + 1 thresholds.

    Attributes:
        thresholds: (B + 1,) ascending; the edges of the bins, at which the rates are exact.
        true_positive_rate: (B + 1,) fraction of the pairs of one identity below the threshold, 0 to 1.
        false_positive_rate: (B + 1,) fraction of the pairs of two identities below the threshold, 0 to 1.
        equal_error_rate: Rate at which false positive and false negative rate are equal, linear between two thresholds.
        equal_error_threshold: Distance at the equal error rate.
        area: Area under the curve: probability that a pair of one identity is closer than a pair of two; pairs in the
            same bin count half.
        same: Number of pairs of one identity.
        different: Number of pairs of two identities.
        bin_width: Distance between two thresholds.
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
        """Return (true positive rate, threshold) at the largest threshold with a false positive rate of at most `far`.

        Both are NaN where `far` is less than one pair.

        Raises:
            DataError: For `far` outside 0 to 1.
        """
        if not 0 < far <= 1:
            raise DataError(f"far: got {far}, expected a false alarm rate above 0 and at most 1")
        if far * self.different + 1e-9 < 1:
            return np.nan, np.nan
        last = int(np.searchsorted(self.false_positive_rate, far, side="right")) - 1
        return float(self.true_positive_rate[last]), float(self.thresholds[last])

    def to_dict(self, *, fars: Sequence[float] = FARS) -> dict[str, Any]:
        """Return the entries of `scores.json`: rates at `fars`, None where the pairs do not resolve a rate."""
        names = ("equal_error_rate", "equal_error_threshold", "area", "same", "different", "bin_width")
        rates = [dict(zip(("far", "tpr", "threshold"), (far, *to_json(self.at(far))), strict=True)) for far in fars]
        return {**{name: getattr(self, name) for name in names}, "rates": rates}


def verify(pairs: PairHistogram) -> Verification:
    """Compute the receiver operating characteristic of counted pairs.

    Args:
        pairs: Counts of B bins.

    Returns:
        Verification with B + 1 thresholds.

    Raises:
        DataError: When there is no pair of one kind.

    Example:
        >>> verify(PairHistogram(0.0, 1.0, same=[8, 2], different=[2, 8])).equal_error_rate
        0.2
    """
    pairs.require_both()
    same, different = (np.concatenate([[0], np.cumsum(counts)]) for counts in (pairs.same, pairs.different))
    true, false = same / same[-1], different / different[-1]  # (B + 1,)
    edges = pairs.edges
    # The first threshold where false positives are no fewer than misses; 3 / 21 and 1 - 6 / 7 differ in the last digit.
    after = int(np.argmax(false >= 1 - true - 1e-12))
    gap = 1 - true[after - 1] - false[after - 1]  # above 0
    fraction = min(1.0, gap / (gap + false[after] - (1 - true[after])))
    return Verification(
        thresholds=edges,
        true_positive_rate=true,
        false_positive_rate=false,
        equal_error_rate=float(false[after - 1] + fraction * (false[after] - false[after - 1])),
        equal_error_threshold=float(edges[after - 1] + fraction * pairs.width),
        area=float(np.sum(np.diff(false) * (true[1:] + true[:-1]) / 2)),
        same=int(same[-1]),
        different=int(different[-1]),
        bin_width=pairs.width,
    )
