"""Checks that the cameras and labels of a filter exist."""

from __future__ import annotations

from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.stores.protocol import GalleryStore

_MAX_CAMERAS = 30  # in a message


def require_names(store: GalleryStore, selected: Filter) -> None:
    """Check that the cameras and labels of a filter exist, so that a typing error is not an empty result.

    Raises:
        GalleryError: If no sighting has one of them; the message lists the gallery's cameras.
    """
    require_cameras(store, selected)
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
