"""Damage of image files that leaves all pixels whole: stray bytes, a missing end marker, wrong checksums."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator

_JPEG_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff+([\x01-\xfe])")
_SCAN, _SEQUENTIAL = 0xDA, (0xC0, 0xC1)
_PNG_HEAD = 8  # bytes before the first chunk


def mend_jpeg(data: bytes) -> bytes:
    """Remove stray bytes between the segments before the first scan, and append the end marker if it is missing.

    The end marker is appended to a sequential JPEG only: its scan is decoded to the last pixel or is an error. A
    progressive JPEG without its last scans would be decoded to a blurred image.

    Example:
        >>> mend_jpeg(Path("a.jpg").read_bytes()) == Path("a.jpg").read_bytes()
        True
    """
    parts, at, sequential = [data[:2]], 2, False
    while match := _MARKER.search(data, at):
        kind, start = match[1][0], match.end() - 2
        at = start + 2 + int.from_bytes(data[start + 2 : start + 4])
        parts.append(data[start:at])
        sequential |= kind in _SEQUENTIAL
        if kind == _SCAN:
            break
    end = _JPEG_END if sequential and data.find(_JPEG_END, at) < 0 else b""
    return b"".join([*parts, data[at:], end])


def describe_png_damage(data: bytes) -> str | None:
    """Return what is wrong with the chunks of a PNG whose pixels can be decoded; None for a whole file.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (2, 2)).save(file, "PNG")
        >>> describe_png_damage(file.getvalue()[:-1])
        'the chunk IEND is truncated'
    """
    name = ""
    for name, whole in _png_chunks(data):
        if whole is not True:
            return f"the chunk {name} {'has a wrong checksum' if whole is False else 'is truncated'}"
    return None if name == "IEND" else "the chunk IEND is missing"


def _png_chunks(data: bytes) -> Iterator[tuple[str, bool | None]]:
    """Yield the name of each chunk up to the last one, and whether its checksum is right; None if it is truncated."""
    at, name = _PNG_HEAD, ""
    while at < len(data) and name != "IEND":
        stop = at + 12 + int.from_bytes(data[at : at + 4])
        name = data[at + 4 : at + 8].decode("ascii", "backslashreplace")
        content, stored = data[at + 4 : stop - 4], data[stop - 4 : stop]
        yield name, zlib.crc32(content) == int.from_bytes(stored) if stop <= len(data) else None
        at = stop
