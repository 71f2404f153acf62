"""Figures of one query, from the ranks of its matches."""

from __future__ import annotations

import numpy as np

from passerby.types import ApRule, IntArray


def average_precision(ranks: IntArray, *, rule: ApRule = "step") -> float:
    """Average precision of one query.

    Args:
        ranks: (M,) ranks of the matches, from 1, ascending, M at least 1.
        rule: `step` is the mean of i / rank_i. `trapezoid` (older toolkits) gives each match the mean of that
            precision and the precision just before it, which is 1 when the match is at rank 1.

    Returns:
        0 to 1. Matches at ranks 1 and 3: 0.8333 by steps, 0.7917 by trapezoids.
    """
    found = np.arange(1, len(ranks) + 1)
    precision = found / ranks
    if rule == "trapezoid":
        before = np.where(ranks == 1, 1.0, (found - 1) / np.maximum(ranks - 1, 1))
        precision = (precision + before) / 2
    return float(precision.mean())


def inverse_negative_penalty(ranks: IntArray) -> float:
    """Number of matches over the rank of the last one (Ye et al. 2021); 1 when nothing stands between them."""
    return len(ranks) / float(ranks[-1])
