"""Erasure of sightings: on request of a person, and after the retention period."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.stores.protocol import GalleryStore

DAY = 86_400.0
"""Seconds."""


MAX_EXPIRED = 0.8
"""Largest fraction of a gallery that is erased by opening it. A clock that is wrong would erase all."""


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


def expire_on_opening(store: GalleryStore, *, clock: Callable[[], float], confirm_erase: bool) -> int:
    """Erase the sightings past the gallery's retention, unless they are most of the gallery.

    Args:
        store: Store of the gallery.
        clock: Returns seconds since 1970 UTC.
        confirm_erase: Erase any number.

    Returns:
        Number of erased sightings.

    Raises:
        GalleryError: If more than `MAX_EXPIRED` of the gallery would be erased and that is not confirmed; nothing is
            erased.
    """
    if store.card.retention is None:
        return 0
    now = clock()
    if not confirm_erase:
        old, total = store.count(Filter(enrolled_before=now - store.card.retention * DAY)), store.count()
        if old > MAX_EXPIRED * total:
            today = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M")
            raise GalleryError(
                f"{old:,} of {total:,} sightings are past the retention of {store.card.retention:g} days, by a clock "
                f"at {today} UTC; nothing was erased. If the clock is right: `passerby gallery expire --confirm-erase`"
            )
    return expire(store, clock=lambda: now)
