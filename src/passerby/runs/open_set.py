"""Who is this, or nobody I know? The open-set side of an evaluation: figures and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from passerby.evaluation.pair_histogram import count_pairs
from passerby.openset.calibration import Calibration
from passerby.openset.detection import OpenSetScores, score_open_set
from passerby.openset.nearest_identities import find_nearest_identities
from passerby.openset.reliability import Reliability, measure_reliability
from passerby.openset.verification import Verification, verify
from passerby.plots.open_set_curves import plot_dir, plot_reliability, plot_roc
from passerby.types import Embeddings


@dataclass(frozen=True)
class OpenSet:
    """What a threshold can do on one data set.

    Attributes:
        scores: Detection and identification rate at false alarm rates.
        verification: ROC and equal error rate over all pairs from different cameras.
        reliability: What the run's calibration is worth on these people; None for a run without one.
    """

    scores: OpenSetScores
    verification: Verification
    reliability: Reliability | None

    def to_dict(self) -> dict[str, Any]:
        """A dict that `json.dumps` takes."""
        return {
            "open_set": self.scores.to_dict(),
            "verification": self.verification.to_dict(),
            "reliability": None if self.reliability is None else self.reliability.to_dict(),
        }


def measure_open_set(query: Embeddings, gallery: Embeddings, calibration: Calibration | None) -> OpenSet:
    """Two passes over the cosine distances, whatever the lists are made of: nearest of each person, and all pairs."""
    pairs = count_pairs(query, gallery)
    return OpenSet(
        scores=score_open_set(find_nearest_identities(query, gallery)),
        verification=verify(pairs),
        reliability=None if calibration is None else measure_reliability(calibration, pairs),
    )


def draw_open_set(found: OpenSet, out: Path, *, title: str) -> None:
    """`roc.png`, `dir.png` where a rate can be resolved, and `reliability.png` where there is a calibration."""
    plot_roc({title: found.verification}, out / "roc.png")
    if not all(rate.reason for rate in found.scores.rates):
        plot_dir({title: found.scores}, out / "dir.png")
    if found.reliability is not None:
        plot_reliability({title: found.reliability}, out / "reliability.png")
