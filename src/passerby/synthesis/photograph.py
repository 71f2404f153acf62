"""One image: somebody walks through a camera's picture, a detector cuts a box, and the camera spoils it a little."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import simplejpeg
from numba import njit
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from passerby.synthesis.body import OCCLUDER, PASSER_BY, Pose, build, random_pose
from passerby.synthesis.cameras import Camera
from passerby.synthesis.palette import CLOTH, LOWER, dye, pick
from passerby.synthesis.people import Person
from passerby.synthesis.render import View, project, render
from passerby.synthesis.solids import END, ORIGIN, PARTS, REACH, Array, Material, Scene, Solid, pack_solids

COMPANY, IN_FRONT, THING_IN_FRONT, CUT = 0.25, 0.06, 0.06, 0.1
"""Shares of images with a passer-by behind or beside, with one before, with a thing before, with a box cut short."""

_TONES = 4096  # steps of the tone curve


@dataclass(frozen=True)
class Photograph:
    """One crop and everything that is known about it.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8, an index into `PARTS` for every pixel.
        pose: Of the person.
        facing: Where the person looks as the camera sees it, degrees: 0 to it, 90 to the right, 180 away.
        distance: From the lens to the person, meters.
        pixel_height: Of the person in the camera's own picture.
        box: Margins of the crop (left, top, right, bottom) in shares of the person's height; below 0 cuts.
        hidden: Share of the person inside the crop that something hides, 0 to 1.
        seen: Of each of `PARTS`, the share of the crop's area that shows it.
        blur: In pixels of the camera's own picture.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    pose: Pose
    facing: float
    distance: float
    pixel_height: float
    box: tuple[float, float, float, float]
    hidden: float
    seen: tuple[float, ...]
    blur: float

    def row(self) -> dict[str, Any]:
        """The numbers, flat, for a table."""
        left, top, right, bottom = self.box
        return {
            "facing": self.facing, "distance": self.distance, "pixel_height": self.pixel_height, "hidden": self.hidden,
            "margin_left": left, "margin_top": top, "margin_right": right, "margin_bottom": bottom, "blur": self.blur,
            **{name: getattr(self.pose, name) for name in Pose.__dataclass_fields__},
            **{f"seen_{name.replace('-', '_')}": share for name, share in zip(PARTS, self.seen, strict=True)},
        }  # fmt: skip


def photograph(
    person: Person | None,
    camera: Camera,
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    others: tuple[Person, ...] = (),
    samples: int = 2,
) -> Photograph:
    """Take one image of a person in a camera.

    Args:
        person: Who; None is a false detection: a box of somebody's size with nobody in it.
        camera: Where.
        rng: Decides the moment, the box, who else is there.
        size: (height, width) of the crop in pixels.
        others: Who may walk by.
        samples: Rays across a pixel.
    """
    x, z, heading = _place(camera, rng)
    scene = Scene()
    pose = random_pose(rng, person or others[0], x=x, z=z, heading=heading)
    build(scene, person or others[0], pose)
    body = pack_solids(scene.solids)
    scene.solids.clear()
    _fill(scene, camera, rng, pose, others)
    solids = np.concatenate([body[: 0 if person is None else None], pack_solids(scene.solids)])
    view, box = _frame(body, camera, rng, size=size)
    light = camera.around.light.copy()
    light[3:] *= math.exp(rng.normal(0, 0.2))
    around = replace(camera.around, light=light)
    linear, mask, counts = render(
        solids,
        scene.pack_materials(),
        view,
        around,
        size=size,
        person=0 if person is None else len(body),
        samples=samples,
    )
    distance = float(np.linalg.norm([x, camera.height - 0.9, z]))
    pixel_height = camera.pixels * math.hypot(camera.lane[0], camera.lane[1]) / distance
    whole = 1.0 + max(0.0, box[1]) + max(0.0, box[3])
    blur = camera.blur * float(rng.uniform(0.6, 1.5))
    toward = math.degrees((math.atan2(-x, -z) - pose.heading + math.pi) % (2 * math.pi) - math.pi)
    return Photograph(
        pixels=_develop(linear, camera, rng, rows=pixel_height * whole, blur=blur),
        mask=mask,
        pose=pose,
        facing=toward,
        distance=distance,
        pixel_height=pixel_height,
        box=box,
        hidden=float((counts[0] - counts[1]).sum() / max(1.0, counts[0].sum())),
        seen=tuple(np.bincount(mask.ravel(), minlength=len(PARTS)) / mask.size),
        blur=blur,
    )


