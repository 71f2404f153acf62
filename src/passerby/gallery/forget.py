"""Erasure of sightings: on request of a person, and after the retention period."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.stores.protocol import GalleryStore

DAY = 86_400.0
"""Seconds."""


def forget(
    store: GalleryStore,
    *,
    label: str | None = None,
    ids: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
) -> int:
    """Erase the sightings of a label, of ids, or from files: rows, vectors and crops, in the store's files too.

    Args:
        store: Store of the gallery.
        label: Erase all sightings with this label.
        ids: Erase these sightings.
        sources: Erase the sightings from these files.

    Returns:
        Number of erased sightings. The audit log contains this number and nothing else about them.

    Raises:
        GalleryError: If not exactly one of the three is given, or the store cannot erase them from its files.

    Example:
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     forget(gallery.store, label="Ada")
        0
    """
    if sum(selection is not None for selection in (label, ids, sources)) != 1:
        raise GalleryError(f"forget: got label={label!r}, ids={ids!r} and sources={sources!r}, expected one of them")
    where = Filter(ids=ids, sources=sources) if label is None else Filter(labels=[label])
    return store.remove(where, action="forget")


def expire(store: GalleryStore, *, days: float | None = None, clock: Callable[[], float] = time.time) -> int:
    """Erase the sightings that were enrolled more than `days` days ago.

    Args:
        store: Store of the gallery.
        days: At least 0; None is the gallery's retention.
        clock: Returns seconds since 1970 UTC.

    Returns:
        Number of erased sightings; 0 without a retention.

    Raises:
        GalleryError: If `days` is negative, or the store cannot erase them from its files.

    Example:
        >>> with passerby.Gallery("memory", model="runs/m", retention=30) as gallery:
        ...     expire(gallery.store)
        0
    """
    days = store.card.retention if days is None else days
    if days is None:
        return 0
    if days < 0:
        raise GalleryError(f"expire: got {days} days, expected 0 or more")
    old = Filter(enrolled_before=clock() - days * DAY)
    return store.remove(old, action="expire") if store.count(old) else 0
