"""Write an adapted model as a run folder: weights, manifest, recipe and calibration, all or none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from passerby.adaptation.rendered import RenderedPeople
from passerby.adaptation.site import Site
from passerby.adaptation.start_model import StartModel
from passerby.files import write_all_atomic
from passerby.metric.covariance import UNKNOWN
from passerby.openset.calibration import Calibration
from passerby.runs.calibrate import calibrate_embeddings
from passerby.runs.run_folder import RunFolder, to_json
from passerby.runtime.file_model import write_map
from passerby.runtime.model_manifest import MAP_FILE
from passerby.types import Embeddings, FloatArray

FROM_RUN = "data_from_run"
"""Key of a manifest with paths from the folder of the start, which another folder does not share."""


def build_adapted_manifest(start: StartModel, adaptation: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest of the start with the adaptation. Classifiers of the training identities are left out.

    Args:
        start: The start.
        adaptation: Site, rungs and seed.
    """
    manifest = {key: value for key, value in start.manifest.items() if key != FROM_RUN}
    return {
        **manifest,
        "passerby": version("passerby"),
        "identities": 0,
        "initial_weights": f"adapted from {start.name}",
        "adaptation": dict(adaptation),
    }


def write_adapted(
    folder: RunFolder, start: StartModel, adaptation: Mapping[str, Any], calibration: Calibration
) -> None:
    """Write the run: all of its files, or none after an interruption.

    Args:
        folder: Folder of the run.
        start: The model, changed by the chosen rung.
        adaptation: Site, rungs and seed.
        calibration: Of the changed model.

    Raises:
        TrainingError: If the folder has been used meanwhile.
        WriteError: If it cannot be written.
    """
    manifest = build_adapted_manifest(start, adaptation)
    contents = _list_tensors(folder, start) if start.trainable else _copy_file_model(folder, start, manifest)
    with folder.lock():
        folder.require_unused()
        write_all_atomic(
            {
                **contents,
                folder.recipe: start.recipe.to_yaml().encode(),
                folder.calibration: to_json(calibration.to_dict()),
                folder.manifest: to_json(manifest),
            }
        )


def _list_tensors(folder: RunFolder, start: StartModel) -> dict[Path, bytes]:
    import safetensors.torch

    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in start.embedder.network.state_dict().items()
        if ".classifier." not in name and name != "centers"
    }
    return {folder.model: safetensors.torch.save(tensors)}


def _copy_file_model(folder: RunFolder, start: StartModel, manifest: dict[str, Any]) -> dict[Path, bytes]:
    """Return the ONNX or OpenVINO file and the map of its embedding, whose hash is added to the manifest."""
    encoder: Any = start.embedder.encoder
    file = Path(encoder.path)
    names = [file.name, *([file.with_suffix(".bin").name] if file.suffix.lower() == ".xml" else [])]
    linear = write_map(encoder.linear)
    manifest["model"] = {**manifest["model"], "map": hashlib.sha256(linear).hexdigest()}
    return {folder.root / MAP_FILE: linear} | {folder.root / name: (file.parent / name).read_bytes() for name in names}


def calibrate_adapted(
    site: Site, crops: FloatArray, people: RenderedPeople, rendered: FloatArray, *, labels: bool, seed: int
) -> Calibration:
    """Fit a calibration to the labeled identities of a site of several cameras, else to synthetic people.

    Tracks are not used: two crops of one track are nearer than two crops of one person in two cameras.

    Args:
        site: The crops.
        crops: (N, D) their embeddings.
        people: The synthetic people.
        rendered: Their embeddings.
        labels: Whether the identities of the site are known.
        seed: Seed of the draws for the probabilities of identification.
    """
    if labels and len(site.cameras) > 1:
        rows = np.flatnonzero(site.persons != UNKNOWN)
        known = Embeddings(crops[rows], site.persons[rows] + 1, site.camera_ids[rows])
        return calibrate_embeddings([known], spec=site.title, trained_on=True, seed=seed)
    return calibrate_embeddings([people.label(rendered)], spec=people.spec, trained_on=people.trained_on, seed=seed)
