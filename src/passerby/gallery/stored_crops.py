"""Conversion of a crop to what a gallery stores: nothing, a thumbnail, or the file."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from passerby.data.formats import FORMATS
from passerby.data.images import MAX_PIXELS
from passerby.errors import GalleryError
from passerby.gallery.card import Keep
from passerby.gallery.sightings import SightingInfo

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
    try:
        if not isinstance(crop, bytes):
            return _encode_pixels(Image.fromarray(np.asarray(crop)), keep)
        with Image.open(io.BytesIO(crop), formats=list(FORMATS)) as image:
            if image.width * image.height > MAX_PIXELS:  # the limit of enrolled images
                raise ValueError(f"{image.width} x {image.height} pixels, expected at most {MAX_PIXELS:,}")
            if keep == "crops":
                image.verify()
                return crop
            image.draft("RGB", (2 * THUMBNAIL[0], 2 * THUMBNAIL[1]))  # decodes a large JPEG at a fraction of its size
            return _encode_pixels(ImageOps.exif_transpose(image).convert("RGB"), keep)
    except Exception as error:  # decoders raise many kinds of exceptions for damaged files
        size = f"{len(crop):,} bytes" if isinstance(crop, bytes) else f"shape {np.shape(crop)}"
        raise GalleryError(
            f"{name}: crop of {size} cannot be stored ({error}); give an encoded image (JPEG, PNG), pixels, or None"
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
