"""Poses of a walking or standing person."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from passerby.synthesis.persons import Person

Arms = Literal["swing", "pockets", "phone", "front", "strap"]
ARMS: dict[Arms, float] = {"swing": 12, "pockets": 2, "phone": 1.2, "front": 1.5, "strap": 1.2}
"""Arm positions with their relative frequencies."""
HELD: dict[Arms, tuple[float, float, float, float]] = {
    "pockets": (-0.35, 0.75, 0.25, 0.7),
    "phone": (0.6, 2.3, 0.35, -0.2),
    "front": (0.15, 1.45, 0.12, 0.5),
    "strap": (0.3, 2.35, 0.3, 0.3),
}
"""Angles of an arm that does not swing, radians: upper arm forward, elbow, upper arm outward, forearm inward."""


@dataclass(frozen=True)
class Pose:
    """Pose of a person in one image.

    Attributes:
        x: Position of the feet to the right of the camera, meters.
        z: Position of the feet in front of the camera, meters.
        heading: Direction of the front, radians: 0 away from the camera, pi toward it.
        phase: Phase of the step, radians.
        stride: Amplitude of the thighs' swing, radians; 0 is standing.
        arms: Position of the arm on `side`; the other arm swings, except for `pockets`.
        side: -1 or 1.
        lean: Forward lean, radians.
        twist: Rotation of the head relative to the body, radians.
    """

    x: float
    z: float
    heading: float
    phase: float
    stride: float
    arms: Arms
    side: float
    lean: float
    twist: float


def draw_pose(rng: np.random.Generator, person: Person, *, x: float, z: float, heading: float) -> Pose:
    """Draw a pose of a walking person, or of a standing one (one image in eight)."""
    names = list(ARMS)
    weights = np.array(list(ARMS.values()))
    standing = rng.random() < 0.125
    return Pose(
        x=x,
        z=z,
        heading=heading,
        phase=float(rng.uniform(0, 2 * math.pi)),
        stride=float(rng.uniform(0.0, 0.1) if standing else np.clip(rng.normal(0.42, 0.09), 0.2, 0.65) * person.gait),
        arms=names[int(rng.choice(len(names), p=weights / weights.sum()))],
        side=float(rng.choice([-1.0, 1.0])),
        lean=float(rng.normal(0.05, 0.04)),
        twist=float(rng.normal(0, 0.25)),
    )
