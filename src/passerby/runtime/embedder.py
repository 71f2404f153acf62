"""Embed images: any kind of image -> pixels -> batches -> encoder -> unit vectors, the same for every runtime.

B batch   N images   D embedding width   H W image height and width
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import length_hint
from typing import Any, Protocol

import numpy as np

from passerby.data.images import Pixels
from passerby.errors import WeightsError
from passerby.progress import ProgressOption, open_progress
from passerby.runtime.embedding_cache import EmbeddingCache, is_enabled
from passerby.runtime.model_fingerprint import fingerprint_model
from passerby.runtime.preprocessing import Preprocessing
from passerby.runtime.projection import Projection
from passerby.runtime.read_ahead import ImageLike, list_images, read_batches, read_column
from passerby.text import plural
from passerby.types import Embeddings, FloatArray, Sample


class Encoder(Protocol):
    """A network in one runtime.

    An encoder may have a second method `encode_mirrored` with the arguments of `encode`, which returns the unit vector
    of each image's embedding plus that of its mirror image, where its runtime computes both at once. An encoder with a
    true attribute `mirrors` does so in `encode`.
    """

    @property
    def width(self) -> int:
        """Embedding width D."""

    @property
    def runtime(self) -> str:
        """`torch`, `onnx` or `openvino`."""

    @property
    def precision(self) -> str:
        """`fp32`, `fp16`, `bf16` or `int8`."""

    @property
    def device(self) -> str:
        """Device that computes, such as `cpu` or `cuda:0`."""

    def encode(self, pixels: Pixels) -> FloatArray:
        """Compute (B, D) float32 of unit length from (B, H, W, 3) uint8 RGB at the model's size."""


