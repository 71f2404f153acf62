"""The description inside a file that `passerby model export` wrote: its run, its precision, and its certificate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from passerby.errors import WeightsError, explain
from passerby.files import parse_json
from passerby.runtime.networks import FileNetwork

METADATA_FORMAT = 1
Precision = Literal["fp32", "fp16", "int8"]
"""Precision of an exported file."""
AccuracyKind = Literal["measured", "by cosine", "not verified"]
"""Evidence that an exported file is as accurate as its model; see `exporting.certificate.Certificate`."""
_Check = tuple[str, Callable[[Any], bool]]


def _one_of(kind: Any) -> _Check:
    names = get_args(kind)
    return f"one of {', '.join(names)}", lambda value: value in names


_OBJECT: _Check = "an object", lambda value: isinstance(value, dict)
_TEXT: _Check = "text", lambda value: isinstance(value, str)
_TEXTS: _Check = "a list of texts", lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value)
_TRUTH: _Check = "true or false", lambda value: isinstance(value, bool)
_COSINE: _Check = "a finite number", lambda value: isinstance(value, float) and math.isfinite(value)
_COUNT: _Check = "a count", lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0
_PRECISION = _one_of(Precision)
_IMPORTED: Mapping[str, _Check] = {"imported": _OBJECT, "imported.sha256": _TEXT}
_IMPORTED_EXPORT: Mapping[str, _Check] = {"imported.precision": _PRECISION, "imported.interchangeable": _TRUTH}
TRAINED_ON: Mapping[str, _Check] = {
    "titles": _TEXTS,
    "fingerprint": _TEXT,
    "fingerprints": _TEXTS,
    "images": _COUNT,
    "trained_identities": _COUNT,
}
"""Entries of a run's manifest about its training data."""
_REQUIRED: Mapping[str, _Check] = {
    "manifest": _OBJECT,
    "manifest.model": _OBJECT,
    "manifest.preprocessing": _OBJECT,
    "weights": _TEXT,
    "precision": _PRECISION,
    "flip": _TRUTH,
    "certificate": _OBJECT,
    "certificate.cosine_min": _COSINE,
    "certificate.cosine_mean": _COSINE,
    "certificate.accuracy": _one_of(AccuracyKind),
    "certificate.interchangeable": _TRUTH,
}
_OPTIONAL: Mapping[str, _Check] = {
    "calibration": ("an object or null", lambda value: value is None or isinstance(value, dict)),
    **{f"manifest.{key}": check for key, check in TRAINED_ON.items()},
}


def parse_metadata(content: Any) -> dict[str, Any]:
    """Check the type of each value that this package reads from a description.

    Raises:
        ValueError: For another format, or an entry that is missing or of another type.

    Example:
        >>> parse_metadata({"format": 9})
        Traceback (most recent call last):
        ValueError: format is 9, this version reads 1
    """
    if not isinstance(content, dict):
        raise ValueError(f"got {content!r:.80}, expected an object")
    if content.get("format") != METADATA_FORMAT:
        raise ValueError(f"format is {content.get('format')!r:.80}, this version reads {METADATA_FORMAT}")
    _require_entries(content, _REQUIRED)
    _require_entries(content, _OPTIONAL, optional=True)
    return content


def read_metadata(network: FileNetwork) -> dict[str, Any]:
    """Read and check the description inside a file that `passerby model export` wrote.

    Raises:
        WeightsError: If there is none, or it cannot be read.
    """
    path = network.path
    if network.metadata is None:
        raise WeightsError(
            f"{path}: does not describe its preprocessing, as files of `passerby model export` do; import it: "
            f"`passerby model import {path} --out DIR`"
        )
    try:
        return parse_metadata(parse_json(network.metadata))
    except ValueError as error:
        raise WeightsError(
            f"{path}: its description cannot be read ({explain(error)}); export the model again"
        ) from None


def find_accuracy(exported: Mapping[str, Any] | None) -> AccuracyKind | None:
    """Return the evidence that an exported file is as accurate as its model, from its description.

    Args:
        exported: `Embedder.exported`; None for a model that is no exported file.

    Example:
        >>> find_accuracy(passerby.load(passerby.runtime.model_manifest.DEFAULT_MODEL / "model.onnx").exported)
        'by cosine'
    """
    return None if exported is None else exported["certificate"]["accuracy"]


def read_imported(manifest: Mapping[str, Any], source: Path) -> Mapping[str, Any]:
    """Check and return the entry `imported` of the manifest of an ONNX or OpenVINO file.

    Args:
        manifest: Of a run folder that `passerby model import` wrote.
        source: File that holds it, for messages.

    Raises:
        WeightsError: If it is missing or damaged.
    """
    try:
        _require_entries(manifest, _IMPORTED)
        _require_entries(manifest, _IMPORTED_EXPORT, optional=True)
    except ValueError as error:
        raise WeightsError(f"{source}: {error}; import the file again") from None
    imported: Mapping[str, Any] = manifest["imported"]
    return imported


def _require_entries(tree: Mapping[str, Any], checks: Mapping[str, _Check], *, optional: bool = False) -> None:
    """Check entries of nested objects, each named by its keys with dots between them.

    Raises:
        ValueError: For the first that is missing (unless `optional`) or of another type.
    """
    for name, (expected, fits) in checks.items():
        *parents, key = name.split(".")
        parent: Any = tree
        for outer in parents:
            parent = parent[outer]
        if key not in parent:
            if optional:
                continue
            raise ValueError(f"lacks {name}, expected {expected}")
        if not fits(parent[key]):
            raise ValueError(f"{name} is {parent[key]!r:.80}, expected {expected}")
