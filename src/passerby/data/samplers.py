"""P x K batches: P identities, K images of each, so that every image has its likes and many others to compare with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from torch.utils.data import Sampler

from passerby.errors import DataError
from passerby.types import IntArray

_PORTRAITS = 1
"""Keeps the draw of one image of each identity apart from that of the batches."""


class PKSampler(Sampler[list[int]]):
    """The batches of an epoch, a pure function of (labels, persons, images, seed, epoch) and of `set_alike`.

    In an epoch every identity is drawn at least once, and in all about as often as its images fill chunks of K: an
    identity with n images gets n // K chunks of different images (what is over sits this epoch out), and one chunk with
    repeats where n < K. The persons of a batch differ. Where the chunks do not fill the last batch, some identities
    get one more; where one identity has more chunks than there can be batches, it gets fewer.

    With several processes, each takes its P / world persons of the same global batch: the ranks' batches one after the
    other are the batch of a single process.

    Once `set_alike` has said who looks like whom, a batch is drawn in groups: a person, and with it those nearest to
    it who still have visits in this epoch. How often anybody is drawn stays as it was. (Graph sampling, where one such
    group is a batch: Liao and Shao, "Graph Sampling Based Deep Metric Learning for Generalizable Person
    Re-Identification", 2022. Several groups keep a part of the batch random.)

    Args:
        labels: (N,) class of each training image.
        persons: P, identities in the global batch.
        images: K, images of each.
        alike: Persons of a group, at least 1: 4 draws each person with three who look like it. 1 draws all at random.
        seed: Of the whole run, at least 0.
        rank: Which process this is, from 0.
        world: How many processes share the batch.

    Raises:
        DataError: For more persons than identities, persons that the processes cannot share evenly, or data without
            two images of anybody although K > 1.
    """

    def __init__(
        self, labels: ArrayLike, *, persons: int, images: int, seed: int, alike: int = 1, rank: int = 0, world: int = 1
    ) -> None:
        assert 0 <= rank < world
        assert alike >= 1
        _, classes, sizes = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
        _check(sizes, persons=persons, images=images, world=world)
        self.persons = persons
        self.images = images
        self.alike = alike
        self._near: IntArray | None = None
        self._seed = seed
        self._epoch = 0
        share = persons // world
        self._mine = slice(rank * share * images, (rank + 1) * share * images)
        self._members: list[IntArray] = np.split(np.argsort(classes, kind="stable"), np.cumsum(sizes)[:-1])
        self._chunks = np.maximum(sizes // images, 1)
        self._batches = _count_batches(self._chunks, persons)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, that the next iteration goes through."""
        self._epoch = epoch

    def set_alike(self, near: IntArray | None) -> None:
        """Say who looks like whom, from the next iteration on: (I, n) identities, nearest first; None forgets it."""
        assert near is None or (len(near) == len(self._members) and not (near == np.arange(len(near))[:, None]).any())
        self._near = near

    def one_of_each(self, epoch: int) -> IntArray:
        """(I,) an image of each identity, in the order of their labels; another one in another epoch."""
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, epoch], spawn_key=(_PORTRAITS,)))
        return np.array([members[rng.integers(len(members))] for members in self._members])

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        """Indices of this rank's (persons / world) x images images, image after image of one person, per batch."""
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, self._epoch]))
        visits = self._visits(rng)
        stock = [np.empty(0, dtype=np.int64) for _ in self._members]
        for left in range(self._batches, 0, -1):
            order = _order_persons(visits, self.persons, left=left, rng=rng)
            if self._near is not None:
                order = _with_alike(order, self._near, visits, self.persons, left=left, group=self.alike)
            drawn = rng.permutation(order)
            visits[drawn] -= 1
            batch: list[int] = []
            for person in drawn:
                if len(stock[person]) < self.images:
                    members = rng.permutation(self._members[person])
                    stock[person] = members if len(members) >= self.images else np.resize(members, self.images)
                chunk, stock[person] = np.split(stock[person], [self.images])
                batch += chunk.tolist()
            yield batch[self._mine]

    def _visits(self, rng: np.random.Generator) -> IntArray:
        """How often each identity is drawn in this epoch: (I,) from 1 to the number of batches, batches x P in all."""
        visits = np.minimum(self._chunks, self._batches)
        surplus = int(visits.sum()) - self._batches * self.persons
        while surplus != 0:
            step = 1 if surplus > 0 else -1
            able = np.flatnonzero(visits > 1) if step > 0 else np.flatnonzero(visits < self._batches)
            moved = rng.permutation(able)[: abs(surplus)]
            visits[moved] -= step
            surplus -= step * len(moved)
        return visits


def _count_batches(chunks: IntArray, persons: int) -> int:
    """The most batches of different persons that the chunks (I,) fill, and enough that everybody is in one.

    b batches can be filled exactly when sum(min(chunks, b)) >= b * persons: nobody is in a batch twice.
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
    """(P,) different identities, each with a chance that grows with its visits left, in the order that they are drawn.

    Whoever has as many visits left as there are batches left must be drawn, or would not find room later, and is
    first. Successive draws without replacement by weight: the P largest of log(weight) + Gumbel noise (Efraimidis and
    Spirakis 2006).
    """
    with np.errstate(divide="ignore"):
        keys = np.log(visits) + rng.gumbel(size=len(visits))
    keys[visits == left] = np.inf
    first = np.argpartition(-keys, persons - 1)[:persons]
    return first[np.argsort(-keys[first], kind="stable")]


def _with_alike(order: IntArray, near: IntArray, visits: IntArray, persons: int, *, left: int, group: int) -> IntArray:
    """(P,) the persons of `order`, each followed by the nearest with visits left, until the batch is full.

    A person and its company are `group`, and fewer where fewer have visits left or seats are kept for those who must be
    drawn.
    """
    must = set(np.flatnonzero(visits == left).tolist())
    chosen: dict[int, None] = {}  # in order
    for person in order.tolist():
        if person in chosen:
            continue
        must.discard(person)
        chosen[person] = None
        company = 1
        for other in near[person].tolist():
            if company == group or len(chosen) + len(must - {other}) >= persons:
                break
            if visits[other] > 0 and other not in chosen:
                must.discard(other)
                chosen[other] = None
                company += 1
        if len(chosen) == persons:
            break
    return np.fromiter(chosen, dtype=np.int64)


def _check(sizes: IntArray, *, persons: int, images: int, world: int) -> None:
    if persons > len(sizes):
        raise DataError(
            f"batches.persons: a batch takes {persons} persons, but the training data has {len(sizes)} identities; "
            "lower batches.persons or add data"
        )
    if persons % world:
        raise DataError(
            f"batches.persons: {persons} persons cannot be shared evenly by {world} processes; "
            f"use a multiple of {world}"
        )
    if images > 1 and sizes.max() < 2:
        raise DataError(
            f"training data: none of the {len(sizes)} identities has two images, so there is no pair to learn from; "
            "check how person ids are read, or set batches.images to 1"
        )