def _place(camera: Camera, rng: np.random.Generator) -> tuple[float, float, float]:
    """Somewhere on the lane: x, z and heading."""
    x, z, direction = camera.lane
    along, aside = rng.uniform(-0.5, 0.5) * camera.length, rng.normal(0, 0.5)
    x += along * math.sin(direction) + aside * math.cos(direction)
    z += along * math.cos(direction) - aside * math.sin(direction)
    turned = direction if rng.random() < camera.forward else direction + math.pi
    return float(x), float(max(z, 2.5)), float(turned + rng.normal(0, 0.25))


def _fill(scene: Scene, camera: Camera, rng: np.random.Generator, pose: Pose, others: tuple[Person, ...]) -> None:
    """What else is there: the place's things, somebody who walks by, something that stands in the way."""
    first = len(scene.materials)
    scene.materials += camera.materials
    scene.solids += [
        each._replace(look=(each.look[0] + first, each.look[1] + first, each.look[2])) for each in camera.objects
    ]

    def bystander(x: float, z: float, part: int) -> None:
        other = others[int(rng.integers(len(others)))]
        turn = pose.heading + float(rng.choice([0.0, math.pi])) + float(rng.normal(0, 0.3))
        build(scene, other, random_pose(rng, other, x=x, z=z, heading=turn), part=part)

    side = float(rng.choice([-1.0, 1.0]))
    if others and rng.random() < COMPANY:
        bystander(pose.x + side * rng.uniform(0.35, 1.1), pose.z + rng.uniform(0.2, 4.0), PASSER_BY)
    if others and rng.random() < IN_FRONT and pose.z > 3.5:
        bystander(pose.x * 0.85 - side * rng.uniform(0.2, 0.45), pose.z * 0.85, PASSER_BY)
    if rng.random() < THING_IN_FRONT and pose.z > 3.5:
        look = scene.material(Material(dye(rng, CLOTH[pick(rng, LOWER)], spread=0.1), gloss=0.2))
        x, z = pose.x * 0.85 + side * rng.uniform(0.0, 0.3), pose.z * 0.85
        if rng.random() < 0.5:  # a pole, or something low: a bench, a bicycle, the bonnet of a car
            ends, radius, stretch = ((x, 0.0, z), (x, 4.0, z)), rng.uniform(0.03, 0.12), (1.0, 1.0)
        else:
            wide, tall = rng.uniform(0.3, 0.9), rng.uniform(0.15, 0.4)
            ends, radius, stretch = ((x - wide, tall, z), (x + wide, tall, z)), 0.9 * tall, (1.0, 0.8)
        scene.solids.append(Solid(*ends, (radius, radius), OCCLUDER, (look, look, 1.0), stretch=stretch))


def _frame(
    body: Array, camera: Camera, rng: np.random.Generator, *, size: tuple[int, int]
) -> tuple[View, tuple[float, float, float, float]]:
    """The detector's box around a body, as a view; and its margins in shares of the person's height."""
    aim = np.array([camera.lane[0], 0.9 - camera.height, camera.lane[1]])
    forward = aim / np.linalg.norm(aim)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    roll = rng.normal(0, 0.02)
    up = np.cross(forward, right)
    right, up = math.cos(roll) * right + math.sin(roll) * up, math.cos(roll) * up - math.sin(roll) * right
    view = View(np.array([0.0, camera.height, 0.0]), np.stack([right, up, forward]), (0.0, 0.0, 0.0, 0.0))
    ends = np.concatenate([body[:, ORIGIN : ORIGIN + 3], body[:, END : END + 3]])
    reach = np.concatenate([body[:, REACH], body[:, REACH + 1]]) * 0.8  # radii bound the widest side
    at = project(ends, view)
    away = reach / np.linalg.norm(ends - view.position, axis=1)
    (left, low), (side, high) = (at - away[:, None]).min(axis=0), (at + away[:, None]).max(axis=0)
    tall, middle = high - low, 0.5 * (left + side)
    mean, spread, aspect = camera.box
    top, bottom, before, after = (float(margin) for margin in rng.normal(mean, spread, 4))
    if rng.random() < CUT:
        bottom -= float(rng.uniform(0.05, 0.35))
    if aspect:  # boxes of one shape, around the middle of the person
        wide = aspect * tall * (1 + top + bottom)
        middle += float(rng.normal(0, 0.5 * spread)) * tall
        left, side = middle - wide / 2, middle + wide / 2
    else:
        left, side = left - before * tall, side + after * tall
        narrow = 0.5 * max(0.0, 0.3 * tall - (side - left))
        left, side = left - narrow, side + narrow
    window = (float(left), float(side), float(high + top * tall), float(low - bottom * tall))
    return replace(view, window=window), (before, top, after, bottom)


