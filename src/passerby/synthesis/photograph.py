"""One image: a person walks through the view of a camera, a detector cuts a box, and the camera degrades the image."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.synthesis.body import build
from passerby.synthesis.body_frame import OCCLUDER, PASSER_BY
from passerby.synthesis.cameras import Camera
from passerby.synthesis.develop import develop
from passerby.synthesis.joints import find_joints
from passerby.synthesis.palette import BOTTOM_COLOR_WEIGHTS, CLOTH_COLORS, draw_key, vary_color
from passerby.synthesis.persons import Person
from passerby.synthesis.pose import Pose, draw_pose
from passerby.synthesis.render import View, project, render
from passerby.synthesis.solids import END, ORIGIN, PARTS, REACH, Array, Material, Scene, Solid, pack_solids

PROBABILITY_BESIDE = 0.25
"""Of a passer-by beside or behind the person."""
PROBABILITY_IN_FRONT = 0.06
"""Of a passer-by in front of the person."""
PROBABILITY_OBJECT = 0.06
"""Of an object in front of the person."""
PROBABILITY_TRUNCATED = 0.1
"""Of a box that ends above the feet."""


@dataclass(frozen=True)
class Photograph:
    """One crop with its parameters.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        mask: (H, W) uint8, index into `PARTS` of every pixel.
        pose: Pose of the person.
        facing: Heading relative to the camera, degrees: 0 toward it, 90 to the right of the image, 180 away.
        distance: Distance from the lens to the person, meters.
        pixel_height: Height of the person in sensor pixels.
        box: Margins of the crop (left, top, right, bottom) as fractions of the person's height; below 0 truncates.
        hidden: Fraction of the person inside the crop that is occluded, 0 to 1.
        seen: Fraction of the crop's area of each of `PARTS`.
        blur: Standard deviation of the blur, sensor pixels.
        joints: (len(JOINTS), 2) column and row of each joint as fractions of the crop's width and height; below 0 or
            above 1 outside the crop.
        visible: (len(JOINTS),) whether a joint is inside the crop and not hidden, see `find_joints`.
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
    joints: Array
    visible: NDArray[np.bool_]

    def columns(self) -> dict[str, Any]:
        """Return the parameters as columns of a table."""
        left, top, right, bottom = self.box
        return {
            "facing": self.facing, "distance": self.distance, "pixel_height": self.pixel_height, "hidden": self.hidden,
            "margin_left": left, "margin_top": top, "margin_right": right, "margin_bottom": bottom, "blur": self.blur,
            **{name: getattr(self.pose, name) for name in Pose.__dataclass_fields__},
            **{f"seen_{name.replace('-', '_')}": fraction for name, fraction in zip(PARTS, self.seen, strict=True)},
        }  # fmt: skip


def photograph(
    person: Person | None,
    camera: Camera,
    rng: np.random.Generator,
    *,
    size: tuple[int, int],
    passersby: tuple[Person, ...] = (),
    samples: int = 2,
) -> Photograph:
    """Render one image of a person in a camera.

    Args:
        person: The person; None renders a false detection, a box of a person's size without a person.
        camera: The camera and its scene.
        rng: Generator for the pose, the box and the other persons.
        size: (height, width) of the crop in pixels.
        passersby: Persons that may appear beside or in front of the person.
        samples: Rays per pixel in each direction.
    """
    x, z, heading = _draw_position(camera, rng)
    scene = Scene()
    pose = draw_pose(rng, person or passersby[0], x=x, z=z, heading=heading)
    subject = person or passersby[0]
    joints = build(scene, subject, pose)
    body = pack_solids(scene.solids)
    scene.solids.clear()
    _add_surroundings(scene, camera, rng, pose, passersby)
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
    positions, visible = find_joints(joints, solids, view, depth=0.1 * subject.height)
    distance = float(np.linalg.norm([x, camera.height - 0.9, z]))
    pixel_height = camera.pixels * math.hypot(camera.lane[0], camera.lane[1]) / distance
    whole = 1.0 + max(0.0, box[1]) + max(0.0, box[3])
    blur = camera.blur * float(rng.uniform(0.6, 1.5))
    toward = math.degrees((math.atan2(-x, -z) - pose.heading + math.pi) % (2 * math.pi) - math.pi)
    return Photograph(
        pixels=develop(linear, camera, rng, rows=pixel_height * whole, blur=blur),
        mask=mask,
        pose=pose,
        facing=toward,
        distance=distance,
        pixel_height=pixel_height,
        box=box,
        hidden=float((counts[0] - counts[1]).sum() / max(1.0, counts[0].sum())),
        seen=tuple(np.bincount(mask.ravel(), minlength=len(PARTS)) / mask.size),
        blur=blur,
        joints=positions,
        visible=visible if person else np.zeros_like(visible),
    )


