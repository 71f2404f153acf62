"""What a gallery keeps of a crop: nothing, a thumbnail, or the bytes as they came."""

from __future__ import annotations

import io

from PIL import Image, ImageOps, UnidentifiedImageError

from passerby.errors import GalleryError
from passerby.gallery.card import Pictures
from passerby.gallery.sightings import Sighting

THUMBNAIL = (64, 128)
"""Width and height that a thumbnail fits into."""
_PIXELS = 40_000_000  # a crop is far below; more is a mistake or an attack


def kept_picture(sighting: Sighting, pictures: Pictures) -> bytes | None:
    """The bytes that go into the store.

    Raises:
        GalleryError: When the sighting's picture cannot be decoded, naming it.
    """
    if sighting.picture is None or pictures == "vectors":
        return None
    try:
        with Image.open(io.BytesIO(sighting.picture)) as image:
            if image.width * image.height > _PIXELS:
                raise GalleryError(f"{image.width} x {image.height} pixels, at most 40 million are taken")
            if pictures == "crops":
                image.verify()
                return sighting.picture
            image.draft("RGB", (2 * THUMBNAIL[0], 2 * THUMBNAIL[1]))  # a JPEG is decoded at a fraction of its size
            small = ImageOps.exif_transpose(image).convert("RGB")
            small.thumbnail(THUMBNAIL, Image.Resampling.BICUBIC)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise GalleryError(
            f"sighting {sighting.source or sighting.id}: picture of {len(sighting.picture)} bytes cannot be kept "
            f"({error}); give an encoded image (JPEG, PNG), or None"
        ) from None
    out = io.BytesIO()
    small.save(out, "JPEG", quality=85)
    return out.getvalue()
