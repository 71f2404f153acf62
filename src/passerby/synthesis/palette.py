"""Colors of clothes, skin and hair with their frequencies: mostly black, gray, navy, white and denim."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from passerby.synthesis.solids import Vector

T = TypeVar("T")
Weights = dict[str, float]

CLOTH_COLORS: dict[str, Vector] = {
    "black": (0.16, 0.16, 0.17), "charcoal": (0.26, 0.27, 0.29), "gray": (0.48, 0.49, 0.50),
    "silver": (0.68, 0.69, 0.70), "white": (0.90, 0.90, 0.88), "navy": (0.15, 0.18, 0.30), "denim": (0.26, 0.34, 0.47),
    "pale denim": (0.47, 0.56, 0.67), "blue": (0.20, 0.36, 0.66), "sky": (0.55, 0.71, 0.86), "red": (0.68, 0.13, 0.15),
    "wine": (0.38, 0.12, 0.17), "pink": (0.85, 0.58, 0.65), "orange": (0.85, 0.45, 0.16), "yellow": (0.87, 0.75, 0.28),
    "olive": (0.36, 0.37, 0.24), "green": (0.18, 0.42, 0.27), "teal": (0.16, 0.44, 0.47), "brown": (0.35, 0.25, 0.18),
    "camel": (0.69, 0.55, 0.38), "beige": (0.79, 0.73, 0.62), "purple": (0.36, 0.23, 0.47),
}  # fmt: skip
"""sRGB, 0 to 1."""

TOP_COLOR_WEIGHTS: Weights = {
    "black": 34, "charcoal": 14, "gray": 10, "silver": 3, "white": 11, "navy": 12, "denim": 4, "pale denim": 1.5,
    "blue": 3, "sky": 2.5, "red": 3, "wine": 2, "pink": 2, "orange": 0.8, "yellow": 1, "olive": 2.5, "green": 1.5,
    "teal": 1, "brown": 3, "camel": 2, "beige": 3, "purple": 1,
}  # fmt: skip
BOTTOM_COLOR_WEIGHTS: Weights = {
    "black": 36, "charcoal": 16, "gray": 7, "silver": 0.8, "white": 2, "navy": 11, "denim": 17, "pale denim": 5,
    "blue": 0.7, "red": 0.5, "wine": 0.6, "pink": 0.4, "olive": 2.5, "green": 0.5, "brown": 3, "camel": 2.5, "beige": 4,
    "purple": 0.3,
}  # fmt: skip
SHOE_COLOR_WEIGHTS: Weights = {
    "black": 12, "white": 8, "charcoal": 3, "gray": 4, "brown": 4, "camel": 2, "navy": 2, "red": 1, "blue": 1,
}  # fmt: skip
BAG_COLOR_WEIGHTS: Weights = {
    "black": 12, "charcoal": 4, "navy": 4, "brown": 5, "camel": 3, "gray": 3, "red": 2, "beige": 2, "blue": 2,
    "green": 1.5, "pink": 1.5, "purple": 1, "orange": 1, "white": 2,
}  # fmt: skip

TRIM_COLOR_WEIGHTS: Weights = {
    "black": 8, "charcoal": 4, "gray": 4, "silver": 4, "white": 12, "navy": 3, "blue": 2, "red": 4, "wine": 1,
    "orange": 1.5, "yellow": 1.5, "green": 1, "beige": 1.5, "brown": 1,
}  # fmt: skip

SKIN_TONES: tuple[Vector, ...] = (
    (0.94, 0.81, 0.73), (0.90, 0.74, 0.63), (0.82, 0.64, 0.50), (0.70, 0.51, 0.37), (0.52, 0.36, 0.26),
    (0.33, 0.22, 0.16),
)  # fmt: skip
"""sRGB, from the lightest to the darkest; `Person.skin_tone` is an index into this list."""
SKIN_TONE_WEIGHTS = (4, 5, 4, 3, 2.5, 2)
HAIR_COLORS: dict[str, Vector] = {
    "black": (0.07, 0.06, 0.06), "dark brown": (0.17, 0.11, 0.08), "brown": (0.32, 0.21, 0.14),
    "blond": (0.66, 0.52, 0.34), "red": (0.45, 0.22, 0.12), "gray": (0.56, 0.55, 0.54), "white": (0.82, 0.81, 0.79),
}  # fmt: skip
HAIR_COLOR_WEIGHTS: Weights = {
    "black": 12, "dark brown": 8, "brown": 5, "blond": 3, "red": 1, "gray": 2, "white": 1,
}  # fmt: skip


def draw_key(rng: np.random.Generator, weights: dict[T, float]) -> T:
    """Draw a key with a probability proportional to its weight."""
    values = np.fromiter(weights.values(), dtype=float)
    return list(weights)[int(np.searchsorted(np.cumsum(values), rng.random() * values.sum(), side="right"))]


def vary_color(rng: np.random.Generator, color: Vector, *, spread: float = 0.04) -> Vector:
    """Draw a color near `color`; `spread` is the standard deviation of its lightness (sRGB, 0 to 1)."""
    light = rng.normal(0, spread)
    red, green, blue = (float(np.clip(channel + light + rng.normal(0, 0.6 * spread), 0.03, 0.97)) for channel in color)
    return red, green, blue
