"""Image formats that the package reads: their suffixes and their first bytes. Every other format is refused.

Pillow has decoders for some 40 formats, among them ones that start another program (EPS). Only the decoder of the
format that the first bytes state is used, whatever the name of the file is.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from passerby.errors import DataError

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

MAX_BYTES = 256 * 2**20
"""Larger files are refused before they are read."""
_HEAD = 16  # bytes that identify a format
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


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


def read_bytes(path: Path, *, limit: int = MAX_BYTES, first: int | None = None) -> bytes:
    r"""Read a regular file.

    Args:
        path: The file, or a link to it.
        limit: Size in bytes above which the file is refused.
        first: Number of bytes to read; None reads the whole file.

    Raises:
        DataError: For a missing file, a folder, a pipe, a device, a loop of links, or a file above the limit.

    Example:
        >>> read_bytes(Path("a.jpg"), first=2)
        b'\xff\xd8'
    """
    try:
        _require_regular(os.stat(path), path, limit if first is None else None)
        # The file may be replaced after the check: the open does not wait for a writer, and the read is bounded.
        with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | _NO_WAIT)) as file:
            status = os.fstat(file.fileno())
            _require_regular(status, path, limit if first is None else None)
            parts, left = [], status.st_size + 1 if first is None else first
            while left > 0 and (part := file.read(left)):
                parts.append(part)
                left -= len(part)
            return b"".join(parts)
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _require_regular(status: os.stat_result, path: Path, limit: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, a device or a socket"
        raise DataError(f"{path}: cannot be read: it is {kind}; expected a file")
    if limit is not None and status.st_size > limit:
        raise DataError(f"{path}: cannot be read: it has {status.st_size:,} bytes; expected at most {limit:,}")
