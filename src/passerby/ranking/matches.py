"""Which gallery items count for a query, and at which ranks its matches stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from passerby.types import DISTRACTOR, FloatArray, IntArray

_NOBODY = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Places:
    """Where each person stands in the gallery.

    Attributes:
        by_person: Gallery places, ascending, of each person; distractors are in nobody's.
        camera_ids: (G,) camera of each gallery item.
    """

    by_person: dict[int, IntArray]
    camera_ids: IntArray

    @classmethod
    def of(cls, person_ids: IntArray, camera_ids: IntArray) -> Places:
        """Sort a gallery by person, once for all queries."""
        order = np.argsort(person_ids, kind="stable")
        people, starts = np.unique(person_ids[order], return_index=True)
        groups = np.split(order, starts[1:])
        found = {int(person): group for person, group in zip(people, groups, strict=True) if person != DISTRACTOR}
        return cls(found, camera_ids)

    def split(self, person_id: int, camera_id: int, *, drop_same_camera: bool = True) -> tuple[IntArray, IntArray]:
        """Gallery places of a query's person: those to ignore (the query's own camera), and the matches."""
        places = self.by_person.get(int(person_id), _NOBODY)
        if not drop_same_camera:
            return _NOBODY, places
        same = self.camera_ids[places] == camera_id
        return places[same], places[~same]


def match_ranks(distances: FloatArray, matches: IntArray) -> IntArray:
    """Ranks at which the matches of one query stand, without sorting the gallery.

    An item stands before another when its distance is smaller, or equal and its place in the gallery earlier; that
    is the order of a stable sort.

    Args:
        distances: (G,) distance to each gallery item; infinity takes an item out.
        matches: (M,) places of the matches, ascending, M at least 1, each at a finite distance.

    Returns:
        (M,) ranks from 1, ascending.
    """
    nearest_first = np.argsort(distances[matches], kind="stable")
    matches = matches[nearest_first]
    thresholds = distances[matches]  # (M,) ascending
    rivals = np.flatnonzero(distances <= thresholds[-1])  # the matches are among them
    beaten = np.searchsorted(thresholds, distances[rivals])  # the first match that a rival does not stand behind
    tied = np.flatnonzero(thresholds[beaten] == distances[rivals])
    # At a tie the place decides: (start of the tied matches, place) as one number is sorted over the matches.
    key = np.searchsorted(thresholds, thresholds) * len(distances) + matches
    beaten[tied] = np.searchsorted(key, beaten[tied] * len(distances) + rivals[tied])
    counts = np.bincount(beaten, minlength=len(matches))[: len(matches)]
    return np.cumsum(counts).astype(np.int64)
