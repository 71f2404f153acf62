"""From a file to RGB pixels: the one place that decodes, rotates and resizes, for training and embedding alike.

JPEG goes through simplejpeg (fastest per core), everything else through Pillow. Whatever the file holds, what comes out
is (H, W, 3) uint8 RGB:
    16-bit      the high byte of each value
    alpha       laid over white, as a page would show it (palette images with transparency too)
    CMYK, YCCK  Pillow's conversion, Adobe's inverted values understood
    gray, 1-bit the same value in all three channels
    EXIF        the rotation is applied here and nowhere else
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
"""Larger images are refused before decoding: no crop of a person has 100 megapixels, a decompression bomb has."""

Pixels = NDArray[np.uint8]

_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error)
"""What the decoders raise for files with bytes changed at random."""

_ORIENTATION = 0x0112
_TURN: dict[int, Callable[[Pixels], Pixels]] = {  # EXIF orientation -> what makes it upright
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
        sample_or_path: An image file, or a sample (whose `key` finds it inside a container).
        size: (height, width) in pixels to resize to; None keeps the size of the file.

    Returns:
        (H, W, 3) uint8 RGB, contiguous.

    Raises:
        DataError: Naming the file, when it is missing, empty, truncated, not an image, or above `MAX_PIXELS`.
    """
    path, key = (
        (sample_or_path.path, sample_or_path.key) if isinstance(sample_or_path, Sample) else (sample_or_path, None)
    )
    if key is None:
        image = decode_image(read_bytes(path), str(path))
    else:
        from passerby.data.datasets.cuhk03_mat import read_cell  # h5py only where a container is read

        image = read_cell(path, key)
    return image if size is None else resize_image(image, size)


def read_bytes(path: Path) -> bytes:
    """The whole file. Raises DataError where it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def decode_image(data: bytes, name: str) -> Pixels:
    """Decode the bytes of an image file to (H, W, 3) uint8 RGB; `name` is what errors call it. Raises DataError."""
    if not data:
        raise DataError(f"{name}: the file is empty (0 bytes); copy it again or delete it")
    return _decode_jpeg(data, name) if data[:3] == b"\xff\xd8\xff" else _decode_other(data, name)


def resize_image(image: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize (H, W, 3) uint8 to `size` = (height, width) by Pillow's bicubic, antialiased when it shrinks.

    Training and embedding both call this: another library's "bicubic" gives other pixels, and with them other vectors.
    """
    height, width = size
    if image.shape[:2] == size:
        return image
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def rgb_pixels(image: Image.Image, name: str = "image") -> Pixels:
    """Turn a Pillow image of any mode upright and into (H, W, 3) uint8 RGB, by the rules at the head of this file.

    Raises:
        DataError: For a mode whose range is not known (floating point, 32-bit integers above 65535), or too many
            pixels. A file that is cut off raises Pillow's own OSError; `decode_image` turns that into DataError.
    """
    _refuse_bomb(*image.size, name)
    upright = ImageOps.exif_transpose(image)
    mode = upright.mode
    if mode == "F":
        raise DataError(f"{name}: floating-point pixels, whose range nobody states; save it with 8 bits per channel")
    if mode.startswith("I"):
        return _from_integers(np.asarray(upright), name)
    if mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in upright.info:
        over = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(over, upright.convert("RGBA"))
    return np.array(upright.convert("RGB"))


def _from_integers(values: NDArray[np.integer], name: str) -> Pixels:
    """Gray (H, W) of 16 bits, however Pillow holds it, to RGB by the high byte (what Pillow does to 16-bit color)."""
    if values.size and (values.min() < 0 or values.max() > 0xFFFF):
        raise DataError(f"{name}: pixels from {values.min()} to {values.max()}; save it with 8 or 16 bits per channel")
    gray = (values.astype(np.uint16) >> 8).astype(np.uint8)
    return np.repeat(gray[:, :, None], 3, axis=2)


def _decode_jpeg(data: bytes, name: str) -> Pixels:
    """JPEG by simplejpeg; the CMYK kinds, which it cannot turn into RGB, by Pillow."""
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
    turn = _TURN.get(orientation)
    return image if turn is None else np.ascontiguousarray(turn(image))


def _decode_other(data: bytes, name: str) -> Pixels:
    """Everything that Pillow opens; the size is looked at before a pixel is decoded."""
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