def _draw_position(camera: Camera, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a position on the lane and a heading: x, z and radians."""
    x, z, direction = camera.lane
    along, aside = rng.uniform(-0.5, 0.5) * camera.length, rng.normal(0, 0.5)
    x += along * math.sin(direction) + aside * math.cos(direction)
    z += along * math.cos(direction) - aside * math.sin(direction)
    turned = direction if rng.random() < camera.forward else direction + math.pi
    return float(x), float(max(z, 2.5)), float(turned + rng.normal(0, 0.25))


def _add_surroundings(
    scene: Scene, camera: Camera, rng: np.random.Generator, pose: Pose, passersby: tuple[Person, ...]
) -> None:
    """Add the objects of the scene, passers-by and an occluder."""
    first = len(scene.materials)
    scene.materials += camera.materials
    scene.solids += [
        solid._replace(covering=(solid.covering[0] + first, solid.covering[1] + first, solid.covering[2]))
        for solid in camera.objects
    ]

    def add_passerby(x: float, z: float, part: int) -> None:
        other = passersby[int(rng.integers(len(passersby)))]
        turn = pose.heading + float(rng.choice([0.0, math.pi])) + float(rng.normal(0, 0.3))
        build(scene, other, draw_pose(rng, other, x=x, z=z, heading=turn), part=part)

    side = float(rng.choice([-1.0, 1.0]))
    if passersby and rng.random() < PROBABILITY_BESIDE:
        add_passerby(pose.x + side * rng.uniform(0.35, 1.1), pose.z + rng.uniform(0.2, 4.0), PASSER_BY)
    if passersby and rng.random() < PROBABILITY_IN_FRONT and pose.z > 3.5:
        add_passerby(pose.x * 0.85 - side * rng.uniform(0.2, 0.45), pose.z * 0.85, PASSER_BY)
    if rng.random() < PROBABILITY_OBJECT and pose.z > 3.5:
        material = scene.add_material(
            Material(vary_color(rng, CLOTH_COLORS[draw_key(rng, BOTTOM_COLOR_WEIGHTS)], spread=0.1), gloss=0.2)
        )
        x, z = pose.x * 0.85 + side * rng.uniform(0.0, 0.3), pose.z * 0.85
        if rng.random() < 0.5:  # a pole, or a low object such as a bench or a bicycle
            ends, radius, stretch = ((x, 0.0, z), (x, 4.0, z)), rng.uniform(0.03, 0.12), (1.0, 1.0)
        else:
            wide, tall = rng.uniform(0.3, 0.9), rng.uniform(0.15, 0.4)
            ends, radius, stretch = ((x - wide, tall, z), (x + wide, tall, z)), 0.9 * tall, (1.0, 0.8)
        scene.solids.append(Solid(*ends, (radius, radius), OCCLUDER, (material, material, 1.0), stretch=stretch))


def _frame(
    body: Array, camera: Camera, rng: np.random.Generator, *, size: tuple[int, int]
) -> tuple[View, tuple[float, float, float, float]]:
    """Return the detector's box around a body as a view, and its margins as fractions of the person's height."""
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
    if rng.random() < PROBABILITY_TRUNCATED:
        bottom -= float(rng.uniform(0.05, 0.35))
    if aspect:  # boxes with a fixed aspect ratio, centered on the person
        wide = aspect * tall * (1 + top + bottom)
        middle += float(rng.normal(0, 0.5 * spread)) * tall
        left, side = middle - wide / 2, middle + wide / 2
    else:
        left, side = left - before * tall, side + after * tall
        narrow = 0.5 * max(0.0, 0.3 * tall - (side - left))
        left, side = left - narrow, side + narrow
    window = (float(left), float(side), float(high + top * tall), float(low - bottom * tall))
    return replace(view, window=window), (before, top, after, bottom)
