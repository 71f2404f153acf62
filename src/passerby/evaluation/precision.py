"""Figures of many queries at once, from the ranks of their matches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from passerby.types import ApRule, IntArray


def average_precision(ranks: IntArray, counts: IntArray, *, rule: ApRule = "step") -> NDArray[np.float64]:
    """Average precision of each query.

    Args:
        ranks: Ranks of the matches, from 1, ascending within each query; one query after the other.
        counts: (Q,) matches of each query, at least 1.
        rule: `step` is the mean of i / rank_i. `trapezoid` (older toolkits) gives each match the mean of that
            precision and the precision just before it, which is 1 when the match is at rank 1.

    Returns:
        (Q,) 0 to 1. Matches at ranks 1 and 3: 0.8333 by steps, 0.7917 by trapezoids.
    """
    starts = np.cumsum(counts) - counts
    found = np.arange(1, len(ranks) + 1) - np.repeat(starts, counts)  # 1, 2, ... within each query
    precision = found / ranks
    if rule == "trapezoid":
        before = np.where(ranks == 1, 1.0, (found - 1) / np.maximum(ranks - 1, 1))
        precision = (precision + before) / 2
    means: NDArray[np.float64] = np.add.reduceat(precision, starts) / counts
    return means


def inverse_negative_penalty(ranks: IntArray, counts: IntArray) -> NDArray[np.float64]:
    """(Q,) number of matches over the rank of the last one (Ye et al. 2021); 1 when nothing stands between them.

    The arguments are those of `average_precision`.
    """
    return counts / ranks[np.cumsum(counts) - 1]
