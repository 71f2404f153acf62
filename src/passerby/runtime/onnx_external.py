"""Find tensors of an ONNX file whose values are in another file, without the package onnx and without that file.

The file is read as protocol buffers: fields of a number and a wire type, some of which hold further messages.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from passerby.errors import DataError, explain

_LENGTH_DELIMITED = 2
_FIXED = {1: 8, 5: 4}
"""Bytes of a value by its wire type."""
_MESSAGES: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {},
}
"""Fields of onnx.proto that lead to tensors: message by number of the field in its parent."""
_MAX_DEPTH = 64


def require_no_external_data(path: Path) -> None:
    """Refuse an ONNX file whose weights are in another one, so that no path inside a file is ever opened.

    Raises:
        DataError: For such a file, or one that is not ONNX.

    Example:
        >>> Path("a.onnx").write_bytes(b"")
        0
        >>> require_no_external_data(Path("a.onnx"))
    """
    try:
        location = find_external_data(path)
    except ValueError as error:
        raise DataError(f"{path}: cannot be read as ONNX ({explain(error)}); copy or export it again") from None
    if location is not None:
        raise DataError(
            f"{path}: its weights are in another file ({location[:100]}), which is not read; export it with "
            f'external_data=False, or join both where they are: onnx.save(onnx.load("{path.name}"), "joined.onnx")'
        )


def find_external_data(path: Path) -> str | None:
    """Return the location of the first tensor whose values are in another file; None if all are inside.

    Args:
        path: An ONNX file.

    Raises:
        ValueError: If the file is not a sequence of such fields.

    Example:
        >>> Path("a.onnx").write_bytes(b"")
        0
        >>> find_external_data(Path("a.onnx")) is None
        True
    """
    with path.open("rb") as file:
        if not file.read(1):
            return None
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # values of tensors are passed over unread
    return next(_find_locations(memoryview(content), "model", 0), None)


def _find_locations(content: memoryview, kind: str, depth: int) -> Iterator[str]:
    """Yield the locations below a message."""
    if depth > _MAX_DEPTH:
        raise ValueError("graphs inside graphs beyond a depth of 64")
    for number, value in _read_fields(content):
        inner = _MESSAGES[kind].get(number)
        if inner == "entry":
            entry = {key: bytes(text).decode(errors="replace") for key, text in _read_fields(value)}
            if entry.get(1) == "location":
                yield entry.get(2, "")
        elif inner is not None:
            yield from _find_locations(value, inner, depth + 1)


def _read_fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of the fields that have a length; numbers are skipped."""
    start = 0
    while start < len(content):
        key, start = _read_number(content, start)
        number, wire = key >> 3, key & 7
        if wire == _LENGTH_DELIMITED:
            length, start = _read_number(content, start)
            end = start + length
            if end > len(content):
                raise ValueError("a field is longer than the file")
            yield number, content[start:end]
            start = end
        elif wire == 0:
            _, start = _read_number(content, start)
        elif wire in _FIXED:
            start += _FIXED[wire]
        else:
            raise ValueError(f"a field of wire type {wire}")


def _read_number(content: memoryview, start: int) -> tuple[int, int]:
    """Read an integer of up to ten bytes; return it with the position behind it."""
    value = 0
    for shift in range(10):
        if start >= len(content):
            break
        byte = content[start]
        value |= (byte & 0x7F) << (7 * shift)
        start += 1
        if byte < 0x80:
            return value, start
    raise ValueError("a number without an end")
