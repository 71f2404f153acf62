"""Conversion of a crop to what a gallery stores: nothing, a thumbnail, or the file."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from passerby.data.images import decode_image
from passerby.errors import DataError, GalleryError, explain
from passerby.gallery.card import Keep
from passerby.gallery.sightings import SightingInfo
from passerby.text import plural

THUMBNAIL = (64, 128)
"""Largest width and height of a thumbnail."""


def encode_stored_crop(crop: bytes | NDArray[np.uint8] | None, keep: Keep, *, name: str) -> bytes | None:
    """Encode a crop as the gallery stores it.

    Args:
        crop: An encoded file, (H, W, 3) uint8 RGB pixels, or None.
        keep: The gallery's setting.
        name: Name of the crop in messages.

    Returns:
        The file for `crops` (PNG if pixels were given), a JPEG of at most 64 x 128 pixels for `thumbnails`, None for
        `vectors` or without a crop.

    Raises:
        GalleryError: If the crop cannot be decoded.
    """
    if crop is None or keep == "vectors":
        return None
    if isinstance(crop, bytes):
        try:
            pixels = decode_image(crop, f"{name}: crop of {plural(len(crop), 'byte')} cannot be stored")
        except DataError as error:
            raise GalleryError(error) from None
        return crop if keep == "crops" else _encode_pixels(Image.fromarray(pixels), keep)
    try:
        return _encode_pixels(Image.fromarray(np.asarray(crop)), keep)
    except Exception as error:  # Pillow raises many types for arrays that are no image
        raise GalleryError(
            f"{name}: crop of shape {np.shape(crop)} cannot be stored ({explain(error)}); give an encoded image (JPEG, "
            "PNG), pixels, or None"
        ) from None


def crop_name(sighting: SightingInfo) -> str:
    """Return the name of a sighting in messages about its crop."""
    return f"sighting {sighting.source or sighting.id}"


def _encode_pixels(image: Image.Image, keep: Keep) -> bytes:
    out = io.BytesIO()
    if keep == "crops":
        image.save(out, "PNG")
    else:
        image.thumbnail(THUMBNAIL, Image.Resampling.BICUBIC)
        image.save(out, "JPEG", quality=85)
    return out.getvalue()
