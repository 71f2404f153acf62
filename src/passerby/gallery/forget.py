"""Forgetting: a person who asks for it, and everybody after a time. Erased from the files, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from passerby.errors import GalleryError
from passerby.gallery.sightings import Filter
from passerby.gallery.stores.protocol import GalleryStore

DAY = 86_400.0


def forget(
    store: GalleryStore,
    *,
    label: str | None = None,
    ids: Sequence[str] | None = None,
    sources: Sequence[str] | None = None,
) -> int:
    """Erase the sightings of one label, some sightings, or those from some files: rows, vectors and pictures.

    Returns:
        How many there were; the audit log keeps that number, not whose they were.

    Raises:
        GalleryError: When several or none of them are given, or the store could not erase them from its files.
    """
    if sum(each is not None for each in (label, ids, sources)) != 1:
        raise GalleryError(f"forget: got label={label!r}, ids={ids!r} and sources={sources!r}, expected one of them")
    where = Filter(ids=ids, sources=sources) if label is None else Filter(labels=[label])
    return store.remove(where, what="forget")


def expire(store: GalleryStore, *, days: float | None = None, clock: Callable[[], float] = time.time) -> int:
    """Erase what was enrolled more than some days ago: the gallery's retention, or fewer.

    Returns:
        How many there were; 0 without a retention.

    Raises:
        GalleryError: For `days` below 0, or when the store could not erase them.
    """
    days = store.card.retention if days is None else days
    if days is None:
        return 0
    if days < 0:
        raise GalleryError(f"expire: got {days} days, expected 0 or more")
    old = Filter(enrolled_before=clock() - days * DAY)
    return store.remove(old, what="expire") if store.count(old) else 0
