"""Confidence intervals of metrics for another sample of identities: percentile bootstrap."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.types import as_array

_CELLS = 2**21  # identities x replicates drawn at a time (16 MB)


def bootstrap_intervals(
    values: ArrayLike,
    person_ids: ArrayLike,
    *,
    replicates: int,
    generator: np.random.Generator,
    level: float = 0.95,
) -> NDArray[np.float64]:
    """Compute percentile intervals of means over queries, by resampling identities (Efron 1979, by clusters).

    The results of queries of one identity are correlated; resampling single queries would give too narrow an interval.

    Args:
        values: (Q, F) metrics of the valid queries.
        person_ids: (Q,) identity of each query.
        replicates: Number of resamples, at least 1.
        generator: Random generator.
        level: Fraction of the replicates inside the interval, 0 to 1.

    Returns:
        (F, 2) lower and upper end. With a single identity the interval has width 0.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> bootstrap_intervals([[1.0], [1.0], [0.0]], [1, 1, 2], replicates=100, generator=generator).tolist()
        [[0.0, 1.0]]
    """
    metrics = as_array(values)
    identities, membership = np.unique(as_array(person_ids), return_inverse=True)
    count = len(identities)
    sums = np.zeros((count, metrics.shape[1]))
    np.add.at(sums, membership, metrics)
    queries = np.bincount(membership).astype(np.float64)
    means = np.empty((replicates, metrics.shape[1]))
    chunk = max(1, _CELLS // count)
    for start in range(0, replicates, chunk):
        stop = min(start + chunk, replicates)
        times = generator.multinomial(count, np.full(count, 1 / count), size=stop - start)  # (b, I)
        means[start:stop] = (times @ sums) / (times @ queries)[:, None]
    tail = (1 - level) / 2
    return np.quantile(means, [tail, 1 - tail], axis=0).T
