"""The model that an adaptation starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from passerby.data.images import Pixels
from passerby.errors import WeightsError
from passerby.model.embed import load
from passerby.model.open_model import ModelFiles
from passerby.progress import ProgressCallback, no_progress
from passerby.recipe import Recipe, load_recipe
from passerby.recipe.recipe import parse_recipe
from passerby.runs.run_folder import RunFolder
from passerby.runtime.embedder import Embedder
from passerby.runtime.model_manifest import model_folder
from passerby.types import FloatArray


@dataclass(frozen=True)
class StartModel:
    """A model with PyTorch weights.

    Attributes:
        name: As it was named.
        folder: Its folder.
        embedder: The model.
        recipe: Its recipe.
    """

    name: str
    folder: Path
    embedder: Embedder
    recipe: Recipe

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Manifest of the model."""
        return self.embedder.manifest

    def embed(self, pixels: Pixels, *, progress: ProgressCallback = no_progress) -> FloatArray:
        """Embed (N, H, W, 3) pixels, averaged with their mirror images: (N, D).

        Raises:
            WeightsError: If an embedding is NaN or infinite.
        """
        vectors = self.embedder.embed(list(pixels), progress=progress)
        if not np.isfinite(vectors).all():
            raise WeightsError(f"{self.name}: its embeddings are not finite; its weights are damaged")
        return vectors

    @property
    def parts(self) -> int:
        """Number of parts of the embedding; 1 if their widths differ."""
        widths = self.embedder.network.embedding_parts
        return len(widths) if len(set(widths)) == 1 else 1


def load_start(name: str | Path, *, device: str) -> StartModel:
    """Load a model whose weights can be changed.

    Raises:
        WeightsError: For an imported ONNX or OpenVINO file; as `load`.
    """
    folder = model_folder(name)
    if not folder.is_dir():
        raise WeightsError(f"{name}: expected the folder of a run, or default; a model file's weights are fixed")
    if not ModelFiles(folder).trained:
        raise WeightsError(
            f"{name}: an imported ONNX or OpenVINO file, whose weights cannot be changed; adapt a run, an imported "
            "checkpoint with model.safetensors, or default"
        )
    embedder = load(folder, device=device, runtime="torch")
    return StartModel(str(name), folder, embedder, _read_recipe(folder, embedder.manifest))


def _read_recipe(folder: Path, manifest: Mapping[str, Any]) -> Recipe:
    path = RunFolder(folder).recipe
    if path.is_file():
        return load_recipe(path)
    if "recipe" not in manifest:
        raise WeightsError(f"{folder}: has neither a recipe.yaml nor a recipe in its manifest; copy the whole run")
    return parse_recipe(manifest["recipe"], source=f"{folder}: manifest")
