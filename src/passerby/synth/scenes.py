"""Simple cameras for the drawn people: a place, its light, and what the lens and the detector do to a crop."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from passerby.synth.figures import Colour, Person, Pose, draw_person, shade

OVERSAMPLING = 4
"""Drawn this many times too large and then averaged down, because Pillow draws without antialiasing."""


@dataclass(frozen=True)
class Camera:
    """One camera: its place, larger than a crop so that each crop sees another piece of it, and its picture.

    Attributes:
        place: RGB, twice as wide as a crop.
        facing: Where people here mostly look, radians (0 to the camera, pi away from it).
        scale: How much of the crop's height a person fills.
        gains: (3,) brightness and white balance, multiplied.
        gamma: Exponent of the tone curve.
        blur: Radius of the Gaussian blur, pixels of the finished crop.
        noise: Standard deviation of the noise, grey levels.
        light: (H, W, 1) light that falls in from a side, multiplied.
    """

    place: Image.Image
    facing: float
    scale: float
    gains: NDArray[np.float32]
    gamma: float
    blur: float
    noise: float
    light: NDArray[np.float32]


def random_camera(rng: np.random.Generator, size: tuple[int, int]) -> Camera:
    """Draw a camera whose crops have `size` = (height, width) pixels."""
    balance = rng.normal(0, 0.06)  # warm or cold
    gains = float(rng.uniform(0.75, 1.2)) * np.array([1 + balance, 1 + rng.normal(0, 0.02), 1 - balance])
    across = np.linspace(-1, 1, size[1]) * rng.uniform(-0.22, 0.22)
    down = np.linspace(-1, 1, size[0]) * rng.uniform(-0.16, 0.1)
    return Camera(
        place=_place(rng, (size[0] * OVERSAMPLING, 2 * size[1] * OVERSAMPLING)),
        facing=float(rng.uniform(-math.pi, math.pi)),
        scale=float(rng.uniform(0.8, 0.92)),
        gains=gains.astype(np.float32),
        gamma=float(rng.uniform(0.85, 1.2)),
        blur=float(rng.choice([0.0, 0.3, 0.5, 0.8])) * size[0] / 128,
        noise=float(rng.uniform(2, 6)),
        light=(1 + across[None, :, None] + down[:, None, None]).astype(np.float32),
    )


def photograph(person: Person, camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """One crop of a person in a camera: (H, W, 3) uint8 RGB.

    Pose, the detector's offset and an occluder (one image in eight) are drawn from `rng`.
    """
    canvas = _piece(camera, rng)
    pose = _pose(person, camera, rng)
    _shadow(canvas, pose)
    draw_person(canvas, person, pose)
    if rng.random() < 0.125:
        _occlude(canvas, rng)
    small = canvas.reduce(OVERSAMPLING)
    if camera.blur:
        small = small.filter(ImageFilter.GaussianBlur(camera.blur * rng.uniform(0.6, 1.4)))
    curve = (np.arange(256, dtype=np.float32) / 255) ** camera.gamma * 255
    pixels = curve[np.asarray(small)] * camera.light * (camera.gains * np.float32(rng.normal(1, 0.05)))
    return _grain(pixels, camera, rng)


def distract(camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A false detection: a piece of the place without anybody in it, behind an occluder. (H, W, 3) uint8 RGB."""
    canvas = _piece(camera, rng)
    _occlude(canvas, rng)
    pixels = np.asarray(canvas.reduce(OVERSAMPLING), dtype=np.float32) * camera.light * camera.gains
    return _grain(pixels, camera, rng)


def _grain(pixels: NDArray[np.float32], camera: Camera, rng: np.random.Generator) -> NDArray[np.uint8]:
    noisy = pixels + rng.standard_normal(pixels.shape, dtype=np.float32) * camera.noise
    rounded: NDArray[np.uint8] = np.clip(noisy, 0, 255).astype(np.uint8)
    return rounded


