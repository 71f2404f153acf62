"""Convert the pixels of an image to a network's input.

B batch   H W image height and width
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from passerby.errors import WeightsError, argument

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
        WeightsError: Naming `source`, the key, its value and what is expected.

    Example:
        >>> parse_preprocessing({"size": [64, 32], "mean": [0, 0, 0], "std": [1, 1, 1]}, Path("manifest.json")).size
        (64, 32)
    """
    if not isinstance(values, Mapping):
        raise WeightsError(
            f"{source}: preprocessing: got {_shorten(values)}, expected an object with size, mean and std"
        )
    used = {"channels": "rgb", "scale": 255.0, **values}
    for name, (expected, is_right) in _RULES.items():
        if name not in used:
            raise WeightsError(f"{source}: preprocessing: lacks {name}, expected {expected}")
        if not is_right(used[name]):
            raise WeightsError(f"{source}: preprocessing: {name}: got {_shorten(used[name])}, expected {expected}")
    mean, std = ([*map(float, used[name])] for name in ("mean", "std"))
    height, width = used["size"]
    return Preprocessing(
        size=(int(height), int(width)),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        channels=used["channels"],
        scale=float(used["scale"]),
    )


def require_options(**options: Any) -> None:
    """Check options that are given for the preprocessing of a file.

    Args:
        options: Values of size, mean, std, channels and scale; None is not given.

    Raises:
        WeightsError: Naming the option, its value and what is expected.

    Example:
        >>> require_options(scale=255.0, mean=None)
    """
    for name, value in options.items():
        expected, is_right = _RULES[name]
        if value is not None and not is_right(value):
            raise WeightsError(f"{argument(name)}: got {_shorten(value)}, expected {expected}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0


def _are_three(values: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(values, list | tuple | np.ndarray) and len(values) == 3 and all(map(is_right, values))


def _is_size(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(isinstance(side, int | np.integer) and 1 <= side <= MAX_SIDE for side in value)
    )


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "size": (f"height and width, each of 1 to {MAX_SIDE} whole pixels", _is_size),
    "mean": ("3 finite numbers", lambda value: _are_three(value, _is_number)),
    "std": ("3 finite numbers above 0", lambda value: _are_three(value, _is_positive)),
    "channels": ("rgb or bgr", lambda value: value in ("rgb", "bgr")),
    "scale": ("a finite number above 0", _is_positive),
}
"""What each value has to be, in words and as a function."""


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
