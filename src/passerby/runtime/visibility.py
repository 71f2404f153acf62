"""How much of a person a crop shows, by the key points that the body estimator finds.

N crops
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from passerby.data.images import Pixels, resize_image
from passerby.errors import DataError
from passerby.runtime.model_manifest import DEFAULT_MODEL
from passerby.runtime.networks import FileNetwork, default_threads, load_network
from passerby.types import FloatArray

VISIBILITY_FILE = DEFAULT_MODEL / "body" / "visibility.onnx"
"""Body estimator that ends in one number for each image, with the weights of model.safetensors beside it;
`tools.body_estimator` writes it."""
_BATCH = 64


def measure_visibility(crops: Sequence[Pixels]) -> FloatArray:
    """Measure how much of a person each crop shows.

    It is the mean score of the 14 key points of the body estimator: low for a crop that is cut off, shifted, blurred or
    covered. Its square is a weight for the mean of the vectors of several crops of one person; docs/results.md has what
    that changes.

    Args:
        crops: N uint8 (H, W, 3) RGB images of any size.

    Returns:
        (N,) numbers, 0 to 1. Crops of one person can be compared by them; between cameras they also depend on the view.

    Raises:
        DataError: For an image of another shape or type.

    Example:
        >>> crops = [np.zeros((128, 64, 3), np.uint8)] * 2
        >>> measure_visibility(crops).shape
        (2,)
    """
    for number, crop in enumerate(crops):
        if crop.ndim != 3 or crop.shape[2] != 3 or not crop.size or crop.dtype != np.uint8:
            raise DataError(f"crops: {number}: got {crop.dtype} {crop.shape}, expected uint8 (H, W, 3)")
    network = _load(VISIBILITY_FILE)
    height, width = (size or 0 for size in network.input_shape[1:3])
    visibility = np.empty(len(crops), np.float32)
    for start in range(0, len(crops), _BATCH):
        batch = [resize_image(crop, (height, width)) for crop in crops[start : start + _BATCH]]
        (visibility[start : start + _BATCH],) = network(np.stack(batch))
    return visibility


@cache
def _load(path: Path) -> FileNetwork:
    return load_network(path, threads=default_threads(), own=True)
