"""P x K batches: P identities with K images each, so that a batch holds matches and non-matches of every image.

N images   I identities   P identities of a batch   K images of an identity
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from passerby.errors import DataError
from passerby.text import plural
from passerby.types import IntArray

_IDENTITY_IMAGES = 1
"""Separates the random numbers of `draw_one_per_identity` from those of the batches."""


class PKSampler:
    """Sampler of P x K batches: a pure function of (labels, persons, images, seed, epoch, neighbors).

    In an epoch each identity is drawn at least once, in total about as often as its images fill chunks of K: an
    identity with n images gets n // K chunks of different images (the rest is left out in this epoch), and one chunk
    with repeated images if n < K. The P identities of a batch differ. If the chunks do not fill the last batch, some
    identities get one more; if an identity has more chunks than there can be batches, it gets fewer.

    With several processes, each takes its P / world identities of the same global batch: the batches of the ranks, one
    after the other, are the batch of a single process.

    After `set_neighbors`, a batch is drawn in groups: an identity and those nearest to it that still have visits in
    this epoch. The number of visits of each identity does not change. Source: graph sampling, where a batch is one such
    group (Liao and Shao, "Graph Sampling Based Deep Metric Learning for Generalizable Person Re-Identification", 2022).
    Several groups keep a part of the batch random.

    Args:
        labels: (N,) class of each training image.
        persons: P, identities in the global batch.
        images: K, images of each identity.
        alike: Identities of a group, at least 1: 4 draws an identity with its three nearest. 1 draws all at random.
        seed: Seed of the run, at least 0.
        rank: Number of this process, from 0.
        world: Number of processes that share a batch.

    Raises:
        DataError: For more people than identities, people that the processes cannot share evenly, or data without
            two images of any identity while K > 1.

    Example:
        >>> sampler = PKSampler([0, 0, 0, 1, 1, 2, 2], persons=2, images=2, seed=0)
        >>> len(sampler), [len(batch) for batch in sampler]
        (2, [4, 4])
    """

    def __init__(
        self, labels: ArrayLike, *, persons: int, images: int, seed: int, alike: int = 1, rank: int = 0, world: int = 1
    ) -> None:
        assert 0 <= rank < world
        assert alike >= 1
        _, classes, sizes = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
        _require_batches(sizes, persons=persons, images=images, world=world)
        self.persons = persons
        self.images = images
        self.alike = alike
        self._neighbors: IntArray | None = None
        self._seed = seed
        self._epoch = 0
        own = persons // world * images
        self._own = slice(rank * own, (rank + 1) * own)
        self._members: list[IntArray] = np.split(np.argsort(classes, kind="stable"), np.cumsum(sizes)[:-1])
        self._chunks = np.maximum(sizes // images, 1)
        self._batches = _count_batches(self._chunks, persons)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration, from 0."""
        self._epoch = epoch

    def set_neighbors(self, neighbors: IntArray | None) -> None:
        """Set the neighbors of each identity from the next iteration on.

        Args:
            neighbors: (I, n) identities, nearest first, without the identity itself; None draws all at random.
        """
        if neighbors is not None:
            assert len(neighbors) == len(self._members)
            assert not (neighbors == np.arange(len(neighbors))[:, None]).any()
        self._neighbors = neighbors

    def draw_one_per_identity(self, epoch: int) -> IntArray:
        """Draw one image of each identity: (I,) indices in the order of the labels, different in every epoch."""
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, epoch], spawn_key=(_IDENTITY_IMAGES,)))
        return np.array([members[rng.integers(len(members))] for members in self._members])

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        """Yield the indices of this rank's (P / world) x K images of each batch, identity by identity."""
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, self._epoch]))
        visits = self._count_visits(rng)
        stock = [np.empty(0, dtype=np.int64) for _ in self._members]
        for left in range(self._batches, 0, -1):
            order = _order_persons(visits, self.persons, left=left, rng=rng)
            if self._neighbors is not None:
                order = _group_neighbors(order, self._neighbors, visits, self.persons, left=left, group=self.alike)
            drawn = rng.permutation(order)
            visits[drawn] -= 1
            batch: list[int] = []
            for person in drawn:
                if len(stock[person]) < self.images:
                    members = rng.permutation(self._members[person])
                    stock[person] = members if len(members) >= self.images else np.resize(members, self.images)
                chunk, stock[person] = np.split(stock[person], [self.images])
                batch += chunk.tolist()
            yield batch[self._own]

    def _count_visits(self, rng: np.random.Generator) -> IntArray:
        """Count the draws of each identity in this epoch: (I,), 1 to the number of batches, batches x P in total."""
        visits = np.minimum(self._chunks, self._batches)
        surplus = int(visits.sum()) - self._batches * self.persons
        while surplus != 0:
            step = 1 if surplus > 0 else -1
            candidates = np.flatnonzero(visits > 1) if step > 0 else np.flatnonzero(visits < self._batches)
            changed = rng.permutation(candidates)[: abs(surplus)]
            visits[changed] -= step
            surplus -= step * len(changed)
        return visits


