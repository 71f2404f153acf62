"""Appearance of an identity, equal in all its images: build, skin, hair, clothes and bag."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from passerby.synthesis.palette import (
    BAG_COLOR_WEIGHTS,
    BOTTOM_COLOR_WEIGHTS,
    CLOTH_COLORS,
    HAIR_COLOR_WEIGHTS,
    HAIR_COLORS,
    SHOE_COLOR_WEIGHTS,
    SKIN_TONE_WEIGHTS,
    SKIN_TONES,
    TOP_COLOR_WEIGHTS,
    TRIM_COLOR_WEIGHTS,
    Weights,
    draw_key,
    vary_color,
)
from passerby.synthesis.solids import Vector

TOPS: Weights = {"t-shirt": 9, "shirt": 6, "sweater": 6, "jacket": 10, "hoodie": 5, "coat": 5, "dress": 3, "vest": 2}
BOTTOMS: Weights = {"trousers": 15, "wide": 4, "leggings": 4, "shorts": 4, "skirt": 4, "long skirt": 1.5}
HAIRCUTS: Weights = {"short": 11, "bald": 1, "bob": 4, "long": 7, "ponytail": 3, "bun": 2}
HATS: Weights = {"none": 22, "cap": 2, "beanie": 1.3, "hat": 0.7}
BAG_KINDS: Weights = {"none": 10, "backpack": 7, "shoulder": 5, "tote": 3, "hand": 3}
FOOTWEAR: Weights = {"trainers": 10, "shoes": 6, "boots": 3, "sandals": 1}
PATTERNS: Weights = {
    "plain": 11, "heather": 3, "stripes": 2.5, "pinstripes": 0.8, "plaid": 2, "print": 3, "text": 1.5, "band": 1,
    "yoke": 2, "worn": 1, "dots": 0.8, "camouflage": 0.5,
}  # fmt: skip


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


@dataclass(frozen=True)
class Person:
    """Appearance of an identity. `height` is in meters; other lengths are fractions of the height."""

    height: float
    shoulders: float
    waist: float
    hips: float
    bulk: float
    legs: float
    head: float
    skin_tone: int
    skin: Vector
    hair_name: str
    hair: Vector
    haircut: str
    tufts: float
    glasses: bool
    top: Garment
    under: Vector
    under_length: float
    collar: float
    bottom: Garment
    footwear: str
    shoes_name: str
    shoes: Vector
    socks: Vector
    hat: str
    hat_color: Vector
    scarf: bool
    bag: str
    bag_name: str
    bag_color: Vector
    bag_second: Vector
    bag_size: float
    bag_side: float
    strap: Vector
    second_bag: bool
    gait: float


def draw_person(rng: np.random.Generator) -> Person:
    """Draw the appearance of an identity."""
    tone = int(draw_key(rng, dict(enumerate(SKIN_TONE_WEIGHTS))))
    hair = draw_key(rng, HAIR_COLOR_WEIGHTS) if tone < 3 else draw_key(rng, {"black": 12, "dark brown": 5, "gray": 1.5})
    shoes, bag = draw_key(rng, SHOE_COLOR_WEIGHTS), draw_key(rng, BAG_COLOR_WEIGHTS)
    bulk = float(np.clip(rng.normal(1.0, 0.13), 0.78, 1.45))
    return Person(
        height=float(np.clip(rng.normal(1.69, 0.09), 1.42, 1.98)),
        shoulders=float(np.clip(rng.normal(0.108, 0.008), 0.088, 0.13)),
        waist=float(np.clip(rng.normal(0.079, 0.009), 0.06, 0.11)) * bulk,
        hips=float(np.clip(rng.normal(0.092, 0.008), 0.076, 0.115)) * (0.5 + 0.5 * bulk),
        bulk=bulk,
        legs=float(rng.normal(0.525, 0.012)),
        head=float(np.clip(rng.normal(1.0, 0.04), 0.9, 1.12)),
        skin_tone=tone,
        skin=vary_color(rng, SKIN_TONES[tone], spread=0.02),
        hair_name=hair,
        hair=vary_color(rng, HAIR_COLORS[hair], spread=0.02),
        haircut=draw_key(rng, HAIRCUTS),
        tufts=float(rng.uniform(0.2, 1.0)),
        glasses=bool(rng.random() < 0.2),
        top=draw_top(rng),
        under=vary_color(rng, CLOTH_COLORS[draw_key(rng, TOP_COLOR_WEIGHTS if rng.random() < 0.6 else {"white": 1})]),
        under_length=float(rng.uniform(0.015, 0.06)) if rng.random() < 0.25 else 0.0,
        collar=float(rng.uniform(0.3, 1.0)) if rng.random() < 0.45 else 0.0,
        bottom=draw_bottom(rng),
        footwear=draw_key(rng, FOOTWEAR),
        shoes_name=shoes,
        shoes=vary_color(rng, CLOTH_COLORS[shoes]),
        socks=vary_color(rng, CLOTH_COLORS[draw_key(rng, {"white": 3, "black": 4, "gray": 2})]),
        hat=draw_key(rng, HATS),
        hat_color=vary_color(rng, CLOTH_COLORS[draw_key(rng, TOP_COLOR_WEIGHTS)]),
        scarf=bool(rng.random() < 0.05),
        bag=draw_key(rng, BAG_KINDS),
        bag_name=bag,
        bag_color=vary_color(rng, CLOTH_COLORS[bag]),
        bag_second=vary_color(rng, CLOTH_COLORS[draw_key(rng, BAG_COLOR_WEIGHTS)]),
        bag_size=float(rng.uniform(0.75, 1.25)),
        bag_side=float(rng.choice([-1.0, 1.0])),
        strap=vary_color(rng, CLOTH_COLORS[draw_key(rng, BAG_COLOR_WEIGHTS) if rng.random() < 0.3 else bag]),
        second_bag=bool(rng.random() < 0.12),
        gait=float(rng.uniform(0.7, 1.25)),
    )


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


DETAILS = ("seed", "trim", "closure", "band", "stripe", "emblem", "fade", "gloss")
"""Attributes of a garment that a lookalike may have of its own."""


def draw_lookalike(person: Person, rng: np.random.Generator) -> Person:
    """Draw an identity that differs from `person` in build, gait and one to three groups of visible attributes."""
    other = draw_person(rng)
    build = {
        name: getattr(other, name) for name in ("height", "shoulders", "waist", "hips", "bulk", "legs", "head", "gait")
    }
    own = {
        garment: replace(getattr(person, garment), **{name: getattr(getattr(other, garment), name) for name in DETAILS})
        for garment in ("top", "bottom")
    }
    details = replace(other, **own)
    groups = (
        ("top", "under", "under_length", "collar"),
        ("bottom",),
        ("footwear", "shoes_name", "shoes", "socks"),
        ("hair_name", "hair", "haircut", "tufts", "glasses", "skin", "skin_tone"),
        ("bag", "bag_name", "bag_color", "bag_second", "bag_size", "bag_side", "strap", "second_bag"),
        ("hat", "hat_color", "scarf"),
    )
    changed = rng.choice(len(groups), size=int(rng.integers(1, 4)), replace=False)
    names = [name for group in changed for name in groups[group]]
    source = details if rng.random() < 0.5 else other  # half of them keep the garments, with details of their own
    return replace(person, **build, **{name: getattr(source, name) for name in names})


def draw_persons(count: int, *, seed: int, stream: int, lookalikes: float) -> list[Person]:
    """Draw the appearances of `count` identities; the fraction `lookalikes` of them resemble an earlier one.

    The first n of them do not depend on `count`.
    """
    persons: list[Person] = []
    for number in range(count):
        rng = np.random.default_rng([seed, stream, number])
        if persons and rng.random() < lookalikes:
            persons.append(draw_lookalike(persons[int(rng.integers(len(persons)))], rng))
        else:
            persons.append(draw_person(rng))
    return persons


def _draw_scale(rng: np.random.Generator, pattern: str) -> float:
    """Draw the scale of a pattern: repeats per meter, repeats around the body, or a width in meters."""
    ranges = {
        "stripes": (6, 22), "plaid": (5, 12), "pinstripes": (10, 24), "print": (0.05, 0.14), "two-tone": (0.25, 0.75),
        "yoke": (-0.08, 0.08), "open": (0.025, 0.09), "text": (0.05, 0.13), "band": (0.04, 0.11), "dots": (14, 40),
        "camouflage": (8, 18),
    }  # fmt: skip
    return float(rng.uniform(*ranges.get(pattern, (1, 1))))