class Embedder:
    """Model that embeds images; `load` returns one.

    Args:
        encoder: The network in its runtime.
        preprocessing: Size and normalization of its images.
        manifest: Data, settings and versions that the model was trained with; may be empty.
        exported: Description inside a file that `passerby model export` wrote; None for other models.

    Attributes:
        encoder: The network in its runtime.
        preprocessing: Size and normalization of its images.
        manifest: Data, settings and versions that the model was trained with.
        exported: Description inside an exported file, with its certificate; None for other models.
        flip: Whether `embed` averages the mirror image where its argument is None; see `set_flip`.
        projection: Map of the vectors to fewer numbers, which `embed` applies; None for the network's own. A gallery
            sets its own.

    Example:
        >>> embedder = passerby.load("runs/m")
        >>> embedder
        Embedder(test_convnext, 64 x 32, 32 dimensions, torch on cpu)
        >>> embedder.embed(["a.jpg", "b.jpg"]).shape
        (2, 32)
    """

    def __init__(
        self,
        encoder: Encoder,
        preprocessing: Preprocessing,
        manifest: Mapping[str, Any],
        *,
        exported: Mapping[str, Any] | None = None,
    ) -> None:
        self.encoder = encoder
        self.preprocessing = preprocessing
        self.manifest = manifest
        self.exported = exported
        self.flip = True
        self.projection: Projection | None = None
        self._cache: EmbeddingCache | None = None
        self._load_network: Callable[[], Any] | None = None
        self._load_again: Callable[[], Embedder] | None = None

    def __repr__(self) -> str:
        height, width = self.preprocessing.size
        model = self.manifest.get("model", {})
        name = model.get("backbone") or model.get("file") or type(self.encoder).__name__
        where = f"{self.encoder.runtime} on {self.device}"
        return f"Embedder({name}, {height} x {width}, {plural(self.width, 'dimension')}, {where})"

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Embed a batch of columns, as engines such as Ray Data pass it: `map_batches(embedder)`.

        Args:
            batch: Columns of N rows by name, one of which holds the images: `image` (arrays, see `embed`), `bytes`
                (contents of image files) or `path`.

        Returns:
            The columns, and `vector`, (N, D).

        Raises:
            DataError: For none or several of these columns, or an image that cannot be read.

        Example:
            >>> sorted(passerby.load("runs/m")({"path": ["a.jpg", "b.jpg"], "camera": ["north", "south"]}))
            ['camera', 'path', 'vector']
        """
        return {**batch, "vector": self.embed(read_column(batch))}

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the call of `load` that made it: another process loads the files again. The cache is not used there.

        Raises:
            TypeError: For an embedder that `load` did not return.
        """
        if self._load_again is None:
            raise TypeError(f"{self!r} cannot be pickled: expected an embedder that passerby.load returned")
        return _restore, (self._load_again, self.flip, self.projection)

    def set_origin(self, load_again: Callable[[], Embedder]) -> Embedder:
        """Set the call that loads the same model in another process; return the embedder."""
        self._load_again = load_again
        return self

    @property
    def width(self) -> int:
        """Width of the vectors of `embed`: the network's embedding width D, or that of the projection."""
        return self.encoder.width if self.projection is None else self.projection.dims

    @property
    def device(self) -> str:
        """Device that computes, such as `cpu` or `cuda:0`."""
        return self.encoder.device

    @property
    def network(self) -> Any:
        """The PyTorch network, a `passerby.model.convnext_ap.ReID` on `device`.

        Raises:
            WeightsError: If the model runs from an ONNX or OpenVINO file.
        """
        network = getattr(self.encoder, "network", None)
        if network is None and self._load_network is not None:
            network = self._load_network()
            self._load_network = lambda: network
        if network is None:
            kind = {"onnx": "an ONNX", "openvino": "an OpenVINO"}.get(self.encoder.runtime, f"a {self.encoder.runtime}")
            raise WeightsError(
                f"{self!r} runs from {kind} file: heatmaps, counts of parameters and training need a run with "
                "model.safetensors"
            )
        return network

    @property
    def has_network(self) -> bool:
        """Whether `network` is at hand, for heatmaps and training: not for an ONNX or OpenVINO file alone."""
        return hasattr(self.encoder, "network") or self._load_network is not None

    def with_network(self, load: Callable[[], Any]) -> Embedder:
        """Set the loader of the PyTorch network of the same weights, called at its first use; return the embedder."""
        self._load_network = load
        return self

    def set_flip(self, flip: bool) -> None:
        """Set whether `embed` averages the mirror image where its argument is None. A gallery sets its own choice.

        Raises:
            WeightsError: If the file averages the mirror image inside and `flip` is false.

        Example:
            >>> embedder = passerby.load("runs/m")
            >>> embedder.set_flip(False)
            >>> bool(np.array_equal(embedder.embed("a.jpg"), embedder.embed("a.jpg", flip=False)))
            True
        """
        if not flip:
            _check_no_flip(self.encoder)
        self.flip = flip

    def use_cache(self) -> Embedder:
        """Use the user's cache of embeddings in `embed`, unless it is off; return the embedder.

        Evaluations, reports and galleries in a folder do so; see `passerby.runtime.embedding_cache`.

        Example:
            >>> embedder = passerby.load("runs/m").use_cache()
            >>> bool(np.array_equal(embedder.embed("a.jpg"), embedder.embed("a.jpg")))
            True
        """
        if self._cache is None and is_enabled():
            self._cache = EmbeddingCache(fingerprint_model(self), width=self.encoder.width)
        return self

    def embed(
        self,
        images: ImageLike | Iterable[ImageLike],
        *,
        batch: int = 128,
        flip: bool | None = None,
        workers: int = 1,
        cache: bool = True,
        progress: ProgressOption = False,
    ) -> FloatArray:
        """Embed crops of persons.

        Args:
            images: One image, which is a batch of one, or any iterable of images, an (N, H, W, 3) array among them.
            batch: Images per forward pass.
            flip: Average each image's embedding with that of its mirror image; None is the attribute `flip`.
            workers: Threads that decode images ahead of the network; 0 decodes in this one.
            cache: False computes every vector, even after `use_cache`.
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
        several = list_images(images)
        total = length_hint(several)
        vectors: list[FloatArray] = []
        with open_progress(progress) as report:
            done = 0
            for pixels in self.read_pixels(several, batch=batch, workers=0 if several is not images else workers):
                computed = self._encode(pixels, self.flip if flip is None else flip, cache)
                vectors.append(computed if self.projection is None else self.projection.apply(computed))
                done += len(pixels)
                report("embed", done, total)
        return np.concatenate(vectors) if vectors else np.empty((0, self.width), np.float32)

    def _encode(self, pixels: Pixels, flip: bool, cache: bool) -> FloatArray:
        """Compute the vectors of a batch that are not in the cache: (B, H, W, 3) -> (B, D)."""
        if not flip:
            _check_no_flip(self.encoder)  # the cache has the vectors of its run, which computes both
        if self._cache is None or not cache:
            return encode(self.encoder, pixels, flip=flip)
        keys = self._cache.keys(pixels, flip=flip)
        known = self._cache.find(keys)
        rows = {key: row for row, key in enumerate(keys) if key not in known}  # one of equal images
        if rows:
            computed = encode(self.encoder, pixels[[*rows.values()]], flip=flip)
            new = dict(zip(rows, computed, strict=True))
            self._cache.add(new)
            known |= new
        return np.stack([known[key] for key in keys])

    def embed_samples(
        self,
        samples: Sequence[Sample],
        *,
        batch: int = 128,
        flip: bool | None = None,
        workers: int = 1,
        progress: ProgressOption = False,
    ) -> Embeddings:
        """Embed samples of a data set, and keep their identities and cameras.

        Args:
            samples: Samples of one split, such as `data.query`.
            batch: Images per forward pass.
            flip: Average each image's embedding with that of its mirror image; None is the attribute `flip`.
            workers: Threads that decode images ahead of the network; 0 decodes in this one.
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
        vectors = self.embed(samples, batch=batch, flip=flip, workers=workers, progress=progress)
        identities, cameras = (
            np.array([getattr(sample, name) for sample in samples], dtype=np.int64)
            for name in ("person_id", "camera_id")
        )
        return Embeddings(vectors, identities, cameras)

    def read_pixels(self, images: Iterable[ImageLike], *, batch: int = 128, workers: int = 1) -> Iterator[Pixels]:
        """Yield batches of images at the model's size, (B, H, W, 3) uint8 RGB; see `read_batches`."""
        return read_batches(images, size=self.preprocessing.size, batch=batch, workers=workers)


