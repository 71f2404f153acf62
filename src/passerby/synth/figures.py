"""Simple drawn people: who somebody is (`Person`), how somebody stands in one image (`Pose`), and the drawing.

A figure is drawn with Pillow on a canvas several times too large, in shares of the canvas height, and then made small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
T = TypeVar("T")

UPPER = {  # colour -> how often it is worn; people mostly wear dark things, which is what makes the task hard
    (28, 28, 31): 20, (62, 64, 68): 12, (34, 42, 72): 12, (226, 226, 222): 12, (128, 130, 132): 9, (74, 92, 126): 6,
    (150, 42, 44): 6, (92, 70, 52): 5, (70, 96, 70): 4, (190, 172, 142): 5, (60, 120, 176): 4, (214, 176, 60): 2,
    (206, 120, 150): 3,
}  # fmt: skip
LOWER = {
    (26, 26, 30): 24, (44, 52, 80): 22, (84, 104, 140): 16, (66, 66, 70): 12, (150, 136, 110): 8, (122, 124, 128): 6,
    (206, 204, 198): 4, (92, 66, 50): 4, (120, 44, 56): 2,
}  # fmt: skip
SHOES = {(30, 28, 28): 10, (228, 226, 220): 8, (96, 70, 50): 4, (110, 112, 118): 4, (160, 50, 50): 1}
BAGS = {(32, 32, 36): 6, (110, 78, 52): 4, (60, 74, 110): 3, (140, 46, 46): 2, (196, 180, 150): 2}
SKIN = {(238, 204, 180): 5, (222, 180, 148): 5, (188, 140, 106): 3, (136, 96, 70): 2, (92, 64, 48): 2}
HAIR = {(26, 22, 20): 10, (62, 42, 30): 7, (112, 78, 48): 4, (176, 144, 92): 2, (150, 148, 146): 1}

PATTERNS = {"plain": 9, "stripes": 3, "block": 2, "open": 4, "print": 3}
BAG_KINDS = {"none": 8, "backpack": 4, "shoulder": 3, "hand": 2}
LEGWEAR = {"trousers": 9, "shorts": 2, "skirt": 3}
SLEEVES = {"long": 7, "short": 4}
HAIRCUTS = {"short": 6, "long": 4, "cap": 1}


@dataclass(frozen=True)
class Person:
    """What stays the same in every image of one identity; lengths are shares of the figure's height."""

    upper: Colour
    second: Colour
    lower: Colour
    shoes: Colour
    bag_colour: Colour
    skin: Colour
    hair: Colour
    pattern: str
    bag: str
    legwear: str
    sleeves: str
    haircut: str
    height: float
    shoulders: float
    waist: float
    legs: float


@dataclass(frozen=True)
class Pose:
    """How the person stands in one image: `facing` in radians (0 to the camera, pi away), swings in radians."""

    centre: float
    feet: float
    height: float
    facing: float
    legs: float
    arms: float
    lean: float


def random_person(rng: np.random.Generator) -> Person:
    """Draw an identity."""
    return Person(
        upper=_colour(rng, UPPER),
        second=_colour(rng, UPPER),
        lower=_colour(rng, LOWER),
        shoes=_colour(rng, SHOES),
        bag_colour=_colour(rng, BAGS),
        skin=_colour(rng, SKIN),
        hair=_colour(rng, HAIR),
        pattern=_pick(rng, PATTERNS),
        bag=_pick(rng, BAG_KINDS),
        legwear=_pick(rng, LEGWEAR),
        sleeves=_pick(rng, SLEEVES),
        haircut=_pick(rng, HAIRCUTS),
        height=float(rng.uniform(0.92, 1.06)),
        shoulders=float(rng.uniform(0.105, 0.145)),
        waist=float(rng.uniform(0.08, 0.125)),
        legs=float(rng.uniform(0.46, 0.51)),
    )


def lookalike(person: Person, rng: np.random.Generator) -> Person:
    """Another identity in the same clothes, told apart by what is carried, hair, shoes and build."""
    other = random_person(rng)
    return replace(other, upper=person.upper, lower=person.lower, legwear=person.legwear, sleeves=person.sleeves)


def draw_person(canvas: Image.Image, person: Person, pose: Pose) -> None:
    """Draw the figure onto an RGB canvas, back to front."""
    pen = _Pen(canvas, person, pose)
    back = math.cos(pose.facing) < 0
    if person.bag == "backpack" and not back:
        pen.backpack()
    if person.haircut == "long" and not back:
        pen.long_hair()
    pen.arm(-1)
    pen.leg(-1)
    pen.leg(1)
    if person.legwear == "skirt":
        pen.skirt()
    pen.torso()
    pen.pattern(back=back)
    pen.head(back=back)
    if person.bag == "backpack" and back:
        pen.backpack()
    elif person.bag == "backpack":
        pen.straps()
    elif person.bag == "shoulder":
        pen.shoulder_bag(back=back)
    pen.arm(1)
    if person.bag == "hand":
        pen.hand_bag()


