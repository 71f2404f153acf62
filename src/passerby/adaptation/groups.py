"""Groups of crops that show one person (identities or tracks), and the split into learned and held-out ones.

N crops
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass

import numpy as np

from passerby.adaptation.halves_judge import HalvesJudge
from passerby.adaptation.judge import HELD_OUT, MIN_GROUPS, MOST_HELD_OUT, Judge
from passerby.adaptation.site import Site
from passerby.metric.covariance import UNKNOWN
from passerby.reviewing.links import resolve_links
from passerby.text import plural
from passerby.types import IntArray

logger = logging.getLogger(__name__)

EXPECTED = f"expected {math.ceil(MIN_GROUPS / HELD_OUT)} or more, of which {100 * HELD_OUT:.0f} % are held out"
"""What is expected where there are too few groups."""


@dataclass(frozen=True)
class Groups:
    """Groups of crops that show one person.

    Attributes:
        numbers: (N,) group of each crop, or `UNKNOWN`.
        kind: `identities`, `tracks`, or, without both, `similar` crops of a camera; answers of a review may join the
            last two.
        usable: Number of groups with a match: two crops of one camera, or of two cameras for identities.
        judge: Held-out groups; None if there would be fewer than `MIN_GROUPS`.
        obstacle: Why there is no judge.
    """

    numbers: IntArray
    kind: str
    usable: int
    judge: Judge | HalvesJudge | None
    obstacle: str = ""

    @property
    def learned(self) -> IntArray:
        """(N,) groups without the held-out ones."""
        return self.numbers if self.judge is None else np.where(self.judge.held_out, UNKNOWN, self.numbers)


def describe_groups(count: int, kind: str) -> str:
    """Write a number of usable groups of a kind for a reader.

    Example:
        >>> describe_groups(70, "tracks"), describe_groups(1, "similar")
        ('70 tracks with a match', '1 group of similar crops')
    """
    return f"{plural(count, 'group')} of similar crops" if kind == "similar" else f"{count:,} {kind} with a match"


def find_groups(site: Site, *, labels: bool, seed: int) -> Groups:
    """Join the crops that show one person, and hold out some of the groups at random.

    Args:
        site: The crops.
        labels: Groups are identities; otherwise tracks.
        seed: Seed of the draw.
    """
    numbers = join_groups(site, site.persons if labels else site.tracks)
    usable = _find_usable(numbers, site.camera_ids, across=labels)
    drawn = np.random.default_rng(seed).permutation(usable)[: count_held_out(len(usable))]
    held_out = np.isin(numbers, drawn)
    judge = Judge(numbers, site.camera_ids, held_out, across=labels) if len(drawn) >= MIN_GROUPS else None
    kind, what = ("identities", "in two cameras") if labels else ("tracks", "with two crops")
    obstacle = "" if judge else f"{len(usable)} {kind} {what}; {EXPECTED}"
    return Groups(numbers, kind, len(usable), judge, obstacle)


def count_held_out(usable: int) -> int:
    """Return how many of the usable groups are held out.

    Example:
        >>> [count_held_out(usable) for usable in (40, 970)]
        [12, 150]
    """
    return min(round(HELD_OUT * usable), MOST_HELD_OUT)


def join_groups(site: Site, numbers: IntArray) -> IntArray:
    """Join groups that must-links connect.

    A group of which two crops have a cannot-link shows two people: its crops are taken apart. A must-link that would
    join groups with a cannot-link between them is not used. A crop without a group and with a link is its own group.

    Args:
        site: The crops, with their links.
        numbers: (N,) track or identity of each crop, or `UNKNOWN`.
    """
    must, cannot = site.links.must, site.links.cannot
    inside = (numbers[cannot[:, 0]] == numbers[cannot[:, 1]]) & (numbers[cannot[:, 0]] != UNKNOWN)
    mixed = np.unique(numbers[cannot[inside, 0]])
    numbers = np.where(np.isin(numbers, mixed), UNKNOWN, numbers)
    chains = [np.empty((0, 2), np.int64)]
    for group in np.unique(numbers[numbers != UNKNOWN]):
        rows = np.flatnonzero(numbers == group)
        chains.append(np.stack([rows[:-1], rows[1:]], axis=1))
    chain = np.concatenate(chains)
    pairs = np.concatenate([chain, cannot, must])
    signs = np.repeat([1, -1, 1], [len(chain), len(cannot), len(must)])
    weights = np.repeat([3, 2, 1], [len(chain), len(cannot), len(must)])  # the order in which they are believed
    links = resolve_links(len(numbers), pairs, signs, weights)
    if len(mixed):
        logger.warning(
            "%s not learned from: two of its crops are known to show two people", plural(len(mixed), "track")
        )
    if links.conflicts:
        count = plural(len(links.conflicts), "must-link")
        logger.warning("%s not used: cannot-links contradict", count)
    known = numbers != UNKNOWN
    known[np.concatenate([must, cannot]).ravel()] = True
    return np.where(known, links.components, UNKNOWN)


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