@njit(cache=True, nogil=True, error_model="numpy")
def _tone(linear: Any, table: Any, gains: Any, saturation: Any) -> Any:
    """(H, W, 3) light through the white balance, the tone curve and the saturation, to uint8."""
    pixels = np.empty(linear.shape, dtype=np.uint8)
    last = len(table) - 1
    tone = np.empty(3, dtype=np.float32)
    for i in range(linear.shape[0]):
        for j in range(linear.shape[1]):
            for c in range(3):
                tone[c] = table[int(min(linear[i, j, c] * gains[c] * last, last))]
            gray = 0.299 * tone[0] + 0.587 * tone[1] + 0.114 * tone[2]
            for c in range(3):
                value = gray + saturation * (tone[c] - gray)
                pixels[i, j, c] = int(255.0 * min(max(value, 0.0), 1.0))
    return pixels


@njit(cache=True, nogil=True, error_model="numpy")
def _noisy(pixels: Any, noise: Any, scale: Any) -> Any:
    found = np.empty(pixels.shape, dtype=np.uint8)
    for i in range(pixels.shape[0]):
        for j in range(pixels.shape[1]):
            for c in range(3):
                found[i, j, c] = int(min(max(pixels[i, j, c] + scale * noise[i, j, c], 0.0), 255.0))
    return found


@lru_cache(maxsize=4096)
def _curve(haze: float, contrast: float, gamma: float) -> NDArray[np.float32]:
    """(_TONES,) what a camera makes of linear light from 0 to 1."""
    table = np.clip(np.linspace(0, 1, _TONES, dtype=np.float32) * (1 - haze) + 0.8 * haze, 0, 1)
    return np.asarray(np.clip(0.5 + contrast * (table ** (gamma / 2.2) - 0.5), 0, 1), dtype=np.float32)


def _develop(
    linear: NDArray[np.float32], camera: Camera, rng: np.random.Generator, *, rows: float, blur: float
) -> NDArray[np.uint8]:
    """Light to pixels as this camera makes them: tone, color, its own resolution, blur, noise, sharpening, JPEG."""
    gains = camera.gains * np.float32(math.exp(rng.normal(0, 0.06)))
    table = _curve(camera.haze, camera.contrast, camera.gamma)
    height, width = linear.shape[:2]
    image = Image.fromarray(_tone(linear, table, gains.astype(np.float32), np.float32(camera.saturation)))
    own = min(1.0, rows / height)
    small = (max(8, round(width * own)), max(16, round(height * own)))
    if small != (width, height):
        image = image.resize(small, Image.Resampling.BOX)
    sigma = blur * max(1.0, height / rows)  # a picture finer than the crop is blurred less than it says
    image = image.filter(ImageFilter.GaussianBlur(min(sigma, blur)))
    if camera.sharpening > 0.05:
        image = image.filter(ImageFilter.UnsharpMask(radius=1.2, percent=int(100 * camera.sharpening), threshold=0))
    noise = rng.standard_normal((small[1], small[0], 3), dtype=np.float32)
    spoiled = _noisy(np.asarray(image), noise, np.float32(camera.noise * min(1.0, height / rows)))
    quality = int(np.clip(camera.quality + rng.integers(-8, 9), 20, 98))
    spoiled = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(spoiled, quality=quality, colorspace="RGB"), "RGB")
    if small != (width, height):
        spoiled = np.asarray(Image.fromarray(spoiled).resize((width, height), Image.Resampling.BICUBIC))
    return np.ascontiguousarray(spoiled)
