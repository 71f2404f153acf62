"""Appearance of an identity, equal in all its images: build, skin, hair, clothes and bag."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from passerby.synthesis.garments import DETAILS, Garment, draw_bottom, draw_top
from passerby.synthesis.palette import (
    BAG_COLOR_WEIGHTS,
    CLOTH_COLORS,
    HAIR_COLOR_WEIGHTS,
    HAIR_COLORS,
    SHOE_COLOR_WEIGHTS,
    SKIN_TONE_WEIGHTS,
    SKIN_TONES,
    TOP_COLOR_WEIGHTS,
    Weights,
    draw_key,
    vary_color,
)
from passerby.synthesis.solids import Vector

HAIRCUTS: Weights = {"short": 11, "bald": 1, "bob": 4, "long": 7, "ponytail": 3, "bun": 2}
HATS: Weights = {"none": 22, "cap": 2, "beanie": 1.3, "hat": 0.7}
BAG_KINDS: Weights = {"none": 10, "backpack": 7, "shoulder": 5, "tote": 3, "hand": 3}
FOOTWEAR: Weights = {"trainers": 10, "shoes": 6, "boots": 3, "sandals": 1}


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
