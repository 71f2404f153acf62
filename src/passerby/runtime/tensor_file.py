"""Reading and writing of safetensors files without torch and without the package safetensors. No code is executed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
_METADATA = "__metadata__"


def parse_tensors(content: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read the tensors and the metadata of the content of a safetensors file.

    Raises:
        ValueError: If it is not complete, or has a type of numbers that NumPy lacks.
        KeyError, TypeError: Likewise.

    Example:
        >>> tensors, metadata = parse_tensors(format_tensors({"a": np.ones((2, 3), np.float32)}, {"data": "none"}))
        >>> tensors["a"].shape, metadata
        ((2, 3), {'data': 'none'})
    """
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name != _METADATA:
            start, end = entry["data_offsets"]
            data = np.frombuffer(content[8 + size + start : 8 + size + end], _TYPES[entry["dtype"]])
            tensors[name] = data.reshape(entry["shape"])
    return tensors, dict(header.get(_METADATA, {}))


def format_tensors(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Return the content of a safetensors file; the same input gives the same bytes.

    Raises:
        KeyError: For a type of numbers that the format lacks.
    """
    names = {np.dtype(kind): name for name, kind in _TYPES.items()}
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    blobs, end = [], 0
    for name, tensor in tensors.items():
        blobs.append(np.ascontiguousarray(tensor).tobytes())
        offsets = [end, end := end + len(blobs[-1])]
        header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the tensors
    return b"".join([len(text).to_bytes(8, "little"), text, *blobs])
