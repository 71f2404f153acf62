"""Which gallery items count for a query, and at which ranks its matches stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from passerby.types import DISTRACTOR, FloatArray, IntArray

_NOBODY = np.empty(0, dtype=np.int64)
_MANY = 500  # matches of one query, above which a sort is cheaper than a sweep for each


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
    is the order of a stable sort. Counting what stands before each match is one sweep over numbers that lie in the
    processor's cache; that beats a sort until a query has hundreds of matches.

    Args:
        distances: (G,) distance to each gallery item; infinity takes an item out. On a GPU, a tensor there.
        matches: (M,) places of the matches, each at a finite distance.

    Returns:
        (M,) ranks from 1, in the order of `matches`; a tensor if `distances` is one, so that nothing waits for it.
    """
    thresholds = distances[matches]  # (M,)
    if isinstance(distances, np.ndarray) and len(matches) > _MANY:
        ranks = np.empty(len(distances), dtype=np.int64)  # (G,)
        ranks[np.argsort(distances, kind="stable")] = np.arange(1, len(distances) + 1)
        return ranks[matches]
    if isinstance(distances, np.ndarray):
        ranks = np.empty(len(matches), dtype=np.int64)
        for m, (place, threshold) in enumerate(zip(matches, thresholds, strict=True)):
            earlier = np.count_nonzero(distances[:place] <= threshold)
            ranks[m] = 1 + earlier + np.count_nonzero(distances[place:] < threshold)
        return ranks
    import torch

    places = torch.arange(len(distances), device=distances.device)
    own = torch.from_numpy(matches).to(distances.device)[:, None]
    before = (distances < thresholds[:, None]) | ((distances == thresholds[:, None]) & (places < own))  # (M, G)
    return 1 + before.sum(dim=1)
