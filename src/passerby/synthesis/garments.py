"""Garments: kind, color, pattern, cut and details."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from passerby.synthesis.palette import (
    BOTTOM_COLOR_WEIGHTS,
    CLOTH_COLORS,
    TOP_COLOR_WEIGHTS,
    TRIM_COLOR_WEIGHTS,
    Weights,
    draw_key,
    vary_color,
)
from passerby.synthesis.solids import Vector

TOPS: Weights = {"t-shirt": 9, "shirt": 6, "sweater": 6, "jacket": 10, "hoodie": 5, "coat": 5, "dress": 3, "vest": 2}
BOTTOMS: Weights = {"trousers": 15, "wide": 4, "leggings": 4, "shorts": 4, "skirt": 4, "long skirt": 1.5}
PATTERNS: Weights = {
    "plain": 11, "heather": 3, "stripes": 2.5, "pinstripes": 0.8, "plaid": 2, "print": 3, "text": 1.5, "band": 1,
    "yoke": 2, "worn": 1, "dots": 0.8, "camouflage": 0.5,
}  # fmt: skip
DETAILS = ("seed", "trim", "closure", "band", "stripe", "emblem", "fade", "gloss")
"""Attributes of a garment that a lookalike may have of its own."""


@dataclass(frozen=True)
class Garment:
    """One piece of clothing.

    Attributes:
        kind: A key of `TOPS` or `BOTTOMS`.
        name: Name of the color.
        color: sRGB, 0 to 1.
        second: Second color of the pattern, sRGB.
        pattern: One of `PATTERNS`, `open` or `denim`.
        scale: Scale of the pattern, see `_draw_scale`.
        sleeves: Fraction of the arm (of a top) or leg (of a bottom) that is covered, 0 to 1.
        loose: Distance from the body, as a fraction of the height.
        length: Length below the hip joint, as a fraction of the height.
        seed: Offset of the pattern.
        trim: Color of closure, bands, stripe and emblem, sRGB.
        closure: Half the width of the closure in front, meters; 0 for none.
        band: Width of the cuffs and the hem, meters.
        stripe: Half the width of a stripe along the side, meters.
        emblem: Half the size of an emblem on the chest, meters; below 0 on the other side.
        fade: How much lighter the front is (washed jeans), 0 to 1.
        gloss: 0 to 1, see `Material`.
    """

    kind: str
    name: str
    color: Vector
    second: Vector
    pattern: str
    scale: float
    sleeves: float
    loose: float
    length: float
    seed: float
    trim: Vector
    closure: float
    band: float
    stripe: float
    emblem: float
    fade: float
    gloss: float


def draw_top(rng: np.random.Generator) -> Garment:
    """Draw a garment for the upper body."""
    kind, name = draw_key(rng, TOPS), draw_key(rng, TOP_COLOR_WEIGHTS)
    short = {"t-shirt": 0.9, "shirt": 0.25, "dress": 0.6, "vest": 0.5}.get(kind, 0.03)
    sleeves = 0.0 if kind == "vest" else float(rng.uniform(0.18, 0.42)) if rng.random() < short else 1.0
    if kind in ("shirt", "sweater", "jacket", "hoodie") and rng.random() < 0.15:
        sleeves = float(rng.uniform(0.55, 0.85))  # rolled up
    probability_open = {"jacket": 0.5, "coat": 0.45, "hoodie": 0.25, "shirt": 0.2}.get(kind, 0.0)
    pattern = "open" if rng.random() < probability_open else draw_key(rng, PATTERNS)
    if name in ("denim", "pale denim"):
        pattern = "denim" if pattern == "plain" else pattern
    loose = {"t-shirt": 0.006, "shirt": 0.007, "sweater": 0.009, "hoodie": 0.012, "jacket": 0.012, "coat": 0.015}
    lengths = {"coat": (0.1, 0.26), "dress": (0.12, 0.32), "jacket": (-0.01, 0.06), "hoodie": (0.0, 0.05)}
    low, high = lengths.get(kind, (-0.015, 0.045))
    return Garment(
        kind=kind,
        name=name,
        color=vary_color(rng, CLOTH_COLORS[name]),
        second=vary_color(rng, CLOTH_COLORS[draw_key(rng, TOP_COLOR_WEIGHTS)]),
        pattern=pattern,
        scale=_draw_scale(rng, pattern),
        sleeves=sleeves,
        loose=loose.get(kind, 0.006) * float(rng.uniform(0.7, 1.5)),
        length=float(rng.uniform(low, high)),
        **_draw_details(
            rng,
            CLOTH_COLORS[name],
            top=True,
            closed=kind in ("jacket", "coat", "shirt", "hoodie") and pattern != "open",
        ),
    )


def draw_bottom(rng: np.random.Generator) -> Garment:
    """Draw a garment for the lower body."""
    kind, name = draw_key(rng, BOTTOMS), draw_key(rng, BOTTOM_COLOR_WEIGHTS)
    pattern = "denim" if "denim" in name else draw_key(rng, {"plain": 20, "worn": 2, "two-tone": 0.5, "plaid": 0.7})
    legs = {"shorts": float(rng.uniform(0.25, 0.5)), "skirt": 0.0, "long skirt": 0.0}.get(kind, 1.0)
    if kind in ("trousers", "leggings") and rng.random() < 0.12:
        legs = float(rng.uniform(0.75, 0.92))
    if kind in ("skirt", "long skirt") and rng.random() < 0.35:
        legs = 1.0  # over tights
    loose = {"wide": 0.022, "leggings": 0.001, "shorts": 0.016}.get(kind, 0.008)
    lengths = {"skirt": (0.14, 0.27), "long skirt": (0.3, 0.44)}.get(kind, (0.0, 0.0))
    return Garment(
        kind=kind,
        name=name,
        color=vary_color(rng, CLOTH_COLORS[name]),
        second=vary_color(rng, CLOTH_COLORS[draw_key(rng, BOTTOM_COLOR_WEIGHTS)]),
        pattern=pattern,
        scale=_draw_scale(rng, pattern),
        sleeves=legs,
        loose=loose * float(rng.uniform(0.7, 1.4)),
        length=float(rng.uniform(*lengths)),
        **_draw_details(rng, CLOTH_COLORS[name], top=False, closed=False),
    )


def _draw_details(rng: np.random.Generator, color: Vector, *, top: bool, closed: bool) -> dict[str, Any]:
    """Draw the offset of the pattern, trims and wear of a garment; `closed` garments have a zip or buttons."""

    def size(probability: float, low: float, high: float) -> float:
        drawn = rng.random(), float(rng.uniform(low, high))
        return drawn[1] if drawn[0] < probability else 0.0

    other = vary_color(rng, CLOTH_COLORS[draw_key(rng, TRIM_COLOR_WEIGHTS)])
    trim = other if rng.random() < 0.4 else vary_color(rng, color, spread=0.1)  # mostly the color of the garment
    return {
        "seed": float(rng.uniform(0, 500)),
        "trim": trim,
        "closure": size(0.6 if closed else 0.0, 0.003, 0.01),
        "band": size(0.3 if top else 0.12, 0.015, 0.06),
        "stripe": size(0.12, 0.006, 0.02),
        "emblem": size(0.22 if top else 0.0, 0.015, 0.04) * float(rng.choice([-1.0, 1.0])),
        "fade": 0.0 if top else size(0.5, 0.2, 0.9),
        "gloss": 0.02 + size(0.2, 0.05, 0.35),
    }


def _draw_scale(rng: np.random.Generator, pattern: str) -> float:
    """Draw the scale of a pattern: repeats per meter, repeats around the body, or a width in meters."""
    ranges = {
        "stripes": (6, 22), "plaid": (5, 12), "pinstripes": (10, 24), "print": (0.05, 0.14), "two-tone": (0.25, 0.75),
        "yoke": (-0.08, 0.08), "open": (0.025, 0.09), "text": (0.05, 0.13), "band": (0.04, 0.11), "dots": (14, 40),
        "camouflage": (8, 18),
    }  # fmt: skip
    return float(rng.uniform(*ranges.get(pattern, (1, 1))))
