"""Single-gallery-shot protocol: galleries of one random image per identity (the classic protocol of CUHK03)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.types import FloatArray, IntArray


@dataclass(frozen=True)
class SingleShotGallery:
    """A gallery sorted by identity, from which single-shot galleries are drawn.

    Distractors (identity 0) count as one identity, as in Torchreid.

    Attributes:
        identities: (I,) identities, ascending.
        order: (G,) gallery indices, sorted by identity.
        starts: (I,) first index of each identity in `order`.
        counts: (I,) number of images of each identity.
    """

    identities: IntArray
    order: IntArray
    starts: IntArray
    counts: IntArray

    @classmethod
    def from_ids(cls, person_ids: IntArray) -> SingleShotGallery:
        """Sort the (G,) identities of a gallery."""
        identities, starts, counts = np.unique(np.sort(person_ids), return_index=True, return_counts=True)
        return cls(identities, np.argsort(person_ids, kind="stable"), starts, counts)

    def draw_ranks(
        self,
        distances: FloatArray,
        matches: IntArray,
        *,
        person_id: int,
        repeats: int,
        generator: np.random.Generator,
    ) -> IntArray:
        """Compute the rank of one query's match in each of `repeats` drawn galleries of one image per identity.

        Args:
            distances: (G,) distance of the query to each gallery item.
            matches: (M,) gallery indices that may be drawn for the query's identity, M at least 1.
            person_id: Identity of the query, one of `identities`.
            repeats: Number of drawn galleries.
            generator: Random generator.

        Returns:
            (repeats,) ranks from 1; at equal distances the smaller gallery index is first.
        """
        draws = generator.random((repeats, len(self.identities)))
        drawn = self.order[self.starts + (draws * self.counts).astype(np.int64)]  # (repeats, I)
        own = int(np.searchsorted(self.identities, person_id))
        shot = matches[(draws[:, [own]] * len(matches)).astype(np.int64)]  # (repeats, 1)
        others, match = distances[drawn], distances[shot]
        ahead: NDArray[np.bool_] = (others < match) | ((others == match) & (drawn < shot))
        ahead[:, own] = False
        ranks: IntArray = ahead.sum(axis=1, dtype=np.int64) + 1
        return ranks
