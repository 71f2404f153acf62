"""The manifest beside a model, and the folder that a model's name stands for. Loading runs no code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from passerby.errors import WeightsError, explain
from passerby.files import read_json
from passerby.types import DEFAULT

MANIFEST_FORMAT = 2
"""Version of the manifest. 2: the recipe has the keys `optimizer` and `loss.center`, and `fingerprints` holds one
fingerprint for each data set, in the order of `titles` (`fingerprint` is that of all of them together)."""
MODEL_FILE = "model.safetensors"
MANIFEST_FILE = "manifest.json"
MAP_FILE = "map.npy"
"""A linear map (D, D) of the embedding of an imported ONNX or OpenVINO file, that `adapt` learned; NumPy's format."""
PICTURES = "adaptation"
"""Folder in an adapted run of pictures with crops of the site."""
FILE_METHOD = "file"
"""Method, in a manifest, of a network that is an ONNX or OpenVINO file in the folder, without weights to train."""
DEFAULT_MODEL = Path(__file__).parents[1] / "shipped"
"""Folder of the shipped model, trained on synthetic people only."""
MANIFEST_KEYS = ("format", "model", "preprocessing", "identities")
"""Keys that a manifest needs for its model to be loaded; the manifest of a run has more."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a saved model.

    Raises:
        WeightsError: When there is none, or it has another format than `MANIFEST_FORMAT`.

    Example:
        >>> read_manifest(Path("runs/m"))["data"]
        'market1501:people'
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise WeightsError(
            f"{folder}: not a run or a saved model; expected a folder with {MANIFEST_FILE} and {MODEL_FILE}"
        )
    try:
        manifest = read_json(path)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: not readable as JSON ({explain(error)}); copy the run again") from None
    if not isinstance(manifest, dict) or "format" not in manifest:
        raise WeightsError(f"{path}: not a manifest of passerby; expected an object with {', '.join(MANIFEST_KEYS)}")
    if manifest["format"] != MANIFEST_FORMAT:
        older = manifest["format"] == 1
        advice = (
            f"convert it with `passerby model upgrade {folder}`"
            if older
            else f"install the version of passerby that wrote it ({manifest.get('passerby', 'not named')})"
        )
        raise WeightsError(f"{path}: format {manifest['format']!r}, this version reads {MANIFEST_FORMAT}; {advice}")
    missing = [key for key in MANIFEST_KEYS if key not in manifest]
    if missing:
        raise WeightsError(f"{path}: lacks {', '.join(missing)}; copy it again from the run that made the model")
    return manifest


def holds_network_file(manifest: Mapping[str, Any]) -> bool:
    """Return whether the manifest is that of an imported ONNX or OpenVINO file.

    Example:
        >>> holds_network_file(read_manifest(Path("runs/m")))
        False
    """
    model = manifest["model"]
    return isinstance(model, Mapping) and model.get("method") == FILE_METHOD


def model_folder(name: str | Path = DEFAULT) -> Path:
    """Find the folder of a model: `default` is the shipped one, any other name is the folder itself.

    This is the one function that resolves `default`; every function and command that takes a model calls it.

    Raises:
        WeightsError: When the name is `default` and this installation contains no model.

    Example:
        >>> model_folder("runs/m").as_posix()
        'runs/m'
        >>> model_folder("default").name
        'shipped'
    """
    if str(name) != DEFAULT:
        return Path(name)
    if not (DEFAULT_MODEL / MODEL_FILE).is_file():
        raise WeightsError(
            "default model: this installation has none; build it in a checkout with `python -m tools.default_model "
            "--out RUN`, which takes hours, and name RUN/shipped, or name the folder of another run"
        )
    return DEFAULT_MODEL