def _count_batches(chunks: IntArray, persons: int) -> int:
    """Count the batches of different identities that the chunks (I,) fill; at least one batch for each identity.

    b batches can be filled exactly when sum(min(chunks, b)) >= b * persons, as an identity is in a batch only once.
    """
    low, high = 1, max(1, int(chunks.sum()) // persons)
    while low < high:
        middle = (low + high + 1) // 2
        if int(np.minimum(chunks, middle).sum()) >= middle * persons:
            low = middle
        else:
            high = middle - 1
    return max(low, -(-len(chunks) // persons))


def _order_persons(visits: IntArray, persons: int, *, left: int, rng: np.random.Generator) -> IntArray:
    """Draw (P,) different identities, weighted by their remaining visits, in the order of the draw.

    An identity with as many visits left as there are batches left must be drawn now, and comes first. Weighted draws
    without replacement are the P largest of log(weight) + Gumbel noise (Efraimidis and Spirakis 2006).
    """
    with np.errstate(divide="ignore"):
        keys = np.log(visits) + rng.gumbel(size=len(visits))
    keys[visits == left] = np.inf
    first = np.argpartition(-keys, persons - 1)[:persons]
    return first[np.argsort(-keys[first], kind="stable")]


def _group_neighbors(
    order: IntArray, neighbors: IntArray, visits: IntArray, persons: int, *, left: int, group: int
) -> IntArray:
    """Return (P,) the identities of `order`, each followed by its nearest with visits left, until the batch is full.

    An identity and its neighbors are `group` identities, or fewer if fewer have visits left or the rest of the batch is
    reserved for identities that must be drawn.
    """
    must = set(np.flatnonzero(visits == left).tolist())
    chosen: dict[int, None] = {}  # in order
    for person in order.tolist():
        if person in chosen:
            continue
        must.discard(person)
        chosen[person] = None
        size = 1
        for other in neighbors[person].tolist():
            if size == group or len(chosen) + len(must - {other}) >= persons:
                break
            if visits[other] > 0 and other not in chosen:
                must.discard(other)
                chosen[other] = None
                size += 1
        if len(chosen) == persons:
            break
    return np.fromiter(chosen, dtype=np.int64)


def _require_batches(sizes: IntArray, *, persons: int, images: int, world: int) -> None:
    if persons > len(sizes):
        raise DataError(
            f"batches.persons: a batch takes {plural(persons, 'person')}, but the training data has "
            f"{plural(len(sizes), 'identity')}; lower batches.persons or add data"
        )
    if persons % world:
        raise DataError(
            f"batches.persons: {plural(persons, 'person')} cannot be shared evenly by {plural(world, 'process')}; use "
            f"a multiple of {world}"
        )
    if images > 1 and sizes.max() < 2:
        raise DataError(
            f"training data: none of the {plural(len(sizes), 'identity')} has two images, so there is no pair to learn "
            "from; check how person ids are read, or set batches.images to 1"
        )
