"""Fingerprint of weights, from tensors or from their safetensors file, without torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import WeightsError, explain

_TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I64": "<i8", "I32": "<i4", "U8": "u1", "BOOL": "?"}
_NAMES = {"float32": "torch.float32", "float64": "torch.float64", "int64": "torch.int64", "int32": "torch.int32"}


def hash_tensors(tensors: Iterable[tuple[str, NDArray[Any]]]) -> str:
    """Compute the SHA-256 of named tensors, hexadecimal.

    Half precision counts as float32, in which networks hold their weights.

    Example:
        >>> hash_tensors([("a", np.ones(2, np.float16))]) == hash_tensors([("a", np.ones(2, np.float32))])
        True
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors, key=lambda item: item[0]):
        values = tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor
        kind = _NAMES.get(str(values.dtype), f"torch.{values.dtype}")
        digest.update(f"{name} {kind} {tuple(values.shape)}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def hash_network_file(file: str | Path) -> str:
    """Compute the SHA-256 of an `.onnx` file, or of an `.xml` file and its `.bin`, hexadecimal.

    Example:
        >>> len(hash_network_file(passerby.runtime.model_manifest.DEFAULT_MODEL / "model.onnx"))
        64
    """
    digest, path = hashlib.sha256(), Path(file)
    for part in [path, *([path.with_suffix(".bin")] if path.suffix.lower() == ".xml" else [])]:
        with part.open("rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def hash_weights_file(path: Path) -> str:
    """Compute `hash_tensors` of a safetensors file.

    Raises:
        WeightsError: If the file is not complete, or has a type of numbers that NumPy lacks.

    Example:
        >>> len(hash_weights_file(Path("runs/m/model.safetensors")))
        64
    """
    try:
        content = path.read_bytes()
        size = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + size])
        tensors = []
        for name, entry in header.items():
            if name != "__metadata__":
                start, end = entry["data_offsets"]
                data = np.frombuffer(content[8 + size + start : 8 + size + end], _TYPES[entry["dtype"]])
                tensors.append((name, data.reshape(entry["shape"])))
        return hash_tensors(tensors)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"weights {path}: not a complete safetensors file ({explain(error)}); copy it again"
        ) from None
