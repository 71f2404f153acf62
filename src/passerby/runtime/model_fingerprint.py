"""Fingerprints of models: equal ones compute the same vectors."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from passerby.runtime.file_encoder import FileEncoder
from passerby.runtime.model_manifest import holds_network_file
from passerby.runtime.weights_hash import hash_network_file, hash_tensors

if TYPE_CHECKING:
    from passerby.runtime.embedder import Embedder


def fingerprint_weights(embedder: Embedder) -> str:
    """Compute the fingerprint of the weights and precision of a model, hexadecimal.

    Two models have the same one if a gallery may hold vectors of both: a run, and a file whose certificate calls it
    interchangeable with the run. Another precision has another fingerprint, and so has each other file, such as two
    int8 files of one run, and each runtime of it.
    """
    encoder, network = embedder.encoder, fingerprint_network(embedder)
    if embedder.exported is not None and not embedder.exported["certificate"]["interchangeable"]:
        assert isinstance(encoder, FileEncoder)  # such a file is never computed by several runtimes
        return _hash(f"{network} {encoder.precision} {encoder.runtime} {hash_network_file(encoder.path)}")
    return network if encoder.precision == "fp32" else _hash(f"{network} {encoder.precision}")


def fingerprint_network(embedder: Embedder) -> str:
    """Compute the fingerprint of the weights from which a model was made, whatever its file and precision."""
    if embedder.exported is not None:
        weights: str = embedder.exported["weights"]
        return weights
    if holds_network_file(embedder.manifest):
        file = str(embedder.manifest["imported"]["sha256"])
        adapted = embedder.manifest["model"].get("map")
        return file if adapted is None else _hash(f"{file} {adapted}")
    tensors = embedder.network.state_dict().items()
    return hash_tensors((name, tensor.detach().cpu().numpy()) for name, tensor in tensors)


def fingerprint_architecture(embedder: Embedder) -> str:
    """Compute the fingerprint of the model's settings in its manifest, hexadecimal: some change no tensor."""
    manifest = embedder.manifest if embedder.exported is None else embedder.exported["manifest"]
    return _hash(json.dumps(manifest["model"], sort_keys=True))


def fingerprint_model(embedder: Embedder) -> str:
    """Compute the fingerprint of everything that a vector depends on besides the image, hexadecimal.

    Example:
        >>> embedder = passerby.load("runs/m")
        >>> len(fingerprint_model(embedder))
        64
    """
    preprocessing = json.dumps(embedder.preprocessing.to_dict(), sort_keys=True)
    return _hash(f"{fingerprint_architecture(embedder)} {fingerprint_weights(embedder)} {preprocessing}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
