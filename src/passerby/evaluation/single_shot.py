"""Single-gallery-shot: one random gallery image per identity, drawn again and again (CUHK03's classic protocol)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.types import FloatArray, IntArray


@dataclass(frozen=True)
class SingleShotGallery:
    """A gallery sorted by identity, ready to be drawn from.

    Distractors (person 0) count as one identity, as in Torchreid.

    Attributes:
        people: (I,) person ids, ascending.
        order: (G,) gallery places, sorted by person.
        starts: (I,) where each person begins in `order`.
        counts: (I,) images of each person.
    """

    people: IntArray
    order: IntArray
    starts: IntArray
    counts: IntArray

    @classmethod
    def from_ids(cls, person_ids: IntArray) -> SingleShotGallery:
        """Sort a gallery's person ids (G,), once for all queries."""
        people, starts, counts = np.unique(np.sort(person_ids), return_index=True, return_counts=True)
        return cls(people, np.argsort(person_ids, kind="stable"), starts, counts)

    def ranks(
        self,
        distances: FloatArray,
        matches: IntArray,
        *,
        person_id: int,
        repeats: int,
        generator: np.random.Generator,
    ) -> IntArray:
        """Rank of one query's match in each of `repeats` galleries of one image per identity.

        Args:
            distances: (G,) distance of the query to each gallery item.
            matches: (M,) the places that may be drawn for the query's own person, M at least 1.
            person_id: The query's person, one of `people`.
            repeats: Galleries to draw, each anew for each query.
            generator: Source of the draws.

        Returns:
            (repeats,) ranks from 1; at equal distances the earlier place stands first.
        """
        draws = generator.random((repeats, len(self.people)))
        drawn = self.order[self.starts + (draws * self.counts).astype(np.int64)]  # (repeats, I)
        own = int(np.searchsorted(self.people, person_id))
        shot = matches[(draws[:, [own]] * len(matches)).astype(np.int64)]  # (repeats, 1)
        others, match = distances[drawn], distances[shot]
        ahead: NDArray[np.bool_] = (others < match) | ((others == match) & (drawn < shot))
        ahead[:, own] = False
        ranks: IntArray = ahead.sum(axis=1, dtype=np.int64) + 1
        return ranks
