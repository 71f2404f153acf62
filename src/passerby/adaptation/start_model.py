"""The model that an adaptation starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from passerby.data.images import Pixels
from passerby.errors import WeightsError, argument
from passerby.metric.fold import fold_maps
from passerby.metric.part_maps import Parts
from passerby.model.embed import load
from passerby.model.open_model import ModelFiles, NamedRuntime
from passerby.progress import ProgressCallback, no_progress
from passerby.recipe import Recipe, load_recipe
from passerby.recipe.recipe import parse_recipe
from passerby.runs.run_folder import RunFolder, find_run
from passerby.runtime.embedder import Embedder
from passerby.types import FloatArray

if TYPE_CHECKING:
    from passerby.model.convnext_ap import ReID


@dataclass(frozen=True)
class StartModel:
    """A model that is adapted: one with PyTorch weights, or an imported ONNX or OpenVINO file.

    Attributes:
        name: As it was named.
        folder: Its folder.
        embedder: The model.
        recipe: Its recipe.
        trainable: Whether it has PyTorch weights.
    """

    name: str
    folder: Path
    embedder: Embedder
    recipe: Recipe
    trainable: bool

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Manifest of the model."""
        return self.embedder.manifest

    def embed(self, pixels: Pixels, *, progress: ProgressCallback = no_progress) -> FloatArray:
        """Embed (N, H, W, 3) pixels, averaged with their mirror images: (N, D).

        Raises:
            WeightsError: If an embedding is NaN or infinite.
        """
        return self._require_finite(self.embedder.embed(list(pixels), progress=progress))

    def embed_with(self, network: ReID, pixels: Pixels, *, progress: ProgressCallback = no_progress) -> FloatArray:
        """Embed pixels as `embed` does, by a changed copy of the network, without a check of the values."""
        from passerby.model.torch_encoder import TorchEncoder

        encoder = TorchEncoder(network, self.embedder.preprocessing, device=self.embedder.device)
        return Embedder(encoder, self.embedder.preprocessing, self.manifest).embed(list(pixels), progress=progress)

    @property
    def fine_tunable(self) -> bool:
        """Whether the passes of a fine-tuning can change its weights."""
        return self.trainable and self.recipe.model.method != "cbn"

    def require_passes(self, passes: int) -> None:
        """Check that the network can be fine-tuned.

        Raises:
            WeightsError: For passes of a network with camera-based batch norms.
        """
        if passes and self.recipe.model.method == "cbn":
            raise WeightsError(
                f"{self.name}: {argument('passes', passes)}: its method cbn trains on batches with cameras, and the "
                "passes have none; leave the passes out, or start from a model of another method"
            )

    def _require_finite(self, vectors: FloatArray) -> FloatArray:
        if not np.isfinite(vectors).all():
            raise WeightsError(f"{self.name}: its embeddings are not finite; its weights are damaged")
        return vectors

    @property
    def parts(self) -> int:
        """Number of parts of the embedding; 1 if their widths differ."""
        if not self.trainable:
            return 1
        widths = self.embedder.network.embedding_parts
        return len(widths) if len(set(widths)) == 1 else 1

    def apply_maps(self, maps: Parts) -> None:
        """Change the model by the maps of its parts, (P, D, D)."""
        if self.trainable:
            fold_maps(self.embedder.network, maps)
            return
        encoder: Any = self.embedder.encoder
        before = np.eye(len(maps[0])) if encoder.linear is None else encoder.linear
        encoder.linear = np.asarray(maps[0] @ before, np.float32)


def load_start(name: str | Path, *, device: str) -> StartModel:
    """Load a model to start from.

    Raises:
        WeightsError: For a file in place of a folder; as `load`.
    """
    folder = find_run(name).root
    files = ModelFiles(folder)
    network = files.network_file
    file: NamedRuntime = "onnx" if network is None or network.suffix.lower() == ".onnx" else "openvino"
    embedder = load(folder, device=device, runtime="torch" if files.trained else file)
    return StartModel(str(name), folder, embedder, _read_recipe(folder, embedder.manifest), files.trained)


def _read_recipe(folder: Path, manifest: Mapping[str, Any]) -> Recipe:
    path = RunFolder(folder).recipe
    if path.is_file():
        return load_recipe(path)
    if "recipe" not in manifest:
        raise WeightsError(f"{folder}: has neither a recipe.yaml nor a recipe in its manifest; copy the whole run")
    return parse_recipe(manifest["recipe"], source=f"{folder}: manifest")
