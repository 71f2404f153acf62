"""Load models that are ONNX or OpenVINO files: exported by this package, or imported from elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from passerby.errors import WeightsError, explain
from passerby.files import read_bytes, read_json
from passerby.runtime.embedder import Embedder
from passerby.runtime.file_encoder import FileEncoder, FileInput
from passerby.runtime.file_metadata import parse_metadata, read_imported, read_metadata
from passerby.runtime.model_manifest import MANIFEST_FILE, MAP_FILE, MODEL_FILE
from passerby.runtime.networks import ComputePrecision, FileNetwork, FileRuntime, default_threads, load_network
from passerby.runtime.preprocessing import parse_preprocessing
from passerby.runtime.weights_hash import hash_file, hash_network_file, hash_weights_file
from passerby.types import FloatArray

BATCHES = (1, 2, 8, 32)
"""Sizes of the batches that a file computes; a larger batch of images is computed in several."""
SUFFIXES = (".onnx", ".xml")
EXPORTED_OUTPUT = "embedding"
"""Output of files that `passerby model export` writes."""


def is_model_file(path: str | Path) -> bool:
    """Return whether a name is that of an ONNX or OpenVINO file, rather than of a folder."""
    return Path(path).suffix.lower() in SUFFIXES


def load_exported(
    path: Path,
    *,
    runtime: FileRuntime | None = None,
    precision: ComputePrecision = "fp32",
    threads: int | None = None,
) -> Embedder:
    """Load a file that `passerby model export` wrote.

    Args:
        path: `.onnx` or `.xml`.
        runtime: `openvino` runs an `.onnx` file, too; None is onnxruntime for `.onnx`.
        precision: In which openvino computes.
        threads: Number of threads; None is `OMP_NUM_THREADS`, or the runtime's choice.

    Raises:
        WeightsError: If the file contains no description, or one of another version; for another precision than fp32
            of a file that is not stored in fp32.
        DataError: As `load_network`.
    """
    network = _open(path, runtime, precision, threads)
    metadata = read_metadata(network)
    encoder = build_exported_encoder(network, metadata, precision=precision)
    return Embedder(encoder, encoder.preprocessing, metadata["manifest"], exported=metadata)


def build_exported_encoder(
    network: FileNetwork,
    metadata: Mapping[str, Any],
    *,
    precision: ComputePrecision = "fp32",
    linear: FloatArray | None = None,
) -> FileEncoder:
    """Build the encoder of a file that `passerby model export` wrote; see `FileEncoder` for `linear`.

    Raises:
        WeightsError: For another precision than fp32 of a file that is not stored in fp32, or a damaged description.
    """
    stored: str = metadata["precision"]
    if precision != "fp32" and stored != "fp32":
        raise WeightsError(f"{network.path}: is stored in {stored}; precision {precision} needs a file in fp32")
    preprocessing = parse_preprocessing(metadata["manifest"]["preprocessing"], network.path)
    return FileEncoder(
        network,
        FileInput(preprocessing, normalizes=True, mirrors=metadata["flip"]),
        output=EXPORTED_OUTPUT,
        precision=precision if stored == "fp32" else stored,
        linear=linear,
    )


def load_imported(
    folder: Path,
    manifest: Mapping[str, Any],
    *,
    runtime: FileRuntime | None = None,
    precision: ComputePrecision = "fp32",
    threads: int | None = None,
) -> Embedder:
    """Load the run folder of an imported ONNX or OpenVINO file.

    Args:
        folder: With `manifest.json` and the file that it names.
        manifest: Its content.
        runtime: As for `load_exported`.
        precision: As for `load_exported`.
        threads: As for `load_exported`.

    Raises:
        WeightsError: If the manifest is damaged, or input or output do not fit.
        DataError: As `load_network`.
    """
    model, source = manifest["model"], folder / MANIFEST_FILE
    imported = read_imported(manifest, source)
    name, output = model.get("file"), model.get("output")
    if not isinstance(name, str) or Path(name).name != name or not is_model_file(name):
        raise WeightsError(f"{source}: model: file is {name!r}, expected the name of an .onnx or .xml file beside it")
    linear = _read_map(folder / MAP_FILE, model["map"]) if "map" in model else None
    if not isinstance(output, str | None):
        raise WeightsError(f"{source}: model: output is {output!r}, expected the name of an output")
    preprocessing = parse_preprocessing(manifest["preprocessing"], source)
    _require_imported(folder / name, imported["sha256"], source)
    network = _open(folder / name, runtime, precision, threads)
    if network.metadata is None:
        encoder = FileEncoder(network, FileInput(preprocessing), output=output, precision=precision, linear=linear)
        return Embedder(encoder, preprocessing, manifest)
    metadata = read_metadata(network)
    stated = {"precision": metadata["precision"], "interchangeable": metadata["certificate"]["interchangeable"]}
    if different := [key for key, value in stated.items() if imported.get(key) != value]:
        raise WeightsError(
            f"{source}: imported: {different[0]} is {imported.get(different[0])!r}, but {name} has "
            f"{stated[different[0]]!r}; import the file again"
        )
    encoder = build_exported_encoder(network, metadata, precision=precision, linear=linear)
    # The certificate is about the vectors before the map.
    return Embedder(encoder, encoder.preprocessing, manifest, exported=metadata if linear is None else None)


def _require_imported(path: Path, sha256: str, source: Path) -> None:
    """Raise WeightsError for a file that is not the one that was imported.

    The hash of an OpenVINO file covers `.xml` and `.bin`. Runs that were imported before it did have the hash of the
    `.bin`, which galleries record; they are accepted, and their `.xml` is not checked.
    """
    parts = [path] if path.suffix.lower() == ".onnx" else [path, path.with_suffix(".bin")]
    if missing := [part for part in parts if not part.is_file()]:
        raise WeightsError(f"{missing[0]}: no such file; copy the whole run again")
    known = {hash_file(parts[-1])} if len(parts) == 1 else {hash_file(parts[-1]), hash_network_file(path)}
    if sha256 not in known:
        raise WeightsError(
            f"{path}: is not the file that was imported: its hash is not that in {source.name}; copy the whole run "
            "again, or import the file that you want to use into a new folder"
        )


def write_map(linear: FloatArray) -> bytes:
    """Return the content of `MAP_FILE`."""
    content = BytesIO()
    np.save(content, linear.astype(np.float32))
    return content.getvalue()


def _read_map(path: Path, sha256: object) -> FloatArray:
    """Read the linear map of an embedding, whose hash is in the manifest."""
    try:
        content = read_bytes(path)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError("it is not the file that the manifest describes")
        linear = np.load(BytesIO(content), allow_pickle=False)
        if linear.ndim != 2 or linear.shape[0] != linear.shape[1] or linear.dtype != np.float32:
            raise ValueError(f"expected (width, width) of float32, found {linear.shape} of {linear.dtype}")
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read ({explain(error)}); copy the whole run again") from None
    return np.asarray(linear)


def find_exported(folder: Path, manifest: Mapping[str, Any]) -> Path | None:
    """Find the `model.onnx` or `model.xml` of a run, exported from its weights; None if there is none.

    A file of other weights, such as those of an earlier training, does not count.
    """
    for path in (folder / f"model{suffix}" for suffix in SUFFIXES):
        described = path.with_name(f"{path.name}.json")
        if not (path.is_file() and described.is_file()):
            continue
        try:
            metadata = parse_metadata(read_json(described))
        except (OSError, ValueError):
            continue
        same = metadata["manifest"]["model"] == manifest["model"] and metadata["precision"] in ("fp32", "fp16")
        weights = folder / MODEL_FILE
        if same and (not weights.is_file() or metadata["weights"] == hash_weights_file(weights)):
            return path
    return None


def _open(path: Path, runtime: FileRuntime | None, precision: ComputePrecision, threads: int | None) -> FileNetwork:
    return load_network(
        path, runtime=runtime, precision=precision, threads=threads or default_threads(), batches=BATCHES
    )
