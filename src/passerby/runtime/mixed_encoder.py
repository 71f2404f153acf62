"""An encoder that computes each batch size by the runtime that is fastest there.

B batch   H W image height and width   D embedding width
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from passerby.data.images import Pixels
from passerby.runtime.embedder import Encoder
from passerby.types import FloatArray


class MixedEncoder:
    """Encoders of one network in several runtimes, whose vectors are interchangeable.

    Args:
        encoders: Encoder of each batch size; all have the same width, precision and mirroring.

    Example:
        >>> encoder = passerby.load("default", runtime="onnx").encoder
        >>> MixedEncoder({1: encoder, 8: encoder}).runtime
        'onnx'
    """

    def __init__(self, encoders: Mapping[int, Encoder]) -> None:
        self._encoders = dict(sorted(encoders.items()))
        first = next(iter(self._encoders.values()))
        self.width, self.precision, self.device = first.width, first.precision, first.device
        self.runtime = " and ".join(dict.fromkeys(encoder.runtime for encoder in self._encoders.values()))
        self.mirrors = bool(getattr(first, "mirrors", False))
        if hasattr(first, "path"):
            self.path = first.path
        for encoder in self._encoders.values():
            if hasattr(encoder, "network"):
                self.network = encoder.network

    def runtime_of(self, size: int) -> str:
        """Return the runtime that computes a batch of `size` images, or the largest part of it."""
        return self._encoders[self._fit(min(size, max(self._encoders)))].runtime

    def _fit(self, count: int) -> int:
        """Return the smallest batch size that holds `count` images."""
        return next(size for size in self._encoders if size >= count)

    def __repr__(self) -> str:
        return f"MixedEncoder({self.runtime}, batches of {', '.join(map(str, self._encoders))})"

    def encode(self, pixels: Pixels) -> FloatArray:
        """Compute (B, D) float32 of unit length from (B, H, W, 3) uint8 RGB; B may be 0."""
        if len(pixels) in self._encoders:
            return self._encoders[len(pixels)].encode(pixels)
        if not len(pixels):
            return np.empty((0, self.width), np.float32)
        largest = max(self._encoders)
        blocks = []
        for start in range(0, len(pixels), largest):
            block = pixels[start : start + largest]
            blocks.append(self._encoders[self._fit(len(block))].encode(block))
        return np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
