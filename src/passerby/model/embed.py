"""Embed images: any kind of image -> pixels -> batches -> network -> unit vectors.

B batch   N images   D embedding width   H W image height and width
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import length_hint
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from passerby.data.images import read_image, resize_image, rgb_pixels
from passerby.distributed import pick_device
from passerby.errors import DataError, RecipeError, WeightsError
from passerby.model.convnext_ap import EmbeddingKind, ReID
from passerby.model.image_batches import build_normalization, evaluation_batches
from passerby.model.methods import MODELS, build_model
from passerby.model.weights import MANIFEST_FILE, load_state, model_folder, read_manifest
from passerby.progress import ProgressCallback, ProgressOption, no_progress, open_progress
from passerby.types import DEFAULT, Embeddings, FloatArray, Sample

ImageLike = str | Path | Sample | Image.Image | NDArray[np.uint8]
"""One image: a file, a sample of a data set, a Pillow image, or (H, W, 3) RGB or (H, W) gray uint8."""


MAX_SIDE = 4096
"""Largest side of a network's images in pixels, and largest number in a manifest's description of a network."""


def embed_batches(
    network: ReID,
    batches: Iterable[Tensor],
    *,
    flip: bool = True,
    device: str | torch.device = "auto",
    total: int = 0,
    progress: ProgressCallback = no_progress,
) -> FloatArray:
    """Embed batches of normalized images in evaluation mode; every module is left in the mode that it was in.

    Args:
        network: Moved to `device`.
        batches: Each (B, 3, H, W) float32.
        flip: Average each image's embedding with that of its mirror image.
        device: Where to compute; see `pick_device`.
        total: Number of images, for `progress`.
        progress: Callback that receives the number of embedded images after each batch, as task `embed`.

    Returns:
        (N, D) float32 of unit length; N may be 0.
    """
    device = pick_device(device)
    blocks = []
    done = 0
    modes = {module: module.training for module in network.modules()}  # a training stage freezes only some of them
    network.to(device).eval()
    try:
        with torch.inference_mode():
            for batch in batches:
                images = batch.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
                vectors = network(images).embedding  # (B, D)
                if flip:
                    vectors = F.normalize(vectors + network(images.flip(-1)).embedding)
                blocks.append(vectors.float().cpu().numpy())
                done += len(batch)
                progress("embed", done, total)
    finally:
        for module, training in modes.items():
            module.training = training
    return np.concatenate(blocks) if blocks else np.empty((0, network.embedding_width), np.float32)


@dataclass(frozen=True)
class Preprocessing:
    """From pixels to the network's input: resize to `size` (height, width), then (x / 255 - mean) / std."""

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Embedder:
    """A network with the preprocessing that it was trained with; `load` returns one.

    Args:
        network: Moved to `device`.
        preprocessing: Of its images.
        manifest: Of its model; may be empty.
        device: `auto`, or torch's name of a device; see `pick_device`.

    Attributes:
        network: The network, on `device`.
        preprocessing: Size and normalization of its images.
        manifest: Data, settings and versions that the model was trained with.
        device: Where it computes.

    Example:
        >>> embedder = passerby.load("runs/m")
        >>> embedder
        Embedder(test_convnext, 64 x 32, 32 dimensions, cpu)
        >>> embedder.embed(["a.jpg", "b.jpg"]).shape
        (2, 32)
    """

    def __init__(
        self,
        network: ReID,
        preprocessing: Preprocessing,
        manifest: Mapping[str, Any],
        *,
        device: str | torch.device = "auto",
    ) -> None:
        self.device = pick_device(device)
        self.network = network.to(self.device)
        self.preprocessing = preprocessing
        self.manifest = manifest
        self._normalize = build_normalization(mean=preprocessing.mean, std=preprocessing.std)

    def __repr__(self) -> str:
        height, width = self.preprocessing.size
        backbone = self.manifest.get("model", {}).get("backbone", type(self.network).__name__)
        return f"Embedder({backbone}, {height} x {width}, {self.network.embedding_width} dimensions, {self.device})"

    def embed(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        batch: int = 128,
        flip: bool = True,
        progress: ProgressOption = False,
    ) -> FloatArray:
        """Embed crops of persons.

        Args:
            images: One image, which is a batch of one, or any iterable of images, an (N, H, W, 3) array among them.
            batch: Images per forward pass.
            flip: Average each image's embedding with that of its mirror image.
            progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

        Returns:
            (N, D) float32 of unit length, in the order of `images`.

        Raises:
            DataError: For a value that is neither an image nor an iterable of images, or an image that cannot be read;
                the message names it.

        Example:
            >>> embedder = passerby.load("runs/m")
            >>> embedder.embed("a.jpg").shape
            (1, 32)
            >>> a, b, c = embedder.embed(path for path in ("a.jpg", "b.jpg", "c.jpg"))
            >>> bool(-1 <= a @ b <= 1)  # the cosine similarity of two crops
            True
        """
        several = _image_list(images)
        batches, total = self._batches(several, batch), length_hint(several)
        with open_progress(progress) as report:
            return embed_batches(self.network, batches, flip=flip, device=self.device, total=total, progress=report)

    def embed_samples(
        self,
        samples: Sequence[Sample],
        *,
        batch: int = 128,
        flip: bool = True,
        workers: int = 0,
        progress: ProgressOption = False,
    ) -> Embeddings:
        """Embed samples of a data set, decoded by worker processes, and keep their identities and cameras.

        Args:
            samples: Of one split, such as `data.query`.
            batch: Images per forward pass.
            flip: Average each image's embedding with that of its mirror image.
            workers: Processes that decode images; 0 decodes in this one.
            progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

        Returns:
            Embeddings of N images in the order of `samples`.

        Raises:
            DataError: For an image that cannot be read; the message names the file.

        Example:
            >>> (data,) = passerby.load_data("market1501:people")
            >>> query = passerby.load("runs/m").embed_samples(data.query)
            >>> query.vectors.shape == (len(data.query), 32)
            True
        """
        images = self.preprocessing
        batches = evaluation_batches(
            samples, size=images.size, mean=images.mean, std=images.std, batch=batch, workers=workers
        )
        with open_progress(progress) as report:
            vectors = embed_batches(
                self.network, batches, flip=flip, device=self.device, total=len(samples), progress=report
            )
        identities, cameras = (
            np.array([getattr(sample, name) for sample in samples], dtype=np.int64)
            for name in ("person_id", "camera_id")
        )
        return Embeddings(vectors, identities, cameras)

    def _batches(self, images: Iterable[ImageLike], batch: int) -> Iterator[Tensor]:
        """Yield (B, 3, H, W) normalized."""
        numbered = enumerate(images)
        while pixels := [self._pixels(image, number) for number, image in islice(numbered, batch)]:
            yield self._normalize(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2))  # (B, 3, H, W)

    def _pixels(self, image: ImageLike, number: int) -> NDArray[np.uint8]:
        """Turn one image of any kind into (H, W, 3) uint8 at the network's size."""
        size = self.preprocessing.size
        if isinstance(image, str | Path | Sample):
            return read_image(Path(image) if isinstance(image, str) else image, size=size)
        if isinstance(image, Image.Image):
            return resize_image(rgb_pixels(image, f"image {number}"), size)
        if not isinstance(image, np.ndarray):
            raise DataError(
                f"image {number}: got {type(image).__name__}, expected a path, Sample, Pillow image or array"
            )
        gray = image.ndim == 2
        if image.dtype != np.uint8 or not (gray or image.shape[2:] == (3,)) or 0 in image.shape:
            raise DataError(
                f"image {number}: got an array of shape {image.shape} of {image.dtype}, expected uint8, "
                "(height, width, 3) RGB or (height, width) gray"
            )
        return resize_image(np.repeat(image[:, :, None], 3, axis=2) if gray else image, size)


