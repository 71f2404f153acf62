"""Conversion of a crop to what a gallery stores: nothing, a thumbnail, or the file."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from passerby.data.formats import FORMATS
from passerby.errors import GalleryError
from passerby.gallery.card import Keep
from passerby.gallery.sightings import Sighting

THUMBNAIL = (64, 128)
"""Largest width and height of a thumbnail."""
_MAX_PIXELS = 40_000_000  # far above any crop of a person; a limit against decompression bombs


def encode_stored_crop(sighting: Sighting, keep: Keep) -> bytes | None:
    """Encode the crop of a sighting as the gallery stores it.

    Args:
        sighting: Its crop is an encoded file, pixels, or None.
        keep: The gallery's setting.

    Returns:
        The file for `crops` (PNG if pixels were given), a JPEG of at most 64 x 128 pixels for `thumbnails`, None for
        `vectors` or without a crop.

    Raises:
        GalleryError: If the crop cannot be decoded.
    """
    if sighting.crop is None or keep == "vectors":
        return None
    if not isinstance(sighting.crop, bytes):
        return _encode_pixels(Image.fromarray(np.asarray(sighting.crop)), keep)
    try:
        with Image.open(io.BytesIO(sighting.crop), formats=list(FORMATS)) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise GalleryError(f"{image.width} x {image.height} pixels, expected at most 40 million")
            if keep == "crops":
                image.verify()
                return sighting.crop
            image.draft("RGB", (2 * THUMBNAIL[0], 2 * THUMBNAIL[1]))  # decodes a large JPEG at a fraction of its size
            return _encode_pixels(ImageOps.exif_transpose(image).convert("RGB"), keep)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise GalleryError(
            f"sighting {sighting.source or sighting.id}: crop of {len(sighting.crop)} bytes cannot be stored "
            f"({error}); give an encoded image (JPEG, PNG), pixels, or None"
        ) from None


def _encode_pixels(image: Image.Image, keep: Keep) -> bytes:
    out = io.BytesIO()
    if keep == "crops":
        image.save(out, "PNG")
    else:
        image.thumbnail(THUMBNAIL, Image.Resampling.BICUBIC)
        image.save(out, "JPEG", quality=85)
    return out.getvalue()
