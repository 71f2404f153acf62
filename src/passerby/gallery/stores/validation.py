"""Checks of arguments that all stores share. D embedding width, Q queries."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from passerby.errors import GalleryError
from passerby.gallery.filters import Filter, Removal
from passerby.gallery.sightings import Sighting, require_label
from passerby.text import plural
from passerby.types import FloatArray


def check_sightings(sightings: Sequence[Sighting], dimension: int) -> list[Sighting]:
    """Check the width of the vectors and drop repeated ids.

    Raises:
        GalleryError: For a vector of another width.
    """
    for sighting in sightings:
        if len(sighting.vector) != dimension:
            raise GalleryError(
                f"sighting {sighting.source or sighting.id}: vector of {plural(len(sighting.vector), 'number')}, this "
                f"gallery's have {dimension}; embed it with the gallery's model"
            )
    return list({sighting.id: sighting for sighting in reversed(sightings)}.values())[::-1]


def in_order(stored: Mapping[str, Sighting], ids: Sequence[str], address: str) -> list[Sighting]:
    """Return the stored sightings in the order of `ids`.

    Raises:
        GalleryError: If an id is not stored.
    """
    missing = [name for name in ids if name not in stored]
    if missing:
        raise GalleryError(
            f"{address}: no sighting {missing[0]!r} ({len(missing)} of {plural(len(ids), 'id')} missing)"
        )
    return [stored[name] for name in ids]


def check_queries(vectors: ArrayLike, dimension: int, *, top: int) -> FloatArray:
    """Convert queries to (Q, D) float32 of unit length.

    Raises:
        GalleryError: As `GalleryStore.search`.
    """
    if top < 1:
        raise GalleryError(f"top: got {top}, expected at least 1")
    array = np.asarray(vectors)
    queries = array[None] if array.ndim == 1 else array
    if queries.ndim != 2 or queries.dtype.kind != "f" or queries.shape[1] != dimension:
        raise GalleryError(
            f"query: got shape {array.shape} of {array.dtype}, expected (Q, {dimension}) floating point; "
            "embed it with the gallery's model"
        )
    exact: NDArray[np.float64] = queries.astype(np.float64)
    lengths = np.sqrt(np.einsum("qd,qd->q", exact, exact))
    bad = np.flatnonzero(~((lengths > 0) & np.isfinite(lengths)))
    if len(bad):
        raise GalleryError(f"query {bad[0]}: vector of length {lengths[bad[0]]}; expected finite and not all zero")
    unit: FloatArray = (exact / lengths[:, None]).astype(np.float32)
    return unit


def check_label(where: Filter, label: str | None) -> None:
    """Check the arguments of `relabel`.

    Raises:
        GalleryError: For a filter without conditions, or a label that is not 1 to 255 characters.
    """
    require_label("relabel", "label", label)
    if where.selects_all:
        raise GalleryError("relabel: the filter has no condition; give labels, ids, cameras or times")


def check_removal(where: Filter, action: Removal) -> None:
    """Check the arguments of `remove`.

    Raises:
        GalleryError: For a filter without conditions, or an unknown action.
    """
    if action not in get_args(Removal):
        raise GalleryError(f"removal: got {action!r}, expected one of {', '.join(get_args(Removal))}")
    if where.selects_all:
        raise GalleryError("remove: the filter has no condition; give labels, ids, cameras or times")


def is_absolute(path: object) -> bool:
    r"""Return whether a value from a file is the absolute path that a file system can have.

    Example:
        >>> [is_absolute(path) for path in ("/data", "data", "/data\0", None)]
        [True, False, False, False]
    """
    try:
        return isinstance(path, str) and os.path.isabs(path) and b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False
