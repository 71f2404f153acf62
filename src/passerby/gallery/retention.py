"""Change of a gallery's retention."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from passerby.errors import GalleryError, argument
from passerby.gallery.filters import Filter
from passerby.gallery.forget import DAY, count_erasable, expire
from passerby.gallery.stores.protocol import GalleryStore
from passerby.text import plural


def count_past(store: GalleryStore, days: float | None, *, clock: Callable[[], float] = time.time) -> int:
    """Count the sightings that a retention would erase now.

    Args:
        store: Store of the gallery.
        days: Days since enrollment, above 0; None keeps everything.
        clock: Returns seconds since 1970 UTC.

    Raises:
        GalleryError: For a number that is not above 0.

    Example:
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     count_past(gallery.store, 30)
        0
    """
    if days is not None and not 0 < days < math.inf:
        raise GalleryError(f"{argument('days')}: got {days}, expected days above 0, or None to keep everything")
    return 0 if days is None else count_erasable(store, Filter(enrolled_before=clock() - days * DAY))


def set_retention(
    store: GalleryStore, days: float | None, *, confirm_erase: bool = False, clock: Callable[[], float] = time.time
) -> int:
    """Change the retention of a gallery, and erase what is past it.

    Other processes that have the gallery open use the new retention when they open it again.

    Args:
        store: Store of the gallery.
        days: Days that a sighting is kept, counted from its enrollment; None keeps everything.
        confirm_erase: Erase sightings now if they are past the new retention.
        clock: Returns seconds since 1970 UTC.

    Returns:
        Number of erased sightings.

    Raises:
        GalleryError: For a number that is not above 0, for sightings past the new retention without `confirm_erase`,
            when nothing is changed, or if the store cannot change it.

    Example:
        >>> with passerby.Gallery("memory", model="runs/m") as gallery:
        ...     set_retention(gallery.store, 30)
        0
    """
    past = count_past(store, days, clock=clock)
    if past and not confirm_erase:
        raise GalleryError(
            f"{argument('days')}: {past:,} of {plural(store.count(), 'sighting')} enrolled more than "
            f"{plural(days or 0, 'day')} ago would be erased now; nothing was changed. "
            f"Give {argument('confirm_erase')} to erase them"
        )
    store.set_retention(days)
    return expire(store, clock=clock) if past else 0
