"""Write an adapted model as a run folder: weights, manifest, recipe and calibration, all or none."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from passerby.adaptation.covariance import UNKNOWN
from passerby.adaptation.rendered import RenderedPeople
from passerby.adaptation.site import Site
from passerby.adaptation.start_model import StartModel
from passerby.files import write_all_atomic
from passerby.openset.calibration import Calibration
from passerby.runs.calibrate import calibrate_embeddings
from passerby.runs.run_folder import RunFolder, to_json
from passerby.types import Embeddings, FloatArray

if TYPE_CHECKING:
    from passerby.model.convnext_ap import ReID

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
    folder: RunFolder, start: StartModel, network: ReID, manifest: Mapping[str, Any], calibration: Calibration
) -> None:
    """Write the run: all of its files, or none after an interruption.

    Raises:
        TrainingError: If the folder has been used meanwhile.
        WriteError: If it cannot be written.
    """
    import safetensors.torch

    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in network.state_dict().items()
        if ".classifier." not in name and name != "centers"
    }
    with folder.lock():
        folder.require_unused()
        write_all_atomic(
            {
                folder.model: safetensors.torch.save(tensors),
                folder.recipe: start.recipe.to_yaml().encode(),
                folder.calibration: to_json(calibration.to_dict()),
                folder.manifest: to_json(manifest),
            }
        )


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
