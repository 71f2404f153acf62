"""Decoding, rotation and resizing of images, for training and embedding.

JPEG is decoded by simplejpeg (fastest per core), other formats by Pillow. The result is (H, W, 3) uint8 RGB:
    16-bit      the high byte of each value
    alpha       composited over white (also palette images with transparency)
    CMYK, YCCK  Pillow's conversion, with Adobe's inverted values
    gray, 1-bit the same value in all three channels
    EXIF        the rotation is applied
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from passerby.errors import DataError
from passerby.types import Sample

MAX_PIXELS = 100_000_000
"""Larger images are refused before decoding, as decompression bombs."""

Pixels = NDArray[np.uint8]

_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error)
"""Exceptions of the decoders for damaged files."""

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
        sample_or_path: An image file, or a sample, whose `key` names an image inside a container.
        size: (height, width) of the result in pixels; None keeps the size of the file.

    Returns:
        (H, W, 3) uint8 RGB, contiguous.

    Raises:
        DataError: For a file that is missing, empty, truncated, not an image, or above `MAX_PIXELS`, naming it.

    Example:
        >>> read_image(Path("a.jpg"), size=(64, 32)).shape
        (64, 32, 3)
    """
    path, key = (
        (sample_or_path.path, sample_or_path.key) if isinstance(sample_or_path, Sample) else (sample_or_path, None)
    )
    if key is None:
        image = decode_image(read_bytes(path), str(path))
    else:
        from passerby.data.datasets.cuhk03_mat import read_cell  # loads h5py

        image = read_cell(path, key)
    return image if size is None else resize_image(image, size)


def read_bytes(path: Path) -> bytes:
    """Read a file. Raises DataError if it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def decode_image(data: bytes, name: str) -> Pixels:
    """Decode the bytes of an image file to (H, W, 3) uint8 RGB. Raises DataError that begins with `name`."""
    if not data:
        raise DataError(f"{name}: the file is empty (0 bytes); copy it again or delete it")
    return _decode_jpeg(data, name) if data[:3] == b"\xff\xd8\xff" else _decode_other(data, name)


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

    Raises:
        DataError: For a mode with an unknown range (floating point, 32-bit integers above 65535), or too many pixels.
            A truncated file raises Pillow's OSError, which `decode_image` converts to DataError.
    """
    _refuse_bomb(*image.size, name)
    upright = ImageOps.exif_transpose(image)
    mode = upright.mode
    if mode == "F":
        raise DataError(f"{name}: floating-point pixels, whose range is unknown; save it with 8 bits per channel")
    if mode.startswith("I"):
        return _from_integers(np.asarray(upright), name)
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in upright.info:
        over = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(over, upright.convert("RGBA"))
    return np.array(upright.convert("RGB"))


def _from_integers(values: NDArray[np.integer], name: str) -> Pixels:
    """Convert 16-bit gray (H, W) to RGB by the high byte, as Pillow does for 16-bit color."""
    if values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise DataError(f"{name}: pixels from {values.min()} to {values.max()}; save it with 8 or 16 bits per channel")
    gray = (values.astype(np.uint16) >> 8).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


def _decode_jpeg(data: bytes, name: str) -> Pixels:
    """Decode a JPEG by simplejpeg; CMYK and YCCK, which it cannot convert to RGB, by Pillow."""
    try:
        height, width, colors, _ = simplejpeg.decode_jpeg_header(data)
        _refuse_bomb(width, height, name)
        if colors in ("CMYK", "YCCK"):
            return _decode_other(data, name)
        image: Pixels = simplejpeg.decode_jpeg(data, "RGB")
        orientation = Image.open(io.BytesIO(data)).getexif().get(_ORIENTATION, 1) if b"Exif\0\0" in data[:65536] else 1
    except DataError:
        raise
    except _DAMAGED as error:
        raise DataError(f"{name}: a damaged or truncated JPEG ({error}); copy it again or delete it") from None
    rotate = _ROTATIONS.get(orientation)
    return image if rotate is None else np.ascontiguousarray(rotate(image))


def _decode_other(data: bytes, name: str) -> Pixels:
    """Decode any format of Pillow; the size is checked before decoding."""
    try:
        return rgb_pixels(Image.open(io.BytesIO(data)), name)
    except DataError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DataError(f"{name}: more than {MAX_PIXELS // 10**6} megapixels; crop it or leave it out") from None
    except UnidentifiedImageError:
        raise DataError(f"{name}: not an image that can be read (starts with {data[:8]!r})") from None
    except _DAMAGED as error:
        raise DataError(f"{name}: a damaged or truncated image ({error}); copy it again or delete it") from None


def _refuse_bomb(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise DataError(
            f"{name}: {width} x {height} pixels is more than {MAX_PIXELS // 10**6} megapixels; crop it or leave it out"
        )
