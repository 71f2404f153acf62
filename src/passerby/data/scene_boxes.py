"""Boxes of people in images of scenes: columns of a table, the key of a sample, and the crop.

x, y            left and top edge in pixels of the upright image, from 0
width, height   in pixels; fractions of a pixel are rounded
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError

BOX_COLUMNS = ("x", "y", "width", "height")
PREFIX = "box="
"""Beginning of the key of a sample that is a box of an image, as in `box=12,30,64,128`."""
MIN_SIDE = 4
"""Width and height in pixels below which a box is refused."""
_LARGEST = 1_000_000
_KEY = re.compile(PREFIX + r"(-?[0-9]{1,7}),(-?[0-9]{1,7}),([0-9]{1,7}),([0-9]{1,7})")


def has_boxes(columns: Collection[str]) -> bool:
    """Return whether a table has the columns of a box.

    Raises:
        ValueError: For x and y without width and height.

    Example:
        >>> has_boxes(["path", "x", "y", "width", "height"])
        True
    """
    missing = [name for name in BOX_COLUMNS if name not in columns]
    if missing and "x" in columns and "y" in columns:
        raise ValueError(
            f"columns x and y, but no {' and '.join(missing)}; a box needs x, y, width and height in pixels"
        )
    return not missing


def box_key(text: Mapping[str, str]) -> str | None:
    """Return the key of the box in a row of a table; None if all four values are missing.

    Args:
        text: The columns x, y, width and height as text.

    Raises:
        ValueError: For a missing value, other values than numbers, and a box without an area, below `MIN_SIDE` or in
            fractions of the image.

    Example:
        >>> box_key({"x": "12", "y": "29.6", "width": "64", "height": "128"})
        'box=12,30,64,128'
    """
    values = [text[name] for name in BOX_COLUMNS]
    if not any(values):
        return None
    shown = ", ".join(f"{name} {value[:20] or 'missing'}" for name, value in zip(BOX_COLUMNS, values, strict=True))
    try:
        left, top, width, height = map(float, values)
    except ValueError:
        raise ValueError(f"box {shown}; expected four numbers of pixels, or none of them for the whole image") from None
    if not all(math.isfinite(number) and abs(number) <= _LARGEST for number in (left, top, width, height)):
        raise ValueError(f"box {shown}; expected numbers of pixels up to {_LARGEST:,}")
    if width <= 0 or height <= 0:
        raise ValueError(f"box {shown} has no area; expected width and height in pixels")
    if max(left + width, top + height) <= 2:
        raise ValueError(f"box {shown} is probably in fractions of the image; multiply them by its width and height")
    right, bottom = round(left + width), round(top + height)
    left, top = round(left), round(top)
    if right - left < MIN_SIDE or bottom - top < MIN_SIDE:
        raise ValueError(
            f"box {shown} is below {MIN_SIDE} x {MIN_SIDE} pixels; the columns are probably in another unit or order"
        )
    return f"{PREFIX}{left},{top},{right - left},{bottom - top}"


def crop_box(image: NDArray[np.uint8], key: str, name: str) -> NDArray[np.uint8]:
    """Return the part of an (H, W, 3) image inside a box; what lies outside of the image is cut off.

    Args:
        image: The whole image.
        key: As `box_key` returns it.
        name: Name of the image, with which every message begins.

    Raises:
        DataError: For another key, or a box with less than half of its area in the image.

    Example:
        >>> crop_box(np.zeros((100, 80, 3), np.uint8), "box=70,10,16,32", "a.jpg").shape
        (32, 10, 3)
    """
    match = _KEY.fullmatch(key)
    if match is None:
        raise DataError(f"{name}: key {key[:80]!r}; expected one like box=12,30,64,128")
    left, top, width, height = map(int, match.groups())
    rows, columns = image.shape[:2]
    crop = image[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
    if 2 * crop.shape[0] * crop.shape[1] < width * height or 0 in crop.shape:
        raise DataError(
            f"{name}: box x {left}, y {top}, width {width}, height {height} is outside of the image of {columns} x "
            f"{rows} pixels by more than half; it is probably of another image or scale, or width and height are its "
            "right and lower edge"
        )
    return np.ascontiguousarray(crop)
