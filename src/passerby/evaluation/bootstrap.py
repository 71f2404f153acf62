"""How far a figure could be from another sample of people: percentile bootstrap over identities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from passerby.types import IntArray

_CELLS = 2**21  # identities x replicates drawn at a time (16 MB)


def bootstrap_intervals(
    values: NDArray[np.float64],
    person_ids: IntArray,
    *,
    replicates: int,
    generator: np.random.Generator,
    level: float = 0.95,
) -> NDArray[np.float64]:
    """Percentile intervals of means over queries, drawing identities with their queries (Efron 1979, by clusters).

    Queries of one person succeed and fail together; drawing queries one by one would promise too narrow an interval.

    Args:
        values: (Q, F) figures of the valid queries.
        person_ids: (Q,) person of each.
        replicates: How many samples of identities to draw, at least 1.
        generator: Source of the draws.
        level: Share of the replicates inside the interval.

    Returns:
        (F, 2) lower and upper end. One identity alone gives an interval without width.
    """
    people, membership = np.unique(person_ids, return_inverse=True)
    identities = len(people)
    sums = np.zeros((identities, values.shape[1]))
    np.add.at(sums, membership, values)
    counts = np.bincount(membership).astype(np.float64)
    means = np.empty((replicates, values.shape[1]))
    chunk = max(1, _CELLS // identities)
    for start in range(0, replicates, chunk):
        stop = min(start + chunk, replicates)
        times = generator.multinomial(identities, np.full(identities, 1 / identities), size=stop - start)  # (b, I)
        means[start:stop] = (times @ sums) / (times @ counts)[:, None]
    tail = (1 - level) / 2
    return np.quantile(means, [tail, 1 - tail], axis=0).T
