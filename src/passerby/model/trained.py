"""Build the network that a manifest describes, and load its trained weights."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from passerby.errors import RecipeError, WeightsError
from passerby.model.convnext_ap import ReID
from passerby.model.methods import MODELS, build_model
from passerby.model.weights import load_state
from passerby.runtime.model_manifest import MANIFEST_FILE
from passerby.runtime.preprocessing import MAX_SIDE


def load_network(folder: Path, manifest: Mapping[str, Any]) -> ReID:
    """Load the network of a run, in evaluation mode.

    Args:
        folder: The run, with `model.safetensors`.
        manifest: Its manifest, as `read_manifest` returns it.

    Raises:
        WeightsError: If this version cannot build the network, or the weights are missing or of another network.

    Example:
        >>> from passerby.runtime.model_manifest import read_manifest
        >>> load_network(Path("runs/m"), read_manifest(Path("runs/m"))).embedding_width
        32
    """
    network = _build(manifest, folder / MANIFEST_FILE)
    load_state(folder, network)
    return network.eval()


def _build(manifest: Mapping[str, Any], source: Path) -> ReID:
    """Build the network that a manifest describes, with random weights."""
    model = manifest["model"]
    method = model.get("method", "convnext_ap") if isinstance(model, dict) else "convnext_ap"
    if not isinstance(method, str) or method not in MODELS:
        raise WeightsError(f"{source}: model: method {method!r} is not known; expected one of {', '.join(MODELS)}")
    known = {**inspect.signature(MODELS[method]).parameters, "method": None}.keys()
    if not isinstance(model, dict) or model.keys() - known:
        unknown = ", ".join(sorted(model.keys() - known)) if isinstance(model, dict) else repr(model)
        raise WeightsError(f"{source}: model: {unknown} is not known; expected an object of {', '.join(known)}")
    identities = manifest["identities"]
    if type(identities) is not int or not 0 <= identities <= 10**8:
        raise WeightsError(f"{source}: identities is {identities!r}, expected 0 to 100 million")
    for name, value in model.items():
        if isinstance(value, int | float) and not -MAX_SIDE <= value <= MAX_SIDE:
            raise WeightsError(f"{source}: model: {name} is {value!r}, expected at most {MAX_SIDE}")
    try:
        return build_model(**{**model, "identities": identities, "pretrained": False, "weights": None})
    except (RecipeError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError, MemoryError) as error:
        raise WeightsError(f"{source}: describes a network that cannot be built: {error}") from None
