"""Groups of crops that show one person (identities or tracks), and the split into learned and held-out ones.

N crops
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from passerby.adaptation.covariance import UNKNOWN
from passerby.adaptation.judge import HELD_OUT, MIN_GROUPS, Judge
from passerby.adaptation.site import Site
from passerby.reviewing.links import UnionFind
from passerby.types import IntArray


@dataclass(frozen=True)
class Groups:
    """Groups of crops that show one person.

    Attributes:
        numbers: (N,) group of each crop, or `UNKNOWN`.
        kind: `identities`, or `tracks`, which may be joined by answers of a review.
        usable: Number of groups with a match: two crops of one camera (tracks) or of two cameras (identities).
        judge: Held-out groups; None if there would be fewer than `MIN_GROUPS`.
    """

    numbers: IntArray
    kind: str
    usable: int
    judge: Judge | None

    @property
    def learned(self) -> IntArray:
        """(N,) groups without the held-out ones."""
        return self.numbers if self.judge is None else np.where(self.judge.held_out, UNKNOWN, self.numbers)


def find_groups(site: Site, *, labels: bool, seed: int) -> Groups:
    """Join the crops that show one person, and hold out some of the groups at random.

    Args:
        site: The crops.
        labels: Groups are identities; otherwise tracks.
        seed: Seed of the draw.
    """
    numbers = join_groups(site, site.persons if labels else site.tracks)
    usable = _find_usable(numbers, site.camera_ids, across=labels)
    drawn = np.random.default_rng(seed).permutation(usable)[: round(HELD_OUT * len(usable))]
    held_out = np.isin(numbers, drawn)
    judge = Judge(numbers, site.camera_ids, held_out, across=labels) if len(drawn) >= MIN_GROUPS else None
    return Groups(numbers, "identities" if labels else "tracks", len(usable), judge)


def join_groups(site: Site, numbers: IntArray) -> IntArray:
    """Join groups that must-links connect; a crop without a group and with a link is a group of its own before."""
    sets = UnionFind(len(numbers))
    for group in np.unique(numbers[numbers != UNKNOWN]):
        first, *others = np.flatnonzero(numbers == group).tolist()
        for other in others:
            sets.join(first, other)
    for first, second in site.links.must.tolist():
        sets.join(first, second)
    roots = sets.roots()
    counts = np.bincount(roots, minlength=len(numbers))
    known = (numbers != UNKNOWN) | (counts[roots] > 1)
    return np.where(known, roots, UNKNOWN)


def _find_usable(numbers: IntArray, camera_ids: IntArray, *, across: bool) -> IntArray:
    """Return the groups with two crops in one camera, or `across` two cameras."""
    keys = np.stack([numbers, camera_ids], axis=1)[numbers != UNKNOWN]
    if not len(keys):
        return np.empty(0, np.int64)
    views, counts = np.unique(keys, axis=0, return_counts=True)
    if across:
        groups, cameras = np.unique(views[:, 0], return_counts=True)
        return np.asarray(groups[cameras > 1])
    return np.unique(views[counts > 1, 0])
