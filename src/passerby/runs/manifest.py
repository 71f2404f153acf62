"""The manifest of a run: data, code and settings of its model, everything but the weights."""

from __future__ import annotations

import json
import logging
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from passerby.data.fingerprint import fingerprint
from passerby.data.training_set import TrainingSet
from passerby.model.weights import MANIFEST_FORMAT, find_setting_differences, find_weights_file
from passerby.recipe import Recipe
from passerby.runs.arguments import count_classes, model_arguments
from passerby.types import DataSet

logger = logging.getLogger(__name__)


def build_manifest(
    recipe: Recipe, data: Mapping[str, Any], sets: Sequence[DataSet], training_set: TrainingSet
) -> dict[str, Any]:
    """Return the manifest of a run of `recipe` on `sets`, which `data` describes (`describe_data`)."""
    return {
        "format": MANIFEST_FORMAT,
        "passerby": version("passerby"),
        "model": model_arguments(recipe) | {"pretrained": False, "weights": None},
        "initial_weights": _describe_initial_weights(recipe),
        "preprocessing": recipe.images.model_dump(mode="json", include={"size", "mean", "std"}),
        "identities": count_classes(recipe, training_set.identities),
        "trained_identities": training_set.identities,
        "images": len(training_set.samples),
        **data,
        "titles": [data_set.title for data_set in sets],
        "fingerprint": fingerprint(sets),
        "fingerprints": [fingerprint([data_set]) for data_set in sets],
        "protocols": [data_set.protocol for data_set in sets],
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.training.seed,
        "versions": {name: version(name) for name in ("torch", "torchvision", "timm", "numpy")}
        | {"python": platform.python_version()},
    }


def warn_of_other_weights(recipe: Recipe) -> None:
    """Warn if the initial weights are of a model with other settings that no tensor's shape shows."""
    path = find_weights_file(recipe.model.weights)
    model = model_arguments(recipe)
    trained = {} if path is None else find_setting_differences(path, model)
    if trained:
        logger.warning(
            "weights %s were trained with %s, the model has %s; expect lower accuracy. Add %s",
            recipe.model.weights,
            ", ".join(f"{key}={json.dumps(value)}" for key, value in trained.items()),
            ", ".join(f"{key}={json.dumps(model[key])}" for key in trained),
            " ".join(f"--set model.{key}={json.dumps(value)}" for key, value in trained.items()),
        )


def _describe_initial_weights(recipe: Recipe) -> str:
    if recipe.model.weights is not None:
        return str(recipe.model.weights)
    return f"timm: {recipe.model.backbone}" if recipe.model.pretrained else "random"
