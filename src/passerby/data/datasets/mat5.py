"""Reader of MATLAB v5 files for the two layouts of protocol files: numeric arrays, and cell arrays of texts.

`scipy.io.loadmat` reads every layout, and crashes the interpreter on some damaged files. This reader checks each size
before it reads.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from passerby.text import plural

MAX_BYTES = 64 * 2**20
"""Limit of the whole content after decompression."""
_HEADER = 128
_COMPRESSED, _MATRIX = 15, 14
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {1: "ascii", 2: "ascii", 16: "utf-8"}  # 4 and 17 are UTF-16 in the order of the file
_CELL, _CHAR, _NUMERIC = 1, 4, range(6, 16)


def read_mat5(content: bytes) -> dict[str, NDArray[np.generic] | list[str]]:
    """Read the numeric arrays and the cell arrays of texts of a v5 file, flattened by column.

    Args:
        content: The file.

    Returns:
        The arrays by name, (N,) numbers or N texts. Arrays of other classes are left out.

    Raises:
        ValueError: For another format, a damaged file, or content above `MAX_BYTES`.
    """
    order = {b"IM": "<", b"MI": ">"}.get(content[126:128])
    if order is None or len(content) > MAX_BYTES:
        raise ValueError("not a MATLAB v5 file of at most 64 MiB")
    arrays: dict[str, NDArray[np.generic] | list[str]] = {}
    left = MAX_BYTES
    for stored, packed in _elements(content[_HEADER:], order):
        kind, body = stored, packed
        if stored == _COMPRESSED:
            unpacked = _decompress(packed, left)
            left -= len(unpacked)
            kind, body = next(_elements(unpacked, order), (0, b""))
        if kind == _MATRIX:
            name, value = _read_matrix(body, order)
            if value is not None and not isinstance(value, str):
                arrays[name] = value
    return arrays


def _decompress(body: bytes, limit: int) -> bytes:
    try:
        content = zlib.decompressobj().decompress(body, limit + 1)
    except zlib.error as error:
        raise ValueError(f"damaged compression: {error}") from None
    if len(content) > limit:
        raise ValueError(f"more than {MAX_BYTES // 2**20} MiB after decompression")
    return content


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """Yield type and content of each element."""
    at = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        start = at + 8
        if kind >> 16:  # an element of up to four bytes has its size beside its type
            kind, size, start = kind & 0xFFFF, kind >> 16, at + 4
            if size > 4:
                raise ValueError(f"a small element of {plural(size, 'byte')}")
            at += 8
        else:
            at = start + size
            if kind != _COMPRESSED:
                at += -size % 8
        if start + size > len(content):
            raise ValueError(
                f"an element of {plural(size, 'byte')}, and {len(content) - start} are left: the file is truncated"
            )
        yield kind, content[start : start + size]


def _read_matrix(
    body: bytes, order: str, *, in_cell: bool = False
) -> tuple[str, NDArray[np.generic] | list[str] | str | None]:
    """Read name and value of a matrix; None for another class, and text for a text."""
    if not body:
        return "", np.empty(0)
    parts = _elements(body, order)
    _, flags = next(parts, (0, b""))
    _, shape = next(parts, (0, b""))
    _, name = next(parts, (0, b""))
    if len(flags) != 8 or not 8 <= len(shape) <= 32 or len(shape) % 4:
        raise ValueError("an array without class and shape")
    (word,) = struct.unpack_from(f"{order}I", flags)
    sizes = struct.unpack(f"{order}{len(shape) // 4}i", shape)
    if min(sizes) < 0:
        raise ValueError(f"an array of shape {sizes}")
    count = math.prod(sizes)
    kind, is_complex = word & 0xFF, bool(word & 0x0800)
    label = name.decode("latin-1")
    if kind == _CELL and not in_cell:
        cells = [_read_matrix(cell, order, in_cell=True)[1] for stored, cell in parts if stored == _MATRIX]
        texts = [cell for cell in cells if isinstance(cell, str)]
        if len(cells) != count or len(texts) != count:
            raise ValueError(f"{label}: {plural(count, 'cell')}, with {plural(len(texts), 'text')}")
        return label, texts
    if kind not in (_CHAR, *_NUMERIC) or is_complex:
        return label, None
    stored, data = next(parts, (0, b""))
    if kind == _CHAR:
        encoding = _TEXT.get(stored, "utf-16-le" if order == "<" else "utf-16-be")
        return label, data.decode(encoding, errors="replace")
    if stored not in _TYPES:
        raise ValueError(f"{label}: numbers of type {stored}")
    values = np.frombuffer(data, f"{order}{_TYPES[stored]}") if len(data) % int(_TYPES[stored][1]) == 0 else ()
    if len(values) != count:
        raise ValueError(f"{label}: shape {sizes}, and {plural(len(data), 'byte')} of numbers")
    return label, np.asarray(values)