def load(
    path: str | Path = DEFAULT, *, device: str | torch.device = "auto", embedding: EmbeddingKind | None = None
) -> Embedder:
    """Load a trained model: the folder of a run, or any folder with a `model.safetensors` and a `manifest.json`.

    No code is executed: the manifest is JSON, the weights are safetensors.

    Args:
        path: The folder; `default` is the shipped model, trained on rendered people only.
        device: `auto` is CUDA, then MPS, then the CPU; or torch's name of a device.
        embedding: `reduced` or `full`, in place of the manifest's; the weights serve both.

    Returns:
        The model in evaluation mode.

    Raises:
        WeightsError: When the folder holds no trained model, or one that this version cannot build.

    Example:
        >>> passerby.load("runs/m").embed("a.jpg").shape
        (1, 32)
        >>> passerby.load("default").preprocessing.size
        (128, 64)
    """
    folder = model_folder(path)
    manifest = read_manifest(folder)
    if embedding is not None:
        manifest = {**manifest, "model": {**manifest["model"], "embedding": embedding}}
    network = _build(manifest, folder / MANIFEST_FILE)
    preprocessing = _preprocessing(manifest["preprocessing"], folder / MANIFEST_FILE)
    load_state(folder, network)
    return Embedder(network.eval(), preprocessing, manifest, device=device)


