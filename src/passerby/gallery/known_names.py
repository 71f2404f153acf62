"""Checks that a filter can select sightings: its cameras and labels exist, and times are known."""

from __future__ import annotations

import logging

from passerby.errors import GalleryError, argument
from passerby.gallery.filters import Filter
from passerby.gallery.stores.protocol import GalleryStore
from passerby.text import format_time

logger = logging.getLogger(__name__)

_MAX_CAMERAS = 30  # in a message


def require_names(store: GalleryStore, selected: Filter) -> None:
    """Check that cameras, labels and times of a filter can match, so that a typing error is not an empty result.

    Raises:
        GalleryError: If no sighting has one of the cameras (the message lists the gallery's) or labels, `since` is not
            before `until`, or no sighting has a time.
    """
    require_cameras(store, selected)
    require_times(store, selected)
    for label in selected.labels or ():
        if not store.count(Filter(labels=[label])):
            raise GalleryError(f"label {label!r}: no sighting has it")


def require_cameras(store: GalleryStore, selected: Filter) -> None:
    """Check that the cameras of a filter exist; see `require_names`."""
    for camera in (*(selected.cameras or ()), *selected.not_cameras):
        if not store.count(Filter(cameras=[camera])):
            names = [*store.stats().cameras]
            known = ", ".join(names[:_MAX_CAMERAS]) + (
                f" and {len(names) - _MAX_CAMERAS:,} more" * (len(names) > _MAX_CAMERAS)
            )
            raise GalleryError(f"camera {camera!r}: no sighting has it; cameras of the gallery: {known or 'none'}")


def require_times(store: GalleryStore, selected: Filter) -> None:
    """Check that a filter by time can match; see `require_names`. A warning tells if no sighting is in the time."""
    since, until = selected.since, selected.until
    given = [argument(name) for name, value in (("since", since), ("until", until)) if value is not None]
    if since is not None and until is not None and since >= until:
        times = f"{since:.15g} and {until:.15g} s since 1970"
        raise GalleryError(f"{' and '.join(given)}: got {times}, expected the first before the second")
    if not given or store.count(Filter(since=since, until=until)):
        return
    stats = store.stats()
    if stats.first is None:
        raise GalleryError(
            f"{' and '.join(given)}: no sighting has a time, so that none would be selected; leave the filter out, or "
            "enroll with times"
        )
    logger.warning(
        "%s: no sighting was seen in this time; those of the gallery are of %s to %s UTC",
        " and ".join(given),
        format_time(stats.first),
        format_time(stats.last),
    )
