"""Save and load models: safetensors and a JSON manifest, written completely or not at all. Loading runs no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from passerby.errors import WeightsError, explain
from passerby.files import write_all_atomic
from passerby.runtime.model_manifest import MANIFEST_FILE, MODEL_FILE, holds_network_file, model_folder, read_manifest

WRAPPERS = ("module.", "_orig_mod.")
"""Prefixes of the names of tensors, which a wrapper around a network adds when it is saved."""
UNSEEN = ("attention", "attention_position", "last_stride", "instance_norm", "tone_black", "tone_gamma")
"""Settings that change the output of a network but none of its tensors, so that weights load with any value."""


def save_model(folder: Path, network: nn.Module, manifest: Mapping[str, Any]) -> None:
    """Write `model.safetensors` and `manifest.json` into `folder`; neither is replaced before both are on the disk.

    Raises:
        WriteError: As `write_all_atomic`.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    text = json.dumps(manifest, indent=2) + "\n"
    write_all_atomic({folder / MODEL_FILE: safetensors.torch.save(tensors), folder / MANIFEST_FILE: text.encode()})


def find_weights_file(weights: str | Path | None) -> Path | None:
    """Find the safetensors file that a recipe's `model.weights` names.

    Args:
        weights: The file, the folder of a run, or `default`; None for no weights.

    Raises:
        WeightsError: For an imported ONNX or OpenVINO file; as `model_folder`.
    """
    if weights is None:
        return None
    path = model_folder(weights)
    if (path / MANIFEST_FILE).is_file() and holds_network_file(read_manifest(path)):
        raise WeightsError(
            f"weights {path}: an imported ONNX or OpenVINO file, which cannot be trained; training needs a run or an "
            "imported checkpoint with model.safetensors"
        )
    return path / MODEL_FILE if path.is_dir() else path


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file, on the CPU.

    Raises:
        WeightsError: When it is missing, truncated, or another kind of file (a pickle could run code).
    """
    if not path.is_file():
        raise WeightsError(f"weights {path}: no such file; expected a .safetensors file, a run's folder, or default")
    try:
        return dict(strip_wrappers(safetensors.torch.load_file(path)))
    except (SafetensorError, OSError) as error:
        with path.open("rb") as file:
            head = file.read(2)
        if head == b"PK" or head[:1] == b"\x80":
            raise WeightsError(
                f"weights {path}: a pickle, which can run code when it is opened. If you trust it, convert it: "
                "safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'weights.safetensors')"
            ) from None
        raise WeightsError(
            f"weights {path}: not a complete safetensors file ({explain(error)}); copy or download it again"
        ) from None


def load_state(folder_or_file: Path, network: nn.Module) -> None:
    """Load saved weights into a network of the same architecture.

    Raises:
        WeightsError: When there are none, or they are of another architecture: missing, unexpected and mis-shaped
            tensors are named, and the network is unchanged.
    """
    path = folder_or_file / MODEL_FILE if folder_or_file.is_dir() else folder_or_file
    if folder_or_file.is_dir() and not path.is_file():
        raise WeightsError(f"{folder_or_file}: {MODEL_FILE} is missing; if the training was stopped, resume it first")
    fill(network, read_tensors(path), source=str(path))


def find_setting_differences(weights: Path, model: Mapping[str, Any]) -> dict[str, Any]:
    """Find the settings in `UNSEEN` that differ between a run's weights and a network that starts from them.

    Args:
        weights: The file; the manifest in its folder describes it. timm's weights have none.
        model: Settings of the network.

    Returns:
        The values of the weights' network, by setting.
    """
    try:
        trained = read_manifest(weights.parent)["model"]
    except WeightsError:
        return {}
    return {key: trained[key] for key in UNSEEN if key in trained and key in model and trained[key] != model[key]}


def fill(network: nn.Module, tensors: Mapping[str, Tensor], *, source: str, ignore: tuple[str, ...] = ()) -> None:
    """Copy `tensors` into `network`, all or none. Tensors that it lacks are skipped if their name starts with `ignore`.

    Raises:
        WeightsError: Naming the tensors that do not fit, and `source`.
    """
    own = network.state_dict()
    used = {key: value for key, value in tensors.items() if key in own or not key.startswith(ignore or ("\0",))}
    shapes = [
        f"{key} is {tuple(value.shape)}, expected {tuple(own[key].shape)}"
        for key, value in used.items()
        if key in own and value.shape != own[key].shape
    ]
    problems = [
        _list_names("missing", [key for key in own if key not in used]),
        _list_names("unexpected", [key for key in used if key not in own]),
        _list_names("mis-shaped", shapes),
    ]
    if any(problems):
        raise WeightsError(
            f"weights {source}: of another architecture; {'; '.join(filter(None, problems))}. "
            "Build the network with the settings that the weights were trained with"
        )
    network.load_state_dict(used)


def strip_wrappers(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Remove the prefix that DataParallel (`module.`) or torch.compile (`_orig_mod.`) gives to all names."""
    for prefix in WRAPPERS * 2:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _list_names(kind: str, names: list[str], *, shown: int = 3) -> str:
    """Format as `2 missing: a, b`, with an ellipsis after `shown` names; empty for no names."""
    return f"{len(names)} {kind}: {', '.join(names[:shown])}{', ...' if len(names) > shown else ''}" if names else ""
