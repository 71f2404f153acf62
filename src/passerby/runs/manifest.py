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
from passerby.errors import RecipeError
from passerby.model.weights import find_setting_differences, find_weights_file
from passerby.recipe import Recipe
from passerby.runs.arguments import count_classes, model_arguments
from passerby.runtime.model_manifest import MANIFEST_FILE, MANIFEST_FORMAT, read_manifest
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
            "weights %s were trained with %s, the model has %s; expect lower accuracy. Set %s",
            recipe.model.weights,
            ", ".join(f"{key}={json.dumps(value)}" for key, value in trained.items()),
            ", ".join(f"{key}={json.dumps(model[key])}" for key in trained),
            " ".join(f"model.{key}={json.dumps(value)}" for key, value in trained.items()),
        )


def require_own_network(recipe: Recipe) -> None:
    """Refuse initial weights that were imported for a network of another name.

    Raises:
        RecipeError: Naming the recipe that the import has written.
    """
    path = find_weights_file(recipe.model.weights)
    if path is None or not (path.parent / MANIFEST_FILE).is_file():
        return
    weights = read_manifest(path.parent)["model"]
    if weights.get("method") == "imported" and weights["backbone"] != recipe.model.backbone:
        raise RecipeError(
            f"model.weights: {recipe.model.weights} is the imported network {weights['backbone']}, the recipe has "
            f"{recipe.model.backbone}; train with the recipe {path.parent / 'recipe.yaml'}"
        )


def _describe_initial_weights(recipe: Recipe) -> str:
    if recipe.model.weights is not None:
        return str(recipe.model.weights)
    return f"timm: {recipe.model.backbone}" if recipe.model.pretrained else "random"
