"""Open-set metrics of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from passerby.evaluation.pair_histogram import count_pairs
from passerby.openset.calibration import Calibration
from passerby.openset.detection import OpenSetScores, score_open_set
from passerby.openset.nearest_identities import find_nearest_identities
from passerby.openset.reliability import Reliability, measure_reliability
from passerby.openset.verification import Verification, verify
from passerby.types import Embeddings, Result


@dataclass(frozen=True)
class OpenSetResult(Result):
    """Open-set metrics of one model on one data set.

    Attributes:
        scores: Detection and identification rate (DIR) at false alarm rates.
        verification: ROC and equal error rate over all pairs of images from different cameras.
        reliability: Error of the model's calibration on this data set; None for a model without calibration.
    """

    scores: OpenSetScores
    verification: Verification
    reliability: Reliability | None

    def __repr__(self) -> str:
        rates = [
            f"{100 * rate.rate:.1f} % at FAR {100 * rate.far:g} %" for rate in self.scores.rates if not rate.reason
        ]
        error = f"equal error rate {100 * self.verification.equal_error_rate:.1f} %"
        return f"OpenSetResult({', '.join([*(f'DIR {rate}' for rate in rates), error])})"

    def to_dict(self) -> dict[str, Any]:
        """Return the entries of `scores.json`."""
        entries = super().to_dict()
        return {"open_set": entries.pop("scores"), **entries}


def measure_open_set(query: Embeddings, gallery: Embeddings, *, calibration: Calibration | None) -> OpenSetResult:
    """Measure open-set metrics on cosine distances, in two passes: nearest image of each identity, and all pairs."""
    pairs = count_pairs(query, gallery)
    return OpenSetResult(
        scores=score_open_set(find_nearest_identities(query, gallery)),
        verification=verify(pairs),
        reliability=None if calibration is None else measure_reliability(calibration, pairs),
    )
