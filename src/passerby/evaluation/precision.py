"""Average precision and inverse negative penalty of many queries at once, from the ranks of their matches."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.types import ApRule, as_array


def average_precision(ranks: ArrayLike, counts: ArrayLike, *, rule: ApRule = "step") -> NDArray[np.float64]:
    """Compute the average precision of each query.

    Args:
        ranks: (T,) ranks of the matches, from 1, ascending within each query; one query after the other.
        counts: (Q,) number of matches of each query, at least 1, sum T.
        rule: `step` is the mean of i / rank_i. `trapezoid` (older toolkits) averages that precision with the precision
            just before the match, which is 1 when the match is at rank 1.

    Returns:
        (Q,) 0 to 1.

    Example:
        >>> average_precision([1, 3], [2]).round(4), average_precision([1, 3], [2], rule="trapezoid").round(4)
        (array([0.8333]), array([0.7917]))
    """
    ranks, counts = as_array(ranks), as_array(counts)
    starts = np.cumsum(counts) - counts
    numbers = np.arange(1, len(ranks) + 1) - np.repeat(starts, counts)  # 1, 2, ... within each query
    precision = numbers / ranks
    if rule == "trapezoid":
        before = np.where(ranks == 1, 1.0, (numbers - 1) / np.maximum(ranks - 1, 1))
        precision = (precision + before) / 2
    return np.asarray(np.add.reduceat(precision, starts) / counts)


def inverse_negative_penalty(ranks: ArrayLike, counts: ArrayLike) -> NDArray[np.float64]:
    """Compute the number of matches over the rank of the last match (Ye et al. 2021) of each query.

    Args:
        ranks: As for `average_precision`.
        counts: As for `average_precision`.

    Returns:
        (Q,) 0 to 1; 1 when the matches have the first ranks.

    Example:
        >>> inverse_negative_penalty([1, 8], [2])
        array([0.25])
    """
    ranks, counts = as_array(ranks), as_array(counts)
    return np.asarray(counts / ranks[np.cumsum(counts) - 1])
