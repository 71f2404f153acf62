"""Weights and images that both sides build: the toolkit's own network here, and the tests that import its checkpoint.

Only NumPy is imported, as another toolkit's environment may not have this package.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np
from numpy.typing import NDArray


def random_tensor(name: str, shape: tuple[int, ...]) -> NDArray[np.float32] | NDArray[np.int64]:
    """Draw a tensor from a generator that name and shape seed.

    Matrices and kernels keep the scale of their input; embeddings of positions have 0.5; scales of norms are around 1,
    variances around 1.5, so that residual networks do not grow too far, a power of generalized mean pooling (`.p`)
    around 3.
    """
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    seed = hashlib.sha256(f"{name} {shape}".encode()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed, "little"))
    normal = rng.standard_normal(shape, dtype=np.float32)
    if name.endswith("running_var"):
        gated = name.startswith("model._blocks.")  # EfficientNet's gates halve the features of each block
        return (0.6 if gated else 1) * (1.25 + 0.5 * rng.random(shape, dtype=np.float32))
    if name.endswith(".p"):
        return 3 + 0.1 * normal
    if len(shape) > 1:
        return normal * (math.sqrt(2 / math.prod(shape[1:])) if name.endswith("weight") else 0.5)
    scale = 1e-3 if "NL_" in name and name.endswith("W.1.weight") else 1  # non-local blocks multiply three times
    return scale * ((1 if name.endswith("weight") else 0) + np.float32(0.05) * normal)


def block_images(size: tuple[int, int], *, count: int = 2) -> NDArray[np.uint8]:
    """Draw images of 8 x 4 blocks of random colors: (count, height, width, 3) uint8."""
    height, width = size
    colors = np.random.default_rng(0).integers(0, 256, (count, 8, 4, 3), dtype=np.uint8)
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 4 // width
    return np.ascontiguousarray(colors[:, rows][:, :, columns])
