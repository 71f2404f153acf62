"""Checkpoints of a training: one safetensors file, written completely or not at all.

Tensors are named `network.*`, `ema.*` and `optimizer.<parameter>.<key>`; all other values are JSON in the file's
metadata. Loading runs no code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from passerby.errors import WeightsError, explain
from passerby.files import parse_json, write_atomic
from passerby.model.weights import fill
from passerby.text import plural
from passerby.training.state import TrainingState

FORMAT = 1


def save_checkpoint(path: Path, state: TrainingState) -> None:
    """Write `state` to `path`; an older checkpoint there is replaced only when the new one is complete.

    Raises:
        TrainingError: When a loss or gradient was NaN or infinite since losses were last read; nothing is written.
        WriteError: When the disk is full or the folder cannot be written; the older checkpoint is intact.
    """
    if state.history is not None:
        state.history.read()
    optimizer = state.optimizer.state_dict()
    tensors = {f"network.{key}": value for key, value in state.network.state_dict().items()}
    if state.ema is not None:
        tensors |= {f"ema.{key}": value for key, value in state.ema.module.state_dict().items()}
    if state.near is not None:
        tensors["near"] = torch.from_numpy(state.near)
    scalars: dict[str, Any] = {}
    for index, values in optimizer["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                scalars[f"{index}.{key}"] = value
    metadata = {
        "format": FORMAT,
        "step": state.step,
        "stage": state.stage,
        "scaler": state.scaler.state_dict(),
        "optimizer": scalars,
    }
    plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    write_atomic(path, save(plain, metadata={"passerby": json.dumps(metadata)}))


def read_stage(path: Path) -> int:
    """Read the index of the stage that a checkpoint was saved in; its optimizer belongs to that stage.

    Raises:
        WeightsError: When the file is not a checkpoint.
    """
    return int(_read(path, tensors=False)[0].get("stage", 0))  # checkpoints from before there were stages have none


def load_checkpoint(path: Path, state: TrainingState) -> None:
    """Load a checkpoint into `state`, in place.

    Args:
        path: The file.
        state: In the checkpoint's stage, see `read_stage`.

    Raises:
        WeightsError: When the file is not a checkpoint, or belongs to another architecture or optimizer.
    """
    metadata, tensors = _read(path)
    fill(state.network, _under(tensors, "network."), source=str(path))
    if state.ema is not None:
        fill(state.ema.module, _under(tensors, "ema."), source=str(path))
    _fill_optimizer(state.optimizer, _under(tensors, "optimizer."), metadata["optimizer"], path)
    if metadata["scaler"]:
        state.scaler.load_state_dict(metadata["scaler"])
    state.near = tensors["near"].numpy() if "near" in tensors else None
    state.step = metadata["step"]
    state.stage = metadata.get("stage", 0)


def _read(path: Path, *, tensors: bool = True) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read the metadata of a checkpoint and, if `tensors`, its tensors."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, Any] = parse_json((file.metadata() or {})["passerby"])
            values = {key: file.get_tensor(key) for key in file.keys()} if tensors else {}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"checkpoint {path}: not a checkpoint of passerby ({explain(error)}); copy the run again"
        ) from None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        stored = metadata.get("format") if isinstance(metadata, dict) else None
        raise WeightsError(f"checkpoint {path}: format {stored!r}, this version reads {FORMAT}")
    kinds: dict[str, type] = {"step": int, "stage": int, "scaler": dict, "optimizer": dict}
    for key, kind in kinds.items():
        value: Any = metadata.setdefault(key, 0) if key == "stage" else metadata.get(key)
        if type(value) is not kind or (isinstance(value, int) and not 0 <= value < 2**31):
            raise WeightsError(f"checkpoint {path}: {key} is {value!r}; restore the file, or start the run again")
    return metadata, values


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _fill_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], scalars: dict[str, Any], path: Path
) -> None:
    """Rebuild the optimizer's state of each parameter; its groups (rates, decay) are those of the recipe."""
    shell = optimizer.state_dict()
    count = sum(len(group["params"]) for group in shell["param_groups"])
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **scalars}.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    if state and max(state) >= count:
        raise WeightsError(
            f"checkpoint {path}: optimizer state of {plural(max(state) + 1, 'parameter')}, this network has {count}"
        )
    optimizer.load_state_dict({"state": state, "param_groups": shell["param_groups"]})
