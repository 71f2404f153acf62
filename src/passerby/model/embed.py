"""Images to embeddings: batches through a network, and a saved model that takes images as people have them.

B batch   N images   D embedding width   H W image height and width
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from passerby.data.images import read_image, resize_image, rgb_pixels
from passerby.data.transforms import evaluation_transform
from passerby.distributed import pick_device
from passerby.errors import DataError, RecipeError, WeightsError
from passerby.model.convnext_ap import EmbeddingKind, ReID
from passerby.model.methods import MODELS, build_model
from passerby.model.weights import MANIFEST_FILE, default_model, load_state, read_manifest
from passerby.types import FloatArray, Sample

ImageLike = str | Path | Sample | Image.Image | NDArray[np.uint8]


def embed(
    network: ReID,
    batches: Iterable[Tensor],
    *,
    flip: bool = True,
    device: str | torch.device = "cpu",
    progress: Callable[[int], None] | None = None,
) -> FloatArray:
    """Embed batches of normalized images, in evaluation mode, and leave every module in the mode it was in.

    Args:
        network: Moved to `device`.
        batches: Each (B, 3, H, W) float32.
        flip: Average each image's embedding with that of its mirror image.
        device: Where to compute.
        progress: Called after each batch with the number of images done so far.

    Returns:
        (N, D) float32 of unit length; N may be 0.
    """
    found = []
    done = 0
    modes = {module: module.training for module in network.modules()}  # a stage freezes some and not others
    network.to(device).eval()
    try:
        with torch.inference_mode():
            for batch in batches:
                images = batch.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
                vectors = network(images).embedding  # (B, D)
                if flip:
                    vectors = F.normalize(vectors + network(images.flip(-1)).embedding)
                found.append(vectors.float().cpu().numpy())
                done += len(batch)
                if progress is not None:
                    progress(done)
    finally:
        for module, training in modes.items():
            module.training = training
    return np.concatenate(found) if found else np.empty((0, network.embedding_width), np.float32)


@dataclass(frozen=True)
class Preprocessing:
    """How pixels become the network's input: resized to `size` (height, width), then (x / 255 - mean) / std."""

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Embedder:
    """A network with the preprocessing that it was trained with; `load` makes one.

    Attributes:
        network: In evaluation mode, on `device`.
        preprocessing: What images go through.
        manifest: Everything that is known of the model.
        device: Where it computes.
    """

    def __init__(
        self,
        network: ReID,
        preprocessing: Preprocessing,
        manifest: Mapping[str, Any],
        *,
        device: str | torch.device = "cpu",
    ) -> None:
        self.network = network
        self.preprocessing = preprocessing
        self.manifest = manifest
        self.device = torch.device(device)
        self._normalize = evaluation_transform(mean=preprocessing.mean, std=preprocessing.std)

    def embed(self, images: Sequence[ImageLike], *, batch: int = 128, flip: bool = True) -> FloatArray:
        """Embed person crops.

        Args:
            images: Files, samples of a data set, Pillow images, or arrays: (H, W, 3) RGB or (H, W) gray, uint8.
            batch: Images at a time.
            flip: Average each image's embedding with that of its mirror image.

        Returns:
            (N, D) float32 of unit length, in the order of `images`.

        Raises:
            DataError: For an image that cannot be read or is none, naming it.
        """
        return embed(self.network, self._batches(images, batch), flip=flip, device=self.device)

    def _batches(self, images: Sequence[ImageLike], batch: int) -> Iterator[Tensor]:
        for start in range(0, len(images), batch):
            pixels = [self._pixels(image, start + i) for i, image in enumerate(images[start : start + batch])]
            stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2)  # (B, 3, H, W)
            yield self._normalize(stacked)

    def _pixels(self, image: ImageLike, place: int) -> NDArray[np.uint8]:
        """One image of any kind to (H, W, 3) uint8 at the network's size."""
        size = self.preprocessing.size
        if isinstance(image, str | Path | Sample):
            return read_image(Path(image) if isinstance(image, str) else image, size=size)
        if isinstance(image, Image.Image):
            return resize_image(rgb_pixels(image, f"image {place}"), size)
        if not isinstance(image, np.ndarray):
            raise DataError(
                f"image {place}: got {type(image).__name__}, expected a path, Sample, Pillow image or array"
            )
        gray = image.ndim == 2
        if image.dtype != np.uint8 or not (gray or image.shape[2:] == (3,)) or 0 in image.shape:
            raise DataError(
                f"image {place}: got an array of shape {image.shape} of {image.dtype}, expected uint8, "
                "(height, width, 3) RGB or (height, width) gray"
            )
        return resize_image(np.repeat(image[:, :, None], 3, axis=2) if gray else image, size)


def load(path: str | Path | None = None, *, device: str = "cpu", embedding: EmbeddingKind | None = None) -> Embedder:
    """Load a trained model: the folder of a run, or any folder with its `model.safetensors` and `manifest.json`.

    Nothing is executed: the manifest is data, and the network is built from its words alone.

    Args:
        path: The folder; None is the model that comes with the package, trained on rendered people alone.
        device: `cpu`, `cuda`, `mps`, or `auto` for the best there is.
        embedding: Another kind than the manifest says, `reduced` or `full`; no weight depends on it.

    Raises:
        WeightsError: When the folder holds no trained model, or one that this version cannot build; when there is no
            default model.
    """
    folder = default_model() if path is None else Path(path)
    manifest = read_manifest(folder)
    if embedding is not None:
        manifest = {**manifest, "model": {**manifest["model"], "embedding": embedding}}
    network = _build(manifest, folder / MANIFEST_FILE)
    preprocessing = _preprocessing(manifest["preprocessing"], folder / MANIFEST_FILE)
    load_state(folder, network)
    place = pick_device(device)
    return Embedder(network.to(place).eval(), preprocessing, manifest, device=place)


def _build(manifest: Mapping[str, Any], source: Path) -> ReID:
    """The network that a manifest describes, its weights still random."""
    model = manifest["model"]
    method = model.get("method", "convnext_ap") if isinstance(model, dict) else "convnext_ap"
    if method not in MODELS:
        raise WeightsError(f"{source}: model: method {method!r} is not known; expected one of {', '.join(MODELS)}")
    known = {**inspect.signature(MODELS[method]).parameters, "method": None}.keys()
    if not isinstance(model, dict) or model.keys() - known:
        unknown = ", ".join(sorted(model.keys() - known)) if isinstance(model, dict) else repr(model)
        raise WeightsError(f"{source}: model: {unknown} is not known; expected an object of {', '.join(known)}")
    try:
        return build_model(**{**model, "identities": manifest["identities"], "pretrained": False, "weights": None})
    except (RecipeError, TypeError) as error:
        raise WeightsError(f"{source}: describes a network that cannot be built: {error}") from None


def _preprocessing(values: Any, source: Path) -> Preprocessing:
    try:
        (height, width), mean, std = values["size"], [*map(float, values["mean"])], [*map(float, values["std"])]
        if (len(mean), len(std)) != (3, 3) or min(height, width) < 1 or min(std) <= 0:
            raise ValueError("wrong length, or not above 0")
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{source}: preprocessing: got {values!r} ({error}); expected size (2 numbers), mean and std (3 each)"
        ) from None
    return Preprocessing(size=(int(height), int(width)), mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))
