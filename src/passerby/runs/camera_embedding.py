"""Embed the images of a data set camera by camera, for networks with camera-based batch norms (CBN).

Zhuang et al. (ECCV 2020) compute the statistics of a camera from its unlabeled images, then embed its images with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from passerby.errors import DataError
from passerby.progress import ProgressCallback, no_progress, part_of
from passerby.runtime.embedder import Embedder
from passerby.types import DataSet, Embeddings, Sample

if TYPE_CHECKING:
    from torch import Tensor

METHOD = "cbn"
NOTE = "batch norms by camera (the test cameras' unlabeled images)"
"""Part of the title of an evaluation that uses them."""
STATISTICS = 1024
"""Largest number of images that a camera's statistics are computed from; the authors' code takes up to 3,200."""


def normalizes_by_camera(embedder: Embedder) -> bool:
    """Return whether the model has camera-based batch norms."""
    return find_method(embedder) == METHOD


def find_method(embedder: Embedder) -> str:
    """Return the name of the model's method; empty for a file of another tool."""
    model = embedder.manifest.get("model", {})
    return str(model.get("method", "")) if isinstance(model, dict) else ""


def require_cameras(method: str, data: DataSet) -> None:
    """Check that cameras are known where the method needs them.

    Raises:
        DataError: For `cbn` and data whose cameras are unknown.
    """
    if method == METHOD and "cameras unknown" in data.variant:
        raise DataError(
            f"{data.title}: its cameras are unknown, and method cbn normalizes the images of each camera by their own "
            "statistics; leave out camera=none if the files name cameras, or use a model of another method"
        )


def embed_by_camera(
    embedder: Embedder,
    splits: Sequence[Sequence[Sample]],
    *,
    flip: bool,
    batch: int,
    workers: int,
    progress: ProgressCallback = no_progress,
) -> list[Embeddings | None]:
    """Embed several splits of a data set with the statistics of each camera.

    A camera's statistics are those of its images in all splits, or of `STATISTICS` of them at equal steps, without
    their labels. The cache of embeddings is not used, as a vector depends on other images of its camera.

    Args:
        embedder: Model of a run, with camera-based batch norms.
        splits: Samples with known cameras; a split may be empty.
        flip: Average each embedding with that of the mirrored image, and use the mirrored images for the statistics.
        batch: Images per forward pass.
        workers: Threads that decode images ahead of the network.
        progress: Callback that receives the number of embedded images, as task `embed`.

    Returns:
        Embeddings of each split in the order of its samples; None for an empty one.

    Raises:
        DataError: For a camera with one image, or an image that cannot be read.
        WeightsError: For an embedder without its network.
    """
    from passerby.model.camera_batch_norm import camera_statistics
    from passerby.model.torch_encoder import TorchEncoder

    encoder = TorchEncoder(embedder.network, embedder.preprocessing, device=embedder.device)
    plain = Embedder(encoder, embedder.preprocessing, embedder.manifest)
    samples = [sample for split in splits for sample in split]
    cameras = np.array([sample.camera_id for sample in samples], dtype=np.int64)
    _require_two_images(samples, cameras)
    vectors, done = np.empty((len(samples), plain.width), np.float32), 0

    def normalized(chosen: Sequence[Sample]) -> Iterator[Tensor]:
        for part in np.array_split(np.arange(len(chosen)), max(1, len(chosen) // max(2, batch))):  # none of one image
            for pixels in plain.read_pixels([chosen[index] for index in part], batch=len(part), workers=workers):
                mirrored = np.concatenate([pixels, pixels[:, :, ::-1]]) if flip else pixels
                yield encoder.normalize(mirrored)

    for camera in np.unique(cameras):
        rows = np.flatnonzero(cameras == camera)
        steps = np.linspace(0, len(rows) - 1, min(len(rows), STATISTICS)).round().astype(np.int64)
        with camera_statistics(encoder.network.eval(), normalized([samples[index] for index in rows[steps]])):
            vectors[rows] = plain.embed(
                [samples[index] for index in rows],
                flip=flip,
                batch=batch,
                workers=workers,
                progress=part_of(progress, done, len(samples)),
            )
        done += len(rows)
    identities = np.array([sample.person_id for sample in samples], dtype=np.int64)
    ends = np.cumsum([len(split) for split in splits])
    pieces = [slice(end - len(split), end) for end, split in zip(ends, splits, strict=True)]
    return [
        Embeddings(vectors[piece], identities[piece], cameras[piece]) if piece.stop > piece.start else None
        for piece in pieces
    ]


def _require_two_images(samples: Sequence[Sample], cameras: np.ndarray) -> None:
    """Raise DataError for a camera with one image, which has no variance."""
    ids, first, counts = np.unique(cameras, return_index=True, return_counts=True)
    for camera, index in zip(ids[counts == 1], first[counts == 1], strict=True):
        raise DataError(
            f"{samples[index].label}: the only image of camera {camera}; method cbn computes statistics of each "
            "camera and needs 2 images or more, so leave the image out, or use a model of another method"
        )
