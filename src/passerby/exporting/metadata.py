"""Metadata of an exported file: the run's manifest, its fingerprint, and the certificate.

The same JSON object is in the file (ONNX: `metadata_props["passerby"]`; OpenVINO: `rt_info["passerby"]`) and beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from passerby.data.datasets.public_spec import hide_folders, public_spec
from passerby.exporting.certificate import Certificate
from passerby.gallery.embedding_model import read_calibration, record_model
from passerby.runs.run_data import ABSOLUTE
from passerby.runtime.file_metadata import METADATA_FORMAT, Precision

if TYPE_CHECKING:
    from passerby.runtime.embedder import Embedder

PRIVATE = (ABSOLUTE, "data_from_run")
"""Keys of a manifest that describe one machine."""


def build_metadata(
    embedder: Embedder, run: str | Path, *, precision: Precision, flip: bool, certificate: Certificate
) -> dict[str, Any]:
    """Return the metadata of an exported file.

    Args:
        embedder: The model, as `load` returned it.
        run: Its folder, or `default`, whose calibration is copied.
        precision: Precision of the file.
        flip: Whether the mirror image is averaged inside.
        certificate: Certificate of the file.
    """
    return {
        "format": METADATA_FORMAT,
        "manifest": public_manifest(embedder.manifest),
        "weights": record_model(embedder).weights,
        "precision": precision,
        "flip": flip,
        "certificate": certificate.to_dict(),
        "calibration": _without_paths(read_calibration(str(run))),
    }


def public_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest with the last component of each path only, without the folders of this machine.

    Example:
        >>> public_manifest({"data": "market1501:/home/ana/people", "recipe": {"model": {"weights": "/home/ana/m"}}})
        {'data': 'market1501:people', 'recipe': {'model': {'weights': 'm'}}}
    """
    return {key: _without_paths(value, key) for key, value in manifest.items() if key not in PRIVATE}


def _without_paths(value: Any, key: str = "") -> Any:
    """Return a value of JSON without folders; the values of keys `data` are specs of data sets."""
    if isinstance(value, Mapping):
        return {name: _without_paths(item, name) for name, item in value.items()}
    if key == "data" and isinstance(value, str):
        return public_spec(value)
    if isinstance(value, list):
        return [_without_paths(item) for item in value]
    return hide_folders(value) if isinstance(value, str) else value