def _image_list(images: ImageLike | Iterable[ImageLike]) -> Iterable[ImageLike]:
    """Put a single image into a list, and refuse what is neither an image nor an iterable of images."""
    single = isinstance(images, str | Path | Sample | Image.Image)
    if single or (isinstance(images, np.ndarray) and images.ndim <= 3):
        return [images]  # type: ignore[list-item]
    if isinstance(images, Iterable) and not isinstance(images, bytes | Mapping):
        return images
    raise DataError(
        f"images: got {type(images).__name__}, expected a path, Sample, Pillow image or uint8 array, or several"
    )


def _build(manifest: Mapping[str, Any], source: Path) -> ReID:
    """Build the network that a manifest describes, with random weights."""
    model = manifest["model"]
    method = model.get("method", "convnext_ap") if isinstance(model, dict) else "convnext_ap"
    if not isinstance(method, str) or method not in MODELS:
        raise WeightsError(f"{source}: model: method {method!r} is not known; expected one of {', '.join(MODELS)}")
    known = {**inspect.signature(MODELS[method]).parameters, "method": None}.keys()
    if not isinstance(model, dict) or model.keys() - known:
        unknown = ", ".join(sorted(model.keys() - known)) if isinstance(model, dict) else repr(model)
        raise WeightsError(f"{source}: model: {unknown} is not known; expected an object of {', '.join(known)}")
    identities = manifest["identities"]
    if type(identities) is not int or not 0 <= identities <= 10**8:
        raise WeightsError(f"{source}: identities is {identities!r}, expected 0 to 100 million")
    for name, value in model.items():
        if isinstance(value, int | float) and not -MAX_SIDE <= value <= MAX_SIDE:
            raise WeightsError(f"{source}: model: {name} is {value!r}, expected at most {MAX_SIDE}")
    try:
        return build_model(**{**model, "identities": identities, "pretrained": False, "weights": None})
    except (RecipeError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError, MemoryError) as error:
        raise WeightsError(f"{source}: describes a network that cannot be built: {error}") from None


def _preprocessing(values: Any, source: Path) -> Preprocessing:
    """Check the manifest's preprocessing."""
    try:
        (height, width), mean, std = values["size"], [*map(float, values["mean"])], [*map(float, values["std"])]
        if (len(mean), len(std)) != (3, 3) or not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
            raise ValueError("wrong length, not finite, or not above 0")
        if not all(isinstance(side, int) and 1 <= side <= MAX_SIDE for side in (height, width)):
            raise ValueError(f"a side that is not 1 to {MAX_SIDE}")
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise WeightsError(
            f"{source}: preprocessing: got {values!r} ({error}); expected size (2 numbers), mean and std (3 each)"
        ) from None
    return Preprocessing(size=(int(height), int(width)), mean=(mean[0], mean[1], mean[2]), std=(std[0], std[1], std[2]))
