"""Compute embeddings by a network from an ONNX or OpenVINO file.

B batch   H W image height and width   D embedding width
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from passerby.data.images import Pixels
from passerby.errors import WeightsError
from passerby.runtime.networks import FileNetwork
from passerby.runtime.preprocessing import Preprocessing
from passerby.text import plural
from passerby.types import FloatArray


@dataclass(frozen=True)
class FileInput:
    """Input of a network from a file.

    Attributes:
        preprocessing: Size and normalization of its images.
        normalizes: Whether the network takes uint8 RGB pixels, (B, H, W, 3), and normalizes them itself.
        mirrors: Whether it averages the mirror image itself.
    """

    preprocessing: Preprocessing
    normalizes: bool = False
    mirrors: bool = False


class FileEncoder:
    """A network that onnxruntime or OpenVINO runs on the CPU.

    Args:
        network: Loaded with batch sizes, so that it takes any number of images.
        takes: Its input.
        output: Name of the output with the embedding; None is the only one. A map (B, D, h, w) is averaged over its
            positions.
        precision: `fp32`, `fp16`, `bf16` or `int8`.
        linear: (D, D) map that is applied to each embedding before it is scaled to unit length; None for none.

    Raises:
        WeightsError: If input or output are not those of a network that embeds images.
    """

    device = "cpu"

    def __init__(
        self,
        network: FileNetwork,
        takes: FileInput,
        *,
        output: str | None = None,
        precision: str,
        linear: FloatArray | None = None,
    ) -> None:
        self.runtime: str = network.runtime
        self.precision = precision
        self.mirrors, self.preprocessing = takes.mirrors, takes.preprocessing
        self.linear = linear
        self._network, self._takes = network, takes
        self._output = _find_output(network, output)
        self._channels_last = _find_layout(network, takes.preprocessing.size)
        height, width = takes.preprocessing.size
        self.width = self.encode(np.zeros((1, height, width, 3), np.uint8)).shape[1]

    def __repr__(self) -> str:
        return f"FileEncoder({self.path})"

    @property
    def path(self) -> str:
        """The file."""
        return str(self._network.path)

    def encode(self, pixels: Pixels) -> FloatArray:
        """Compute (B, D) float32 of unit length from (B, H, W, 3) uint8 RGB; B may be 0."""
        if not len(pixels):
            return np.empty((0, self.width), np.float32)
        values = pixels if self._takes.normalizes else self._takes.preprocessing.normalize(pixels)
        if not self._channels_last:
            values = values.transpose(0, 3, 1, 2)  # (B, 3, H, W)
        vectors = self._network(values)[self._output]
        if vectors.ndim == 4:
            vectors = vectors.mean(axis=(2, 3))  # (B, D)
        if vectors.ndim != 2 or len(vectors) != len(pixels):
            names = self._network.outputs
            advice = "name another output" if len(names) > 1 else "a detector, for example, has no such output"
            raise WeightsError(
                f"{self.path}: output {names[self._output]} has shape {vectors.shape} for "
                f"{plural(len(pixels), 'image')}, expected (images, width); {advice}"
            )
        vectors = np.asarray(vectors, np.float32)
        with np.errstate(invalid="ignore", over="ignore"):  # infinite numbers become NaN, which the caller refuses
            if self.linear is not None:
                vectors = vectors @ self.linear.T
            length = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
            return np.asarray(vectors / np.maximum(length, 1e-12)[:, None])


def _find_output(network: FileNetwork, name: str | None) -> int:
    """Return the number of an output."""
    names = network.outputs
    if name is None and len(names) == 1:
        return 0
    if name not in names:
        problem = "has several outputs" if name is None else f"has no output {name!r}"
        raise WeightsError(f"{network.path}: {problem}; name one of {', '.join(names)}")
    return names.index(name)


def _find_layout(network: FileNetwork, size: tuple[int, int]) -> bool:
    """Return whether the channels are the last axis of the input; the images' size must fit."""
    shape = network.input_shape
    if len(shape) == 4:
        for channels_last, (channels, *sides) in ((False, shape[1:]), (True, (shape[3], *shape[1:3]))):
            if channels == 3 and all(side in (None, wanted) for side, wanted in zip(sides, size, strict=True)):
                return channels_last
    height, width = size
    advice = "name the size of its images (height x width)"
    if len(shape) != 4 or 3 not in (shape[1], shape[3]):
        advice = "export a network of color images"
    raise WeightsError(
        f"{network.path}: input of shape {_format(shape)}, expected (batch, 3, {height}, {width}) or (batch, {height}, "
        f"{width}, 3); {advice}"
    )


def _format(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"
