"""Image formats that the package reads: their suffixes and their first bytes. Every other format is refused.

Pillow has decoders for some 40 formats, among them ones that start another program (EPS). Only the decoder of the
format that the first bytes state is used, whatever the name of the file is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from passerby.errors import DataError
from passerby.files import read_bytes

FORMATS: dict[str, tuple[tuple[str, ...], re.Pattern[bytes]]] = {  # Pillow's name -> suffixes, first bytes
    "JPEG": ((".jpg", ".jpeg", ".jpe", ".jfif"), re.compile(rb"\xff\xd8\xff")),
    "PNG": ((".png",), re.compile(rb"\x89PNG\r\n\x1a\n")),
    "BMP": ((".bmp",), re.compile(rb"BM")),
    "TIFF": ((".tif", ".tiff"), re.compile(rb"II[*+]\0|MM\0[*+]")),
    "WEBP": ((".webp",), re.compile(rb"RIFF....WEBP", re.DOTALL)),
    "GIF": ((".gif",), re.compile(rb"GIF8[79]a")),
    "PPM": ((".ppm", ".pgm", ".pbm", ".pnm"), re.compile(rb"P[1-6]\s")),
}
SUFFIXES = frozenset(suffix for suffixes, _ in FORMATS.values() for suffix in suffixes)
"""Suffixes of image files, in lower case."""

_HEAD = 16  # bytes that identify a format


def identify_format(data: bytes) -> str | None:
    """Return Pillow's name of the format that the first bytes state; None for a format that is not read.

    Example:
        >>> identify_format(Path("a.jpg").read_bytes())
        'JPEG'
    """
    return next((name for name, (_, head) in FORMATS.items() if head.match(data)), None)


def is_image_file(path: str | Path) -> bool:
    """Return whether a file is an image: by its suffix in any case, or by its first bytes if it has no suffix.

    Example:
        >>> is_image_file("IMG_1.JPG"), is_image_file("notes.txt")
        (True, False)
    """
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in ("", "."):
        return suffix in SUFFIXES
    try:
        return identify_format(read_bytes(Path(path), first=_HEAD)) is not None
    except DataError:
        return False
