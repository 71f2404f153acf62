"""Convert the pixels of an image to a network's input.

B batch   H W image height and width
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from passerby.errors import WeightsError, explain

MAX_SIDE = 4096
"""Largest side of a network's images in pixels, and largest number in a manifest's description of a network."""
Channels = Literal["rgb", "bgr"]


@dataclass(frozen=True)
class Preprocessing:
    """From pixels to the network's input: resize to `size`, then (x / scale - mean) / std in the order of `channels`.

    Attributes:
        size: (height, width) in pixels.
        mean: Mean of each channel, in the order of `channels`.
        std: Standard deviation of each channel, in the order of `channels`.
        channels: `rgb`, or `bgr`, which networks of OpenCV's tools take.
        scale: 255 for pixels from 0 to 1, 1 for pixels from 0 to 255.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    channels: Channels = "rgb"
    scale: float = 255.0

    def to_dict(self) -> dict[str, Any]:
        """Return what a manifest and a gallery's card record: without the channels and the scale of our networks."""
        values: dict[str, Any] = {"size": self.size, "mean": self.mean, "std": self.std}
        return values if (self.channels, self.scale) == ("rgb", 255.0) else values | self._others

    @property
    def _others(self) -> dict[str, Any]:
        return {"channels": self.channels, "scale": self.scale}

    def __str__(self) -> str:
        height, width = self.size
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{height} x {width}, {self.channels}, (pixel / {self.scale:g} - ({mean})) / ({std})"

    def normalize(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Convert (B, H, W, 3) uint8 RGB to (B, H, W, 3) float32 in the order of `channels`."""
        ordered = pixels if self.channels == "rgb" else pixels[..., ::-1]
        std = np.array(self.std, np.float64)
        factor = (1 / (self.scale * std)).astype(np.float32)
        shift = (np.array(self.mean, np.float64) / std).astype(np.float32)
        return np.asarray(ordered * factor - shift, np.float32)


def parse_preprocessing(values: Any, source: Path) -> Preprocessing:
    """Check the preprocessing of a manifest.

    Args:
        values: An object with size, mean and std, and optionally channels and scale.
        source: File that holds it, for messages.

    Raises:
        WeightsError: Naming `source` and the values.

    Example:
        >>> parse_preprocessing({"size": [64, 32], "mean": [0, 0, 0], "std": [1, 1, 1]}, Path("manifest.json")).size
        (64, 32)
    """
    try:
        (height, width), mean, std = values["size"], [*map(float, values["mean"])], [*map(float, values["std"])]
        channels, scale = values.get("channels", "rgb"), float(values.get("scale", 255.0))
        if (len(mean), len(std)) != (3, 3) or not all(map(math.isfinite, (*mean, *std))) or min(std) <= 0:
            raise ValueError("wrong length, not finite, or not above 0")
        if not all(isinstance(side, int) and 1 <= side <= MAX_SIDE for side in (height, width)):
            raise ValueError(f"a side that is not 1 to {MAX_SIDE}")
        if channels not in ("rgb", "bgr") or not (math.isfinite(scale) and scale > 0):
            raise ValueError("channels other than rgb or bgr, or a scale that is not above 0")
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise WeightsError(
            f"{source}: preprocessing: got {values!r} ({explain(error)}); expected size (2 numbers), mean and std "
            "(3 each)"
        ) from None
    return Preprocessing(
        size=(int(height), int(width)),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        channels=channels,
        scale=scale,
    )
