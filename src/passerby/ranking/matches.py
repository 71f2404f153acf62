"""Which gallery items count for a query, and at which ranks its matches stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from passerby.types import DISTRACTOR, IntArray

_NOBODY = np.empty(0, dtype=np.int64)
_CELLS = 2**26  # distances that a GPU compares at a time


@dataclass(frozen=True)
class IdentityIndex:
    """Where each person stands in the gallery.

    Attributes:
        by_person: Gallery places, ascending, of each person; distractors are in nobody's.
        camera_ids: (G,) camera of each gallery item.
    """

    by_person: dict[int, IntArray]
    camera_ids: IntArray

    @classmethod
    def from_labels(cls, person_ids: IntArray, camera_ids: IntArray) -> IdentityIndex:
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


def rank_matches(strip: Any, rows: IntArray, places: IntArray) -> Any:
    """Ranks at which matches stand in their queries' lists, without sorting any.

    An item stands before another when its distance is smaller, or equal and its place in the gallery earlier; that
    is the order of a stable sort. Counting what stands before one match is a single sweep over its row, at the speed
    of the processor's cache.

    Args:
        strip: (q, G) distances of q queries, contiguous float32 or float64; infinity takes an item out. An array, or on
            a GPU a tensor there.
        rows: (T,) which query of the strip each match belongs to.
        places: (T,) its place in the gallery, at a finite distance.

    Returns:
        (T,) int64 ranks from 1; a tensor if `strip` is one, so that nothing waits for it.
    """
    if isinstance(strip, np.ndarray):
        ranks = np.empty(len(rows), dtype=np.int64)
        _count(strip, rows, places, ranks)
        return ranks
    import torch

    columns = torch.arange(strip.shape[1], device=strip.device)
    found = []
    chunk = max(1, _CELLS // strip.shape[1])
    for start in range(0, len(rows), chunk):
        row, place = (torch.from_numpy(each[start : start + chunk]).to(strip.device) for each in (rows, places))
        distances, thresholds = strip[row], strip[row, place][:, None]  # (t, G), (t, 1)
        earlier = columns < place[:, None]
        found.append(1 + ((distances < thresholds) | ((distances == thresholds) & earlier)).sum(dim=1))
    return torch.cat(found)


@njit(nogil=True, cache=True)
def _count(strip: Any, rows: Any, places: Any, ranks: Any) -> None:
    """Fill `ranks`, compiled: two plain loops over 32-bit counters, which become vector instructions."""
    for i in range(len(rows)):
        row, place = strip[rows[i]], places[i]
        threshold = row[place]
        earlier, later = row[:place], row[place:]
        count = np.int32(1)
        for g in range(earlier.shape[0]):
            if earlier[g] <= threshold:
                count = np.int32(count + 1)
        for g in range(later.shape[0]):
            if later[g] < threshold:
                count = np.int32(count + 1)
        ranks[i] = count
