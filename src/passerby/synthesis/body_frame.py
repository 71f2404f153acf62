"""Frame of a body: its axes, materials and joints, and the solids that are added along them.

Lengths are fractions of the person's height. The body's axes are left, up and front; its origin is between the feet.
"""

from __future__ import annotations

import math
from itertools import pairwise

from passerby.synthesis.garments import Garment
from passerby.synthesis.persons import Person
from passerby.synthesis.pose import Pose
from passerby.synthesis.solids import PARTS, Material, Scene, Solid, Vector

_, HEAD, UPPER, ARM, LOWER, LEG, FOOT, CARRIED, OCCLUDER, PASSER_BY = range(len(PARTS))
SHOULDER, NECK, CROWN, ANKLE = 0.812, 0.865, 0.93, 0.042


class BodyFrame:
    """Axes, materials and joints of a person in a pose; `part` replaces the labels of all solids."""

    def __init__(self, scene: Scene, person: Person, pose: Pose, part: int | None) -> None:
        self.scene, self.person, self.pose, self.part = scene, person, pose, part
        self.front = (math.sin(pose.heading), 0.0, math.cos(pose.heading))
        self.left = (-self.front[2], 0.0, self.front[0])
        self.joints: dict[str, Vector] = {}  # in the world
        self.hands: dict[float, Vector] = {}
        self.sink = 0.0  # lowering of the hips in a stride
        self.depth = 0.74 * (0.86 * person.shoulders)  # of the chest, from its center
        paint = scene.add_material
        self.skin = paint(Material(person.skin, gloss=0.08))
        features = (0.35 * person.skin[0], 0.35 * person.skin[1], 0.35 * person.skin[2])
        self.face = paint(Material(person.skin, features, "glasses" if person.glasses else "face", gloss=0.08))
        self.hair = paint(Material(person.hair, (0, 0, 0), "hair", gloss=0.25, folds=0.3, seed=person.top.seed))
        self.top = self._cloth(person.top, person.under)
        self.sleeve = self._cloth(person.top, person.under, sleeve=True)
        self.under = paint(Material(person.under, folds=0.5))
        self.bottom = self._cloth(person.bottom, person.bottom.second)
        self.shoes = paint(Material(person.shoes, gloss=0.25))
        self.socks = paint(Material(person.socks))
        self.hat = paint(Material(person.hat_color, folds=0.2))
        self.bag = paint(Material(person.bag_color, person.bag_second, "two-tone", 0.3, gloss=0.2, folds=0.25))
        self.strap = paint(Material(person.strap, gloss=0.1))
        self.collar = paint(Material(person.top.trim, folds=0.3))

    def _cloth(self, garment: Garment, second: Vector, *, sleeve: bool = False) -> int:
        """Add the material of a garment; a sleeve has no print, closure or emblem."""
        color = second if garment.pattern == "open" else garment.second
        smooth = garment.kind in ("leggings", "t-shirt", "vest")
        plain = sleeve and garment.pattern in ("print", "open", "text", "band")
        return self.scene.add_material(
            Material(
                garment.color,
                color,
                "plain" if plain else garment.pattern,
                garment.scale,
                folds=0.45 if smooth else 0.9,
                seed=garment.seed,
                level=self.person.height * 0.715,
                trim=garment.trim,
                closure=0.0 if sleeve else garment.closure,
                band=garment.band,
                stripe=garment.stripe if sleeve or garment is self.person.bottom else 0.0,
                emblem=0.0 if sleeve else garment.emblem,
                fade=garment.fade,
                gloss=garment.gloss,
            )
        )

    def at(self, x: float, y: float, z: float) -> Vector:
        """Return the world position of a point of the body; the part above the hips leans."""
        height, pose = self.person.height, self.pose
        y -= self.sink
        z += max(0.0, y - self.person.legs) * pose.lean
        return (
            pose.x + height * (x * self.left[0] + z * self.front[0]),
            height * y,
            pose.z + height * (x * self.left[2] + z * self.front[2]),
        )

    def mark(self, side: float, **points: Vector) -> None:
        """Record joints of one side, given as points of the body."""
        name = "left" if side > 0 else "right"
        self.joints |= {f"{name} {joint}": self.at(*point) for joint, point in points.items()}

    def add(
        self,
        start: Vector,
        end: Vector,
        radii: tuple[float, float],
        part: int,
        material: int | tuple[int, int, float],
        *,
        stretch: tuple[float, float] = (1.0, 1.0),
        hem: bool = False,
        front: Vector | None = None,
    ) -> None:
        """Add a solid between two points of the body."""
        height = self.person.height
        covering = (material, material, 1.0) if isinstance(material, int) else material
        self.scene.solids.append(
            Solid(
                self.at(*start),
                self.at(*end),
                (height * radii[0], height * radii[1]),
                part if self.part is None else self.part,
                covering,
                front or self.front,
                stretch,
                hem,
                20.0 * self.pose.phase,
            )
        )

    def ball(
        self,
        center: Vector,
        radii: Vector,
        part: int,
        material: int | tuple[int, int, float],
        front: Vector | None = None,
    ) -> None:
        """Add an ellipsoid with (side, up, front) radii."""
        across, up, deep = radii
        self.add(center, center, (up, up), part, material, stretch=(across / up, deep / up), front=front)

    def ribbon(self, points: list[Vector]) -> None:
        """Add a strap through points of the body."""
        for start, end in pairwise(points):
            self.add(start, end, (0.0095, 0.0095), CARRIED, self.strap)
