"""The picture of a search in the page Find: a box in it, its vector and a small copy, which the page sends back.

D embedding width   H W image height and width
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from passerby.data.images import Pixels
from passerby.errors import DataError, GalleryError
from passerby.serving.request_bodies import read_vector
from passerby.types import FloatArray

SIZE = (128, 256)
"""Largest width and height of the copy."""


@dataclass(frozen=True, eq=False)
class PictureQuery:
    """Crop and vector of a search.

    Attributes:
        vector: (D,) unit vector.
        picture: JPEG of the picture or of its box; empty for a stored sighting.
    """

    vector: FloatArray
    picture: bytes

    @property
    def fields(self) -> dict[str, str]:
        """The hidden fields of the form."""
        vector = np.asarray(self.vector, "<f4").tobytes()
        return {name: base64.b64encode(data).decode() for name, data in (("query", vector), ("picture", self.picture))}


def read_query(query: str, picture: str, dimension: int) -> PictureQuery:
    """Read the hidden fields of the form.

    Raises:
        GalleryError: For fields of another gallery or of no page.
    """
    try:
        values = np.frombuffer(base64.b64decode(query, validate=True), "<f4")
        copy = base64.b64decode(picture, validate=True)
    except ValueError:
        raise GalleryError("query: not a vector of this page; choose the picture again") from None
    return PictureQuery(read_vector(values.tolist(), dimension, "query"), copy)


def crop_box(pixels: Pixels, box: Sequence[str]) -> Pixels:
    """Crop a picture to a box.

    Args:
        pixels: (H, W, 3) uint8.
        box: Left, top, width and height in pixels, as text; all of them empty, or none given, is the whole picture.

    Returns:
        A part of the picture; parts of the box outside the picture are cut off.

    Raises:
        DataError: For other than four numbers, or a box without a pixel of the picture.

    Example:
        >>> crop_box(np.zeros((4, 6, 3), np.uint8), ["1", "2", "3", "9"]).shape
        (2, 3, 3)
    """
    height, width = pixels.shape[:2]
    if not any(text.strip() for text in box):
        return pixels
    try:
        left, top, wide, high = (round(float(text)) for text in box)
    except (ValueError, OverflowError):
        raise DataError("box: expected four numbers, left, top, width and height in pixels, or none of them") from None
    right, bottom = min(left + wide, width), min(top + high, height)
    left, top = max(left, 0), max(top, 0)
    if right <= left or bottom <= top:
        raise DataError(f"box: {', '.join(box)} has no pixel of the picture, which has {width} x {height}")
    return pixels[top:bottom, left:right]


def encode_picture(pixels: Pixels) -> bytes:
    """Encode a small copy as JPEG, without metadata.

    Example:
        >>> encode_picture(np.zeros((512, 256, 3), np.uint8))[:2] == bytes([255, 216])
        True
    """
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail(SIZE)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()
