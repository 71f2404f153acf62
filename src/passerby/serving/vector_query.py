"""Searches and identifications of one vector each, and those of equal conditions together. D embedding width."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from passerby.gallery.filters import Filter
from passerby.gallery.gallery import Gallery
from passerby.types import FloatArray


@dataclass(frozen=True, eq=False)
class VectorQuery:
    """A search or an identification of one vector; `key` is equal for those that can be computed together."""

    vector: FloatArray  # (D,)
    user: str
    where: Filter
    seen_by: str | None
    top: int | None = None  # None identifies
    unknown: float = 0.5
    at_least: float = 0.5

    @property
    def key(self) -> Hashable:
        """Everything but the vector."""
        return (self.user, repr(self.where), self.seen_by, self.top, self.unknown, self.at_least)


def answer(gallery: Gallery, items: Sequence[VectorQuery]) -> Sequence[Any]:
    """Answer queries of equal keys."""
    query, vectors = items[0], np.stack([item.vector for item in items])
    if query.top is not None:
        return gallery.search_vectors(vectors, top=query.top, where=query.where, seen_by=query.seen_by)
    return gallery.identify_vectors(
        vectors, where=query.where, unknown=query.unknown, at_least=query.at_least, seen_by=query.seen_by
    )