def _restore(load_again: Callable[[], Embedder], flip: bool, projection: Projection | None) -> Embedder:
    embedder = load_again()
    embedder.set_flip(flip)
    embedder.projection = projection
    return embedder


def encode(encoder: Encoder, pixels: Pixels, *, flip: bool) -> FloatArray:
    """Compute the vectors of a batch.

    Args:
        encoder: The network in its runtime.
        pixels: (B, H, W, 3) uint8 RGB at the model's size.
        flip: Average each image's embedding with that of its mirror image.

    Returns:
        (B, D) float32 of unit length; B may be 0.
    """
    if not flip:
        _check_no_flip(encoder)
    if not len(pixels):
        return np.empty((0, encoder.width), np.float32)
    if not flip or getattr(encoder, "mirrors", False):
        return encoder.encode(pixels)
    encode_mirrored = getattr(encoder, "encode_mirrored", None)
    if encode_mirrored is not None:
        mean: FloatArray = encode_mirrored(pixels)
        return mean
    both = encoder.encode(np.concatenate([pixels, pixels[:, :, ::-1]]))  # (2B, D)
    total = both[: len(pixels)] + both[len(pixels) :]
    length = np.linalg.norm(total, axis=1, keepdims=True)
    return np.asarray(total / np.maximum(length, 1e-12), np.float32)


def _check_no_flip(encoder: Encoder) -> None:
    if getattr(encoder, "mirrors", False):
        name = getattr(encoder, "path", encoder)
        raise WeightsError(f"{name}: averages the mirror image inside; embed with flip, or export without flip")
