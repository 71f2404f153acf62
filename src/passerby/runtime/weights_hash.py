"""Fingerprint of weights, from tensors or from their safetensors file, without torch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import WeightsError, explain
from passerby.runtime.tensor_file import parse_tensors

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


def hash_file(path: Path) -> str:
    """Compute the SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


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
        return hash_tensors(parse_tensors(path.read_bytes())[0].items())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"weights {path}: not a complete safetensors file ({explain(error)}); copy it again"
        ) from None
