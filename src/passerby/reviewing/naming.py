"""Stable ids of identities while groups change, and the identity of new sightings.

N sightings   G groups   I identities
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from passerby.reviewing.evidence import PairModel
from passerby.reviewing.identities import group_means
from passerby.types import FloatArray, IntArray


def match_identities(
    groups: Sequence[int],
    identities: Sequence[str | None],
    anchors: Mapping[str, int],
    make_id: Callable[[], str],
) -> dict[int, str]:
    """Give each group an identity: the one that most of its sightings had, as far as it is free.

    Groups are matched by the number of common sightings, the largest first; of equal numbers the group with the
    identity's anchor counts, and then the older identity. A group that is left takes the identity
    whose anchor, a sighting of its first group, it contains: so a merge that is undone gives the earlier identity back.
    Other groups are new identities.

    Args:
        groups: (N,) group of each sighting.
        identities: (N,) identity that each sighting had; None for a new one.
        anchors: Index of the anchor of each identity, of those without sightings too, the oldest first.
        make_id: Returns a new id.

    Returns:
        Identity of each group.

    Example:
        >>> numbers = iter(["new"])
        >>> match_identities([0, 0, 1, 2], ["a", "a", "a", None], {"a": 0, "b": 2}, lambda: next(numbers))
        {0: 'a', 1: 'b', 2: 'new'}
    """
    common = Counter((g, name) for g, name in zip(groups, identities, strict=True) if name is not None)
    matched: dict[int, str] = {}
    taken: set[str] = set()
    age = {name: number for number, name in enumerate(anchors)}

    def order(item: tuple[tuple[int, str], int]) -> tuple[int, bool, int, int]:
        (group, name), number = item
        anchored = name in anchors and groups[anchors[name]] == group
        return -number, not anchored, age.get(name, len(age)), group

    for (group, name), _ in sorted(common.items(), key=order):
        if group not in matched and name not in taken:
            matched[group] = name
            taken.add(name)
    for name, anchor in anchors.items():
        if name not in taken and groups[anchor] not in matched:
            matched[groups[anchor]] = name
            taken.add(name)
    for group in dict.fromkeys(groups):
        if group not in matched:
            matched[group] = make_id()
    return dict(sorted(matched.items()))


def assign_new(
    vectors: FloatArray, cameras: IntArray, groups: IntArray, new: IntArray, model: PairModel
) -> tuple[IntArray, NDArray[np.float64]]:
    """Assign sightings to groups, or to new groups, one after the other, without changing the others.

    With s(k) the mean log odds between a sighting and group k, it belongs to k with probability exp s(k) / (1 + sum of
    exp s), and to none of them with the rest. A group is chosen if its probability is at least that of none.

    Args:
        vectors: (N, D) of unit length.
        cameras: (N,) camera of each sighting.
        groups: (N,) group of each sighting, -1 for a new one.
        new: Indices of the new sightings.
        model: Log odds of pairs.

    Returns:
        (N,) groups, and the probability of each new sighting's group.

    Example:
        >>> vectors, cameras = np.array([[1, 0], [1, 0], [0, 1]], np.float32), np.zeros(3, np.int64)
        >>> model = PairModel(10.0, -5.0, np.zeros((1, 1)))
        >>> groups, probabilities = assign_new(vectors, cameras, np.array([0, -1, -1]), np.array([1, 2]), model)
        >>> groups.tolist(), probabilities.round(2).tolist()
        ([0, 0, 1], [0.99, 0.99])
    """
    queries, keys = model.factor(vectors, cameras)
    result = groups.copy()
    count = int(groups.max(initial=-1)) + 1
    placed = groups >= 0
    means = np.zeros((count + len(new), keys.shape[1]), np.float64)
    sizes = np.zeros(count + len(new))
    if count:
        means[:count], sizes[:count] = group_means(keys[placed], groups[placed]), np.bincount(groups[placed])
    probabilities = np.empty(len(new))
    for position, index in enumerate(new.tolist()):
        log_odds = means[:count] @ queries[index].astype(np.float64)
        total = np.logaddexp.reduce(np.append(log_odds, 0.0))
        best = int(log_odds.argmax()) if count else -1
        if count and log_odds[best] >= 0:
            probabilities[position] = np.exp(log_odds[best] - total)
        else:
            best, count = count, count + 1
            probabilities[position] = np.exp(-total)
        result[index] = best
        sizes[best] += 1
        means[best] += (keys[index] - means[best]) / sizes[best]
    return result, probabilities