class _Pen:
    """Draws the parts of one person; x to the right and y upwards from between the feet, in figure heights."""

    def __init__(self, canvas: Image.Image, person: Person, pose: Pose) -> None:
        self.draw = ImageDraw.Draw(canvas)
        self.person = person
        self.pose = pose
        self.unit = canvas.height * pose.height
        self.origin = (canvas.width / 2 + pose.centre * canvas.height, canvas.height * pose.feet)
        self.turn = 0.62 + 0.38 * abs(math.cos(pose.facing))  # somebody seen from the side is narrower
        self.side = math.copysign(1.0, math.sin(pose.facing))  # which way the nose points
        self.shoulder = 0.81
        self.half = person.shoulders * self.turn

    def at(self, x: float, y: float) -> Point:
        """Canvas pixel of a place on the body."""
        x += self.pose.lean * y
        return self.origin[0] + x * self.unit, self.origin[1] - y * self.unit

    def polygon(self, points: list[Point], colour: Colour) -> None:
        self.draw.polygon([self.at(x, y) for x, y in points], fill=colour)

    def disc(self, x: float, y: float, radius: Point, colour: Colour) -> None:
        centre = self.at(x, y)
        rx, ry = radius[0] * self.unit, radius[1] * self.unit
        self.draw.ellipse((centre[0] - rx, centre[1] - ry, centre[0] + rx, centre[1] + ry), fill=colour)

    def limb(self, start: Point, end: Point, widths: tuple[float, float], colour: Colour) -> None:
        """A tapered limb with round ends."""
        dx, dy = end[0] - start[0], end[1] - start[1]
        length = math.hypot(dx, dy) or 1.0
        nx, ny = -dy / length, dx / length
        a, b = widths[0] / 2, widths[1] / 2
        self.polygon(
            [
                (start[0] + nx * a, start[1] + ny * a),
                (end[0] + nx * b, end[1] + ny * b),
                (end[0] - nx * b, end[1] - ny * b),
                (start[0] - nx * a, start[1] - ny * a),
            ],
            colour,
        )
        self.disc(*start, (a, a), colour)
        self.disc(*end, (b, b), colour)

    def leg(self, which: int) -> None:
        person, swing = self.person, self.pose.legs * which
        near = 1.0 if which > 0 else 0.8  # the leg behind lies in the shade
        hip = (which * self.half * 0.42, person.legs)
        forward = math.sin(swing) * (0.35 + 0.65 * abs(math.sin(self.pose.facing))) * self.side
        half_leg = person.legs / 2
        knee = (hip[0] + forward * half_leg, hip[1] - half_leg)
        ankle = (knee[0] + (forward - abs(forward) * 0.3 * self.side) * half_leg, 0.035 + max(0.0, -swing) * 0.04)
        bare = person.legwear != "trousers"
        self.limb(hip, knee, (0.092, 0.068), shade(person.lower if person.legwear != "skirt" else person.skin, near))
        self.limb(knee, ankle, (0.064, 0.046), shade(person.skin if bare else person.lower, near))
        toe = 0.028 * self.side * abs(math.sin(self.pose.facing))
        self.disc(ankle[0] + toe, ankle[1] - 0.018, (0.034 + abs(toe) * 0.5, 0.02), shade(person.shoes, near))

    def skirt(self) -> None:
        person, top, hem = self.person, self.person.legs + 0.04, self.person.legs - 0.17
        wide = self.half * 1.05 + 0.02
        self.polygon([(-wide * 0.75, top), (wide * 0.75, top), (wide, hem), (-wide, hem)], person.lower)

    def arm(self, which: int) -> None:
        person, swing = self.person, -self.pose.arms * which
        near = 1.0 if which > 0 else 0.82
        start = (which * (self.half - 0.006), self.shoulder - 0.025)
        forward = math.sin(swing) * (0.3 + 0.7 * abs(math.sin(self.pose.facing))) * self.side
        elbow = (start[0] + forward * 0.16 + which * 0.02, start[1] - 0.165)
        hand = (elbow[0] + (forward + 0.25 * abs(forward) * self.side) * 0.15 + which * 0.004, elbow[1] - 0.15)
        sleeve = self.sleeve()
        self.limb(elbow, hand, (0.046, 0.036), shade(sleeve if person.sleeves == "long" else person.skin, near))
        self.limb(start, elbow, (0.066, 0.052), shade(sleeve, near))
        self.disc(*hand, (0.02, 0.024), shade(person.skin, near))
        self.hand = hand

    def sleeve(self) -> Colour:
        return self.person.second if self.person.pattern == "block" else self.person.upper

    def torso(self) -> None:
        person, half, hip = self.person, self.half, self.person.legs - 0.035
        waist = person.waist * self.turn
        edge = [(half * 0.55, 0.852), (half, self.shoulder), (waist, 0.64), (waist * 1.04, hip)]
        self.polygon(edge + [(-x, y) for x, y in reversed(edge)], person.upper)
        self.polygon([(-half, self.shoulder), (-half * 0.5, 0.84), (-waist * 0.45, hip), (-waist * 1.04, hip)],
                     shade(person.upper, 0.86))  # fmt: skip

    def pattern(self, *, back: bool) -> None:
        person, hip = self.person, self.person.legs - 0.035
        waist = person.waist * self.turn
        if person.pattern == "stripes":
            for y in np.arange(hip + 0.02, self.shoulder, 0.052):
                self.polygon([(-waist, y), (waist, y), (waist, y + 0.022), (-waist, y + 0.022)], person.second)
        elif person.pattern == "open" and not back:
            shift = 0.3 * waist * math.sin(self.pose.facing)
            self.polygon(
                [(shift - 0.03, 0.85), (shift + 0.03, 0.85), (shift + 0.042, hip), (shift - 0.042, hip)], person.second
            )
        elif person.pattern == "print" and not back:
            shift = 0.5 * waist * math.sin(self.pose.facing)
            self.disc(shift, 0.71, (0.045 * self.turn, 0.04), person.second)

    def head(self, *, back: bool) -> None:
        person, turned = self.person, math.sin(self.pose.facing)
        self.limb((0, 0.84), (0, 0.88), (0.05, 0.05), shade(person.skin, 0.85))
        self.disc(0, 0.925, (0.054, 0.07), person.skin)
        if back:
            self.disc(0, 0.94, (0.058, 0.062), person.hair)
            if person.haircut == "long":
                self.polygon([(-0.058, 0.94), (0.058, 0.94), (0.05, 0.82), (-0.05, 0.82)], person.hair)
        else:
            self.disc(-0.02 * turned, 0.962, (0.058, 0.04), person.hair)
            self.limb((-0.05 * turned, 0.965), (-0.05 * turned, 0.91), (0.05, 0.02), person.hair)
        if person.haircut == "cap":
            self.disc(0, 0.966, (0.06, 0.04), person.bag_colour)
            if not back:
                self.disc(0.04 * turned, 0.953, (0.058, 0.014), shade(person.bag_colour, 0.8))

    def long_hair(self) -> None:
        self.disc(0, 0.935, (0.064, 0.066), self.person.hair)
        self.polygon([(-0.064, 0.93), (0.064, 0.93), (0.058, 0.8), (-0.058, 0.8)], self.person.hair)

    def backpack(self) -> None:
        shift = -0.9 * self.half * math.sin(self.pose.facing)
        x, y = self.at(shift, 0.715)
        rx, ry = (0.075 + 0.02 * abs(math.cos(self.pose.facing))) * self.unit, 0.115 * self.unit
        box = (x - rx, y - ry, x + rx, y + ry)
        self.draw.rounded_rectangle(box, radius=0.035 * self.unit, fill=self.person.bag_colour)
        pocket = (x - rx * 0.7, y + ry * 0.1, x + rx * 0.7, y + ry * 0.8)
        self.draw.rounded_rectangle(pocket, radius=0.02 * self.unit, fill=shade(self.person.bag_colour, 0.8))

    def straps(self) -> None:
        for which in (-1, 1):
            x = which * self.half * 0.55
            self.limb((x, 0.84), (x * 1.15, 0.67), (0.026, 0.02), self.person.bag_colour)

    def shoulder_bag(self, *, back: bool) -> None:
        side = -1.0 if back else 1.0
        hip = (side * self.half * 1.1, self.person.legs + 0.02)
        self.limb((-side * self.half * 0.6, 0.835), hip, (0.018, 0.018), shade(self.person.bag_colour, 0.8))
        self.polygon([(hip[0] - 0.06, hip[1] + 0.02), (hip[0] + 0.06, hip[1] + 0.02), (hip[0] + 0.055, hip[1] - 0.1),
                      (hip[0] - 0.055, hip[1] - 0.1)], self.person.bag_colour)  # fmt: skip

    def hand_bag(self) -> None:
        x, y = self.hand
        self.limb((x, y), (x, y - 0.04), (0.014, 0.05), shade(self.person.bag_colour, 0.75))
        self.polygon([(x - 0.055, y - 0.03), (x + 0.055, y - 0.03), (x + 0.065, y - 0.15), (x - 0.065, y - 0.15)],
                     self.person.bag_colour)  # fmt: skip


def shade(colour: Colour, factor: float) -> Colour:
    """A colour made darker (below 1) or lighter (above 1)."""
    r, g, b = (min(255, round(channel * factor)) for channel in colour)
    return r, g, b


def _colour(rng: np.random.Generator, palette: dict[Colour, int]) -> Colour:
    """A colour of the palette, as one particular dye of it."""
    shift = rng.normal(0, 7, 3) + rng.normal(0, 8)
    base = _pick(rng, palette)
    r, g, b = (int(np.clip(channel + move, 4, 250)) for channel, move in zip(base, shift, strict=True))
    return r, g, b


def _pick(rng: np.random.Generator, weights: dict[T, int]) -> T:
    """A key, as often as its weight says."""
    shares = np.array(list(weights.values()), dtype=float)
    return list(weights)[int(rng.choice(len(shares), p=shares / shares.sum()))]
