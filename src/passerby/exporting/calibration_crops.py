"""Crops for the comparison of an exported file with its model, and for the ranges of int8.

N images   H W image height and width
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.data.datasets import DATASETS, load_data
from passerby.data.datasets.listing import contents, tree_images
from passerby.data.datasets.public_spec import public_name, public_spec
from passerby.data.images import read_image
from passerby.errors import DataError, argument, pass_argument
from passerby.files import expand_home
from passerby.synthesis.dataset import RANGES
from passerby.types import Sample

CROPS = 256
"""Number of crops, drawn by the seed where there are more."""


@dataclass(frozen=True)
class CalibrationCrops:
    """Decoded crops.

    Attributes:
        pixels: (N, H, W, 3) uint8 RGB at the model's size.
        source: Origin for the certificate: the synthetic data set's spec, or a name without its folder.
    """

    pixels: NDArray[np.uint8]
    source: str


def list_calibration_images(source: str | Path | None, *, size: tuple[int, int], seed: int) -> list[Any]:
    """List up to `CROPS` images, before any work.

    Args:
        source: An image folder with its subfolders, or a data set such as `cuhk01:PATH`, whose training images are
            used; None renders people.
        size: (height, width) of the model's images.
        seed: Seed of the synthetic people, and of the choice among more images than `CROPS`.

    Returns:
        Paths or samples, sorted.

    Raises:
        DataError: If there is no image.
    """
    if source is None:
        (data,) = load_data(synthetic_spec(size, seed))
        images: Sequence[Path | Sample] = [*data.train, *data.query, *data.gallery]
    elif str(source).partition(":")[0] in DATASETS:
        with pass_argument("data", of="images"):
            images = [sample for data in load_data(str(source)) for sample in data.train]
        if not images:
            raise DataError(f"{argument('images')}: {source} has no training split; name a folder of crops")
    else:
        folder = expand_home(source)
        if not folder.is_dir():
            state = f"{folder} is no folder" if folder.exists() else f"no folder {folder}"
            raise DataError(f"{argument('images')}: {state}; expected a folder of crops or a data set")
        images = tree_images(folder, skipped=[])
        if not images:
            raise DataError(
                f"{argument('images')}: no image in {folder}, which contains {contents(folder)}; expected crops"
            )
    chosen = np.random.default_rng(seed).permutation(len(images))[:CROPS]
    return [images[index] for index in sorted(chosen.tolist())]


def read_calibration_crops(
    images: Sequence[Path | Sample], source: str | Path | None, *, size: tuple[int, int], seed: int
) -> CalibrationCrops:
    """Decode the images that `list_calibration_images` returned for the same arguments.

    Raises:
        DataError: For an image that cannot be read; the message names it.
    """
    pixels = np.stack([read_image(image, size=size) for image in images])
    text = synthetic_spec(size, seed) if source is None else str(source)
    return CalibrationCrops(pixels, public_spec(text) if text.partition(":")[0] in DATASETS else public_name(text))


def synthetic_spec(size: tuple[int, int], seed: int) -> str:
    """Return the spec of the synthetic people: 64 identities in 16 cameras, 288 images at the height of the model's."""
    low, high = RANGES["height"]
    height = min(max(size[0], low), high)
    return f"synth:identities=64,cameras=16,images=2,views=2,seed={seed},height={height}"
