"""What every store refuses, in the same words.

D embedding width   Q queries
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from passerby.errors import GalleryError
from passerby.gallery.sightings import Filter, Removal, Sighting, require_label
from passerby.types import FloatArray


def check_sightings(sightings: Sequence[Sighting], dimension: int) -> list[Sighting]:
    """The sightings, those that are given twice once.

    Raises:
        GalleryError: For a vector of another width, naming the first.
    """
    for each in sightings:
        if len(each.vector) != dimension:
            raise GalleryError(
                f"sighting {each.source or each.id}: vector of {len(each.vector)} numbers, this gallery's have "
                f"{dimension}; embed it with the gallery's model"
            )
    return list({each.id: each for each in reversed(sightings)}.values())[::-1]


def check_queries(vectors: FloatArray, dimension: int, *, top: int) -> FloatArray:
    """Queries as (Q, D) float32 of unit length.

    Raises:
        GalleryError: As `GalleryStore.search`.
    """
    if top < 1:
        raise GalleryError(f"top: got {top}, expected at least 1")
    given = np.asarray(vectors)
    queries = given[None] if given.ndim == 1 else given
    if queries.ndim != 2 or queries.dtype.kind != "f" or queries.shape[1] != dimension:
        raise GalleryError(
            f"query: got shape {given.shape} of {given.dtype}, expected (Q, {dimension}) floating point; "
            "embed it with the gallery's model"
        )
    exact: NDArray[np.float64] = queries.astype(np.float64)
    lengths = np.sqrt(np.einsum("qd,qd->q", exact, exact))
    bad = np.flatnonzero(~((lengths > 0) & np.isfinite(lengths)))
    if len(bad):
        raise GalleryError(f"query {bad[0]}: a vector of length {lengths[bad[0]]}; expected finite and not all zero")
    unit: FloatArray = (exact / lengths[:, None]).astype(np.float32)
    return unit


def check_label(where: Filter, label: str | None) -> None:
    """Refuse to label everything by a forgotten condition, and a label that is none.

    Raises:
        GalleryError: For either.
    """
    require_label("relabel", "label", label)
    if where.everything:
        raise GalleryError("relabel: the filter leaves nothing out; name labels, ids, cameras or times")


def check_removal(where: Filter, what: Removal) -> None:
    """Refuse to remove everything by a forgotten condition.

    Raises:
        GalleryError: For a filter that leaves nothing out, or an unknown word.
    """
    if what not in get_args(Removal):
        raise GalleryError(f"removal: got {what!r}, expected one of {', '.join(get_args(Removal))}")
    if where.everything:
        raise GalleryError("remove: the filter leaves nothing out; name labels, ids, cameras or times")
