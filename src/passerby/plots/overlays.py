"""Heatmaps and part assignments drawn over an image."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from passerby.extras import require_extra
from passerby.plots.cells import Pixels
from passerby.plots.style import COLORS, rgb

_PART_STRENGTH = 0.5  # largest fraction of a part's color over the image


def overlay_heat(image: Pixels, heat: ArrayLike) -> Pixels:
    """Draw a heatmap over the darkened image.

    Args:
        image: (H, W, 3) RGB.
        heat: (h, w), at least 0; the largest value becomes the brightest color. All zeros leave the image dark.

    Returns:
        (H, W, 3) RGB.

    Raises:
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> overlay_heat(np.full((64, 32, 3), 128, np.uint8), [[0, 1], [0, 0]]).shape
        (64, 32, 3)
    """
    heat = np.asarray(heat, dtype=np.float32)
    height, width = image.shape[:2]
    peak = float(heat.max())
    scaled = heat / peak if peak > 0 else heat
    smooth = np.asarray(Image.fromarray(scaled).resize((width, height), Image.Resampling.BICUBIC)).clip(0, 1)
    colors = require_extra("matplotlib").colormaps["inferno"](smooth)[..., :3]  # (H, W, 3) 0 to 1
    strength = (0.25 + 0.55 * smooth)[..., None]
    gray = image.mean(axis=2, keepdims=True) / 255
    return _round(255 * ((1 - strength) * gray + strength * colors))


def overlay_parts(image: Pixels, assignment: ArrayLike) -> Pixels:
    """Color each position of the map by its most probable part; the color is stronger where that probability is higher.

    Args:
        image: (H, W, 3) RGB.
        assignment: (P, h, w) probability of each part, summing to 1 over P.

    Returns:
        (H, W, 3) RGB.

    Example:
        >>> import numpy as np
        >>> overlay_parts(np.full((64, 32, 3), 128, np.uint8), build_stripe_assignment(2, (8, 4))).shape
        (64, 32, 3)
    """
    assignment = np.asarray(assignment)
    parts = len(assignment)
    palette = np.array([rgb(COLORS[part % len(COLORS)]) for part in range(parts)])
    best, probability = assignment.argmax(axis=0), assignment.max(axis=0)
    rows, columns = (np.arange(n) * m // n for n, m in zip(image.shape[:2], best.shape, strict=True))
    positions = np.ix_(rows, columns)
    chance = 1 / parts
    certainty = (probability[positions] - chance) / (1 - chance)
    strength = _PART_STRENGTH * (0.3 + 0.7 * certainty)[..., None]
    return _round((1 - strength) * image + strength * palette[best[positions]])


def build_stripe_assignment(parts: int, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the assignment of fixed horizontal stripes; a row that two stripes share belongs half to each.

    Args:
        parts: Number of stripes P.
        shape: Height h and width w of the map.

    Returns:
        (P, h, w), summing to 1 over P.

    Example:
        >>> build_stripe_assignment(2, (4, 1))[:, :, 0].tolist()
        [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    """
    height, width = shape
    inside = np.zeros((parts, height))
    for part in range(parts):
        inside[part, part * height // parts : -(-(part + 1) * height // parts)] = 1
    return np.repeat((inside / inside.sum(axis=0))[:, :, None], width, axis=2)


def _round(values: NDArray[np.floating]) -> Pixels:
    pixels: Pixels = np.round(values).astype(np.uint8)
    return pixels
