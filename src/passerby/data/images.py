"""Decoding, rotation and resizing of images, for training and embedding.

JPEG is decoded by simplejpeg (fastest per core), the other formats of `passerby.data.formats` by Pillow. The result is
(H, W, 3) uint8 RGB:
    16-bit      the high byte of each value
    alpha       composited over white (also palette images with transparency)
    CMYK, YCCK  Pillow's conversion, with Adobe's inverted values
    gray, 1-bit the same value in all three channels
    EXIF        the rotation is applied; EXIF data that cannot be read is ignored
    GIF, TIFF   the first frame or page
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from passerby.data.damage import describe_png_damage, mend_jpeg
from passerby.data.formats import FORMATS, identify_format
from passerby.data.scene_boxes import PREFIX, crop_box
from passerby.errors import DataError, explain
from passerby.files import read_bytes
from passerby.types import Sample

MAX_PIXELS = 89_000_000
"""Larger images are refused before decoding, as decompression bombs. Pillow warns above 89.5 million."""

Pixels = NDArray[np.uint8]

_BLOCK = 2**20  # pixels that are converted at once, so that no copy of the whole image is made
_STRAY = "extraneous bytes before marker 0xd9"
_ORIENTATION = 0x0112
_ROTATIONS: dict[int, Callable[[Pixels], Pixels]] = {  # EXIF orientation -> rotation to upright
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image.transpose(1, 0, 2)[::-1, ::-1],
    8: np.rot90,
}


def read_image(sample_or_path: Sample | Path, *, size: tuple[int, int] | None = None) -> Pixels:
    """Decode one image.

    Args:
        sample_or_path: An image file, or a sample, whose `key` names an image inside a container or a box of an image.
        size: (height, width) of the result in pixels; None keeps the size of the file.

    Returns:
        (H, W, 3) uint8 RGB, contiguous.

    Raises:
        DataError: For a file that is missing, empty, truncated, not an image, or above `MAX_PIXELS`, or a box outside
            of the image, naming it.

    Example:
        >>> read_image(Path("a.jpg"), size=(64, 32)).shape
        (64, 32, 3)
    """
    path, key = (
        (sample_or_path.path, sample_or_path.key) if isinstance(sample_or_path, Sample) else (sample_or_path, None)
    )
    if key is None or key.startswith(PREFIX):
        image = decode_image(read_bytes(path), str(path))
        image = image if key is None else crop_box(image, key, str(path))
    else:
        from passerby.data.datasets.cuhk03_mat import read_cell  # loads h5py

        image = read_cell(path, key)
    return image if size is None else resize_image(image, size)


def decode_image(
    data: bytes, name: str, *, max_pixels: int = MAX_PIXELS, warn: Callable[[str], object] | None = None
) -> Pixels:
    """Decode the bytes of an image file to (H, W, 3) uint8 RGB.

    Args:
        data: Content of the file.
        name: Name of the image, with which every message begins.
        max_pixels: Larger images are refused before decoding.
        warn: Called with a message if the file is damaged and all its pixels are whole: a JPEG with stray bytes between
            its segments or without its end marker, a PNG with a damaged chunk outside of the pixels.

    Raises:
        DataError: For an empty, damaged or truncated file, a format that is not in `FORMATS`, or above `max_pixels`.
    """
    if not data:
        raise DataError(f"{name}: the file is empty (0 bytes); copy it again or delete it")
    kind = identify_format(data)
    if kind is None:
        raise DataError(
            f"{name}: not an image that can be read (starts with {data[:8]!r}); expected {', '.join(FORMATS)}"
        )
    try:
        image, damage = (_decode_jpeg if kind == "JPEG" else _decode_other)(data, name, kind, max_pixels)
        if warn is not None and kind == "PNG":
            damage = describe_png_damage(data)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:  # Pillow's own limit comes first
        (count,) = re.findall(r"[0-9]+ (?=pixels\))", str(error))
        raise _too_large(name, f"{int(count):,}", max_pixels) from None
    except Exception as error:  # decoders raise many types for damaged files, MemoryError among them
        raise DataError(
            f"{name}: a damaged or truncated {kind} file ({explain(error)}); copy it again or delete it"
        ) from None
    if warn is not None and damage is not None:
        warn(f"{name}: {damage}")
    return image


def resize_image(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize (H, W, 3) uint8 to `size` = (height, width) with Pillow's bicubic filter, antialiased when it shrinks.

    Training and embedding both use this function: the bicubic filters of other libraries give other pixels.

    Example:
        >>> resize_image(np.zeros((100, 40, 3), np.uint8), (64, 32)).shape
        (64, 32, 3)
    """
    height, width = size
    if image.shape[:2] == size:
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def rgb_pixels(image: Image.Image, name: str = "image") -> Pixels:
    """Convert a Pillow image of any mode to upright (H, W, 3) uint8 RGB, by the rules at the head of this file.

    The conversion needs 3 bytes per pixel beside the decoded image.

    Raises:
        DataError: For a mode with an unknown range (floating point, 32-bit integers above 65535), or too many pixels.
            A truncated file raises Pillow's OSError, which `decode_image` converts to DataError.
    """
    _refuse_bomb(*image.size, name, MAX_PIXELS)
    if image.mode == "F":
        raise DataError(f"{name}: floating-point pixels, whose range is unknown; save it with 8 bits per channel")
    image.load()  # also turns a TIFF upright, so that its orientation must be read afterward
    width, height = image.size
    result = np.empty((height, width, 3), np.uint8)
    rows = max(1, _BLOCK // max(1, width))
    for top in range(0, height, rows):
        block = image.crop((0, top, width, min(height, top + rows)))
        result[top : top + rows] = _convert_block(block, name)
    return _rotate(result, _read_orientation(image))


def _convert_block(block: Image.Image, name: str) -> Pixels:
    """Convert rows of an image without rotation."""
    if block.mode.startswith("I"):
        return _from_integers(np.asarray(block), name)
    if block.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in block.info:
        over = Image.new("RGBA", block.size, "white")
        block = Image.alpha_composite(over, block.convert("RGBA"))
    return np.asarray(block.convert("RGB"))


def _read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, if there is none or it cannot be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Pillow raises many types for damaged EXIF data
        return 1


def _rotate(image: Pixels, orientation: int) -> Pixels:
    rotate = _ROTATIONS.get(orientation)
    return image if rotate is None else np.ascontiguousarray(rotate(image))


def _from_integers(values: NDArray[np.integer], name: str) -> Pixels:
    """Convert 16-bit gray (H, W) to RGB by the high byte, as Pillow does for 16-bit color."""
    if values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise DataError(f"{name}: pixels from {values.min()} to {values.max()}; save it with 8 or 16 bits per channel")
    gray = (values.astype(np.uint16) >> 8).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


def _decode_jpeg(data: bytes, name: str, kind: str, max_pixels: int) -> tuple[Pixels, str | None]:
    """Decode a JPEG; return the pixels, and the damage if the file is damaged and all its pixels are whole."""
    try:
        return _decode_intact_jpeg(data, name, kind, max_pixels), None
    except DataError:
        raise
    except ValueError as error:
        damage = str(error).removeprefix("Corrupt JPEG data: ")
        return _decode_intact_jpeg(mend_jpeg(data), name, kind, max_pixels, stray=True), damage


def _decode_intact_jpeg(data: bytes, name: str, kind: str, max_pixels: int, *, stray: bool = False) -> Pixels:
    """Decode a JPEG by simplejpeg; CMYK and YCCK, which it cannot convert to RGB, by Pillow.

    With `stray`, stray bytes before the end marker are accepted: the scan is complete, and all decoders skip them.

    Raises:
        ValueError: For any other damage; Pillow raises no error for a cut scan with an end marker.
    """
    height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
    _refuse_bomb(width, height, name, max_pixels)
    space = "CMYK" if colors in ("CMYK", "YCCK") else "RGB"
    try:
        image: Pixels = simplejpeg.decode_jpeg(data, space)
    except ValueError as error:
        if not stray or _STRAY not in str(error):
            raise
        image = simplejpeg.decode_jpeg(data, space, strict=False)
    if space == "CMYK":
        return _decode_other(data, name, kind, max_pixels)[0]
    if b"Exif\0\0" not in data[:65536]:
        return image
    return _rotate(image, _read_orientation(Image.open(io.BytesIO(data), formats=["JPEG"])))


def _decode_other(data: bytes, name: str, kind: str, max_pixels: int) -> tuple[Pixels, None]:
    """Decode one format by Pillow; the size is checked before decoding."""
    with Image.open(io.BytesIO(data), formats=[kind]) as image:
        _refuse_bomb(*image.size, name, max_pixels)
        return rgb_pixels(image, name), None


def _refuse_bomb(width: int, height: int, name: str, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise _too_large(name, f"{width} x {height}", max_pixels)


def _too_large(name: str, size: str, max_pixels: int) -> DataError:
    return DataError(f"{name}: {size} pixels, expected at most {max_pixels:,}; give a smaller image")
