"""Probability that a sighting belongs to its identity.

N sightings
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from passerby.reviewing.identities import Grouping, SightingGraph, group_means
from passerby.reviewing.links import are_named_apart
from passerby.reviewing.row_blocks import iter_blocks


def rate_members(graph: SightingGraph, grouping: Grouping) -> NDArray[np.float64]:
    """Compute (N,) probabilities that each sighting belongs to its group, against all groups and against none.

    Groups that answers or labels separate from it are left out. For a sighting that is alone it is the probability
    that no other group shows its person.

    Args:
        graph: Sightings.
        grouping: Present groups. A sighting that an answer "same" or a label connects with another one has at least
            1 - `error_rate`.

    Example:
        >>> from passerby.reviewing.evidence import PairModel
        >>> from passerby.reviewing.identities import group_sightings
        >>> from passerby.reviewing.links import count_votes
        >>> graph = SightingGraph.build(np.eye(2, dtype=np.float32)[[0, 0, 1]], np.zeros(3, np.int64))
        >>> grouping = group_sightings(graph, count_votes([], []), PairModel(10.0, -5.0, np.zeros((1, 1))))
        >>> rate_members(graph, grouping).round(2).tolist()
        [0.99, 0.99, 0.99]
    """
    queries, keys = grouping.model.factor(graph.vectors, graph.cameras)
    means, groups, sizes = group_means(keys, grouping.groups), grouping.groups, grouping.sizes
    chances, names = np.empty(len(graph)), grouping.links.name_groups(groups)
    walls = groups[grouping.links.cannot]
    walls = np.unique(np.concatenate([walls, walls[:, ::-1]]), axis=0)  # in the order of the first group
    for rows in iter_blocks(np.arange(len(graph)), len(means)):
        log_odds = (queries[rows] @ means.T).astype(np.float64)
        own, size = groups[rows], sizes[groups[rows]]
        log_odds[are_named_apart(names[own, None], names)] = -np.inf
        low, high = np.searchsorted(walls[:, 0], [own, own + 1])
        for row, (start, end) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
            log_odds[row, walls[start:end, 1]] = -np.inf
        itself = np.einsum("nf,nf->n", queries[rows], keys[rows])
        others = (log_odds[np.arange(len(rows)), own] * size - itself) / np.maximum(size - 1, 1)
        others[size == 1] = 0.0  # alone: what `none` has
        log_odds[np.arange(len(rows)), own] = np.where(size > 1, others, -np.inf)
        top = np.maximum(log_odds.max(axis=1), 0.0)  # 0 is the log odds of none
        log_odds -= top[:, None]
        np.exp(log_odds, out=log_odds)
        chances[rows] = np.exp(others - top) / (log_odds.sum(axis=1) + np.exp(-top))
    answered = np.isin(np.arange(len(graph)), grouping.links.must)
    return np.where(answered, np.maximum(chances, 1 - grouping.error_rate), chances)
