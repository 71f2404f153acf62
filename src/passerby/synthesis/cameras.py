"""Cameras: the scene with its light and walking lane, and the properties of lens, sensor and detector."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from passerby.synthesis.body_frame import OCCLUDER
from passerby.synthesis.palette import BOTTOM_COLOR_WEIGHTS, CLOTH_COLORS, draw_key, vary_color
from passerby.synthesis.render import Surroundings
from passerby.synthesis.solids import Array, Material, Scene, Solid, Vector
from passerby.synthesis.surfaces import PLANTS

GROUNDS: tuple[Vector, ...] = (
    (0.36, 0.36, 0.37), (0.52, 0.51, 0.49), (0.62, 0.58, 0.52), (0.46, 0.36, 0.30), (0.30, 0.34, 0.24),
    (0.70, 0.69, 0.67), (0.26, 0.26, 0.28), (0.55, 0.46, 0.36),
)  # fmt: skip
WALLS: tuple[Vector, ...] = (
    (0.78, 0.77, 0.74), (0.58, 0.57, 0.56), (0.66, 0.55, 0.44), (0.48, 0.32, 0.26), (0.25, 0.33, 0.22),
    (0.36, 0.40, 0.46), (0.85, 0.83, 0.78), (0.22, 0.22, 0.24), (0.45, 0.47, 0.40),
)  # fmt: skip


@dataclass(frozen=True)
class Camera:
    """One camera.

    Attributes:
        height: Height of the lens above the ground, meters.
        lane: (x, z, direction) of the middle of the lane on which people walk, meters and radians.
        length: Length of the lane, meters.
        forward: Fraction of the people who walk in the direction of `lane`; the others walk in the opposite one.
        around: Ground, wall and light.
        objects: Solids in the scene.
        materials: Materials of the objects.
        pixels: Height in sensor pixels of a person in the middle of the lane.
        box: (mean margin, its standard deviation) of the detector's boxes, as fractions of the person's height, and
            the width of a box as a fraction of its height, 0 for boxes that follow the person.
        gains: (3,) exposure and white balance.
        gamma: Exponent of the tone curve; 1 is the standard curve.
        contrast: Slope of the tone curve at mid gray.
        saturation: 0 is gray, 1 is unchanged.
        haze: Light that the lens adds to all pixels, 0 to 0.3.
        blur: Standard deviation of the lens blur, sensor pixels.
        sharpening: Strength of the camera's sharpening, 0 to 3.
        halo: Radius of the sharpening, sensor pixels.
        metering: How much of a deviation of the mean brightness the exposure corrects, 0 to 1.
        noise: Standard deviation of the sensor noise, gray levels.
        quality: JPEG quality.
        subsampled: Whether the JPEG stores colors at half the resolution.
    """

    height: float
    lane: tuple[float, float, float]
    length: float
    forward: float
    around: Surroundings
    objects: tuple[Solid, ...]
    materials: tuple[Material, ...]
    pixels: float
    box: tuple[float, float, float]
    gains: NDArray[np.float32]
    gamma: float
    contrast: float
    saturation: float
    haze: float
    blur: float
    sharpening: float
    halo: float
    metering: float
    noise: float
    quality: int
    subsampled: bool

    @property
    def elevation(self) -> float:
        """Angle of depression toward the chest of a person in the middle of the lane, radians."""
        return math.atan2(self.height - 0.9, math.hypot(self.lane[0], self.lane[1]))


def draw_camera(rng: np.random.Generator) -> Camera:
    """Draw a camera and its scene."""
    distance = float(rng.uniform(4.5, 16))
    height = float(np.clip(rng.lognormal(1.15, 0.35), 1.5, 7.5))
    direction = float(rng.choice([0.0, math.pi / 2, rng.uniform(-math.pi, math.pi)], p=[0.35, 0.3, 0.35]))
    scene = Scene()
    lane = float(rng.uniform(-0.15, 0.15) * distance), distance, direction
    for _ in range(int(rng.poisson(1.6))):
        _add_object(scene, rng, lane)
    warm = float(rng.normal(0, 0.07))
    gains = float(np.exp(rng.normal(0.0, 0.28))) * np.array([1 + warm, 1 + rng.normal(0, 0.025), 1 - warm])
    return Camera(
        height=height,
        lane=lane,
        length=float(rng.uniform(1.0, 5.0)),
        forward=float(rng.choice([0.5, 0.95, 0.05, 0.8])),
        around=Surroundings(_draw_ground(rng), _draw_wall(rng, distance), _draw_panels(rng), _draw_light(rng)),
        objects=tuple(scene.solids),
        materials=tuple(scene.materials),
        pixels=float(np.clip(rng.lognormal(4.9, 0.45), 45, 320)),
        box=(
            float(rng.normal(0.04, 0.025)),
            float(rng.uniform(0.008, 0.04)),
            float(rng.choice([0.0, rng.uniform(0.35, 0.5)])),
        ),
        gains=gains.astype(np.float32),
        gamma=float(np.clip(rng.normal(1.05, 0.16), 0.7, 1.6)),
        contrast=float(np.clip(rng.normal(1.3, 0.25), 0.8, 2.2)),
        saturation=float(np.clip(rng.normal(0.85, 0.25), 0.25, 1.4)),
        haze=float(max(0.0, rng.normal(0.0, 0.05))),
        blur=float(rng.uniform(0.2, 1.0)),
        sharpening=float(np.clip(rng.normal(0.7, 0.8), 0.0, 3.0)),
        halo=float(rng.uniform(0.7, 2.0)),
        metering=float(rng.uniform(0.2, 0.9)),
        noise=float(rng.uniform(0.5, 6)),
        quality=int(rng.integers(35, 96)),
        subsampled=bool(rng.random() < 0.6),
    )


def _draw_light(rng: np.random.Generator) -> Array:
    """Draw sun, an overcast sky or indoor lamps: (12,), see `Surroundings`."""
    kind = rng.choice(["sun", "overcast", "indoors"], p=[0.35, 0.35, 0.3])
    turn = rng.uniform(0, 2 * math.pi)
    rise = {"sun": rng.uniform(0.4, 1.2), "overcast": rng.uniform(0.7, 1.5), "indoors": rng.uniform(1.0, 1.5)}[kind]
    lamp = {"sun": rng.uniform(0.7, 1.3), "overcast": rng.uniform(0.1, 0.4), "indoors": rng.uniform(0.2, 0.6)}[kind]
    above = {"sun": rng.uniform(0.2, 0.5), "overcast": rng.uniform(0.55, 0.95), "indoors": rng.uniform(0.3, 0.7)}[kind]
    warm = rng.normal(0.04 if kind != "overcast" else -0.02, 0.06)
    tint = np.array([1 + warm, 1.0, 1 - warm])
    toward = (math.cos(rise) * math.sin(turn), math.sin(rise), math.cos(rise) * math.cos(turn))
    cool = np.array([0.96, 1.0, 1.06]) if kind == "sun" else tint
    return np.concatenate([toward, lamp * tint, above * cool, above * rng.uniform(0.25, 0.6) * tint])


def _draw_ground(rng: np.random.Generator) -> Array:
    base = np.array(vary_color(rng, GROUNDS[rng.integers(len(GROUNDS))])) ** 2.2
    other = base * rng.uniform(0.45, 1.35)
    pattern = rng.choice(5, p=[0.35, 0.25, 0.13, 0.17, 0.1])
    return np.array([pattern, rng.uniform(0.8, 4.5), rng.uniform(0, math.pi), *base, *other, rng.uniform(0.15, 0.7)])


def _draw_wall(rng: np.random.Generator, distance: float) -> Array:
    turn = rng.normal(0, 0.35)
    normal = math.sin(turn), -math.cos(turn)
    color = np.array(vary_color(rng, WALLS[rng.integers(len(WALLS))], spread=0.06)) ** 2.2
    away = distance + rng.choice([rng.uniform(1.5, 4), rng.uniform(4, 14)])
    height = rng.choice([rng.uniform(0.7, 1.4), rng.uniform(2.5, 9)], p=[0.25, 0.75])
    return np.array([0.0, away, *normal, *color, rng.uniform(0.05, 0.5), height])


def _draw_panels(rng: np.random.Generator) -> Array:
    """Draw windows, doors, posters, bands, tiles, plants and a railing: (R, 8), see `Surroundings`."""
    panels = []
    if rng.random() < 0.4:  # a band along the whole wall
        low = rng.uniform(0, 1.5)
        panels.append([-50, 50, low, low + rng.uniform(0.05, 1.0), *_draw_paint(rng), 0.0])
    if rng.random() < 0.25:  # a tiled wall
        panels.append([-50, 50, 0, 20, *_draw_paint(rng), rng.uniform(1.5, 7)])
    if rng.random() < 0.25:  # plants
        low, high = rng.choice([0.0, rng.uniform(0, 1.5)]), rng.uniform(0.6, 4)
        green = rng.uniform(0.03, 0.15, 3) * np.array([0.9, 1.3, 0.6])
        panels.append([rng.uniform(-12, 1), rng.uniform(1, 12), low, low + high, *green, PLANTS])
    if rng.random() < 0.2:  # a railing
        high, bars = rng.uniform(0.9, 1.4), -rng.uniform(4, 12)
        panels.append([-50, 50, 0, high, *_draw_paint(rng), bars])
    if rng.random() < 0.5:  # windows or pillars in a row
        every, wide, low = rng.uniform(1.2, 4), rng.uniform(0.2, 1.2), rng.choice([0.0, rng.uniform(0.4, 1.2)])
        high, color = low + rng.uniform(1.0, 3.0), _draw_paint(rng)
        panes = float(rng.choice([0.0, rng.uniform(0.8, 4)]))
        panels += [[x, x + min(wide, 0.8 * every), low, high, *color, panes] for x in np.arange(-12, 12, every)]
    for _ in range(int(rng.poisson(4))):
        x, low = rng.uniform(-7, 7), rng.choice([0.0, rng.uniform(0, 2.5)])
        panels.append(
            [
                x,
                x + rng.uniform(0.3, 2.0),
                low,
                low + rng.uniform(0.4, 2.2),
                *_draw_paint(rng),
                rng.choice([0, 0, 3, 8]),
            ]
        )
    return np.array(panels, dtype=np.float64).reshape(-1, 8)


def _draw_paint(rng: np.random.Generator) -> list[float]:
    """Draw a color of paint in linear light, mostly less saturated than clothes."""
    color = np.array(CLOTH_COLORS[list(CLOTH_COLORS)[rng.integers(len(CLOTH_COLORS))]])
    gray = rng.uniform(0.3, 1.0) if rng.random() < 0.85 else 0.0
    mixed = (1 - gray) * color + gray * rng.uniform(0.1, 0.9)
    return [channel**2.2 for channel in vary_color(rng, (mixed[0], mixed[1], mixed[2]), spread=0.05)]


def _add_object(scene: Scene, rng: np.random.Generator, lane: tuple[float, float, float]) -> None:
    """Add a pillar, a bin, a bollard or a parked car, beside or behind the lane."""
    x, z = lane[0] + rng.uniform(-4, 4), lane[1] + rng.uniform(1.0, 6.0)
    material = scene.add_material(
        Material(
            vary_color(rng, CLOTH_COLORS[draw_key(rng, BOTTOM_COLOR_WEIGHTS)], spread=0.1),
            gloss=float(rng.uniform(0, 0.6)),
        )
    )
    kind = rng.choice(["pillar", "bin", "car", "bollard"])
    if kind == "car":
        for size, y in (((0.75, 0.4), 0.55), ((0.45, 0.35), 1.05)):
            ends = (x - 1.2 * size[0] / 0.75, y, z), (x + 1.2 * size[0] / 0.75, y, z)
            scene.solids.append(
                Solid(*ends, (size[1], size[1]), OCCLUDER, (material, material, 1.0), stretch=(1.0, 1.8))
            )
        return
    height, radius = {"pillar": (6.0, rng.uniform(0.08, 0.4)), "bin": (0.9, 0.3), "bollard": (0.9, 0.09)}[kind]
    scene.solids.append(Solid((x, 0.0, z), (x, height, z), (radius, radius), OCCLUDER, (material, material, 1.0)))