def _pose(person: Person, camera: Camera, rng: np.random.Generator) -> Pose:
    height = camera.scale * person.height * rng.uniform(0.94, 1.06)
    stride = rng.uniform(-0.45, 0.45)
    return Pose(
        centre=float(rng.normal(0, 0.018)),
        feet=float(0.5 + height / 2 + rng.normal(0, 0.016)),
        height=float(height),
        facing=camera.facing + float(rng.normal(0, 0.5)),
        legs=float(stride),
        arms=float(stride * rng.uniform(0.3, 1.1)),
        lean=float(rng.normal(0, 0.012)),
    )


def _piece(camera: Camera, rng: np.random.Generator) -> Image.Image:
    left = int(rng.integers(0, camera.place.width // 2 + 1))
    return camera.place.crop((left, 0, left + camera.place.width // 2, camera.place.height))


def _shadow(canvas: Image.Image, pose: Pose) -> None:
    """Darken the ground under the feet."""
    x, y = canvas.width / 2 + pose.centre * canvas.height, pose.feet * canvas.height
    rx, ry = 0.13 * canvas.height, 0.018 * canvas.height
    ground = canvas.getpixel((min(max(int(x), 0), canvas.width - 1), min(int(y), canvas.height - 1)))
    assert isinstance(ground, tuple)
    ImageDraw.Draw(canvas).ellipse((x - rx, y - ry, x + rx, y + ry), fill=tuple(round(0.68 * c) for c in ground))


def _occlude(canvas: Image.Image, rng: np.random.Generator) -> None:
    """A pole, or a wall or hedge in front of the legs."""
    pen, (width, height) = ImageDraw.Draw(canvas), canvas.size
    grey = int(rng.integers(50, 150))
    colour: Colour = (grey, grey + int(rng.integers(-8, 20)), grey + int(rng.integers(-12, 8)))
    if rng.random() < 0.5:
        left, wide = rng.uniform(0, 0.85) * width, rng.uniform(0.08, 0.2) * width
        pen.rectangle((left, 0, left + wide, height), fill=colour)
        pen.rectangle((left + 0.65 * wide, 0, left + wide, height), fill=shade(colour, 0.8))
    else:
        top = rng.uniform(0.68, 0.85) * height
        pen.rectangle((0, top, width, height), fill=colour)
        pen.rectangle((0, top, width, top + 0.025 * height), fill=shade(colour, 1.15))


def _place(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """A wall with things on it, a floor, and their texture."""
    height, width = size
    grey = rng.uniform(70, 190, 2)
    tint = rng.normal(0, 5, (2, 3))
    wall, floor = (np.clip(grey[i] + tint[i], 20, 235).astype(int) for i in range(2))
    horizon = float(rng.uniform(0.35, 0.72)) * height
    image = Image.new("RGB", (width, height), tuple(wall.tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(3, 8))):  # doors, windows, posters, cars
        left, wide = rng.uniform(0, 1) * width, rng.uniform(0.05, 0.25) * width
        top, high = rng.uniform(-0.1, 0.8) * horizon, rng.uniform(0.1, 0.7) * horizon
        colour = np.clip(wall * rng.uniform(0.55, 1.35) + rng.normal(0, 12, 3), 10, 245).astype(int)
        pen.rectangle((left, top, left + wide, min(top + high, horizon)), fill=tuple(colour.tolist()))
    pen.rectangle((0, horizon, width, height), fill=tuple(floor.tolist()))
    dark = tuple((floor * rng.uniform(0.75, 0.95)).astype(int).tolist())
    if rng.random() < 0.6:  # paving that runs to the horizon
        for x in np.arange(-width, 2 * width, width * rng.uniform(0.06, 0.16)):
            pen.line((width / 2 + (x - width / 2) * 0.45, horizon, x, height), fill=dark, width=max(1, height // 170))
        for step in np.linspace(0.1, 0.95, int(rng.integers(3, 7))) ** 1.7:
            y = horizon + step * (height - horizon)
            pen.line((0, y, width, y), fill=dark, width=max(1, height // 170))
    rough = rng.normal(0, 4, (height // 16 + 1, width // 16 + 1, 1)).astype(np.float32)
    stain = np.asarray(Image.fromarray(rough[:, :, 0]).resize((width, height), Image.Resampling.BICUBIC))
    return Image.fromarray(np.clip(np.asarray(image, np.float32) + stain[:, :, None], 0, 255).astype(np.uint8))
