"""Solids of a person in a pose: limbs, trunk, head, hair, clothes and bag.

Lengths are fractions of the person's height. The body's axes are left, up and front; its origin is between the feet.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from passerby.synthesis.joints import JOINTS
from passerby.synthesis.persons import Garment, Person
from passerby.synthesis.pose import HELD, Pose
from passerby.synthesis.solids import PARTS, Array, Material, Scene, Solid, Vector

_, HEAD, UPPER, ARM, LOWER, LEG, FOOT, CARRIED, OCCLUDER, PASSER_BY = range(len(PARTS))
SHOULDER, NECK, CROWN, ANKLE = 0.812, 0.865, 0.93, 0.042
UPPER_ARM, FOREARM, HAND = 0.168, 0.142, 0.03


def build(scene: Scene, person: Person, pose: Pose, *, part: int | None = None) -> Array:
    """Add the solids of a person to a scene; `part` replaces their labels (occluder, passer-by).

    Returns:
        (len(JOINTS), 3) positions of the joints in the world, meters.
    """
    builder = _BodyBuilder(scene, person, pose, part)
    builder.build()
    return np.array([builder.joints[name] for name in JOINTS])


class _BodyBuilder:
    """Adds the solids of one person to a scene, one body part per method."""

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

    def build(self) -> None:
        """Add all solids."""
        swings = [self.pose.stride * math.sin(self.pose.phase + turn) for turn in (0.0, math.pi)]
        bends = [0.08 + self.pose.stride * 1.1 * max(0.0, math.cos(self.pose.phase + turn)) for turn in (0.0, math.pi)]
        bone = (self.person.legs - ANKLE) / 2
        reach = [bone * (math.cos(s) + math.cos(s - b)) for s, b in zip(swings, bends, strict=True)]
        self.sink = 2 * bone - max(reach)
        for side, swing, bend in zip((-1.0, 1.0), swings, bends, strict=True):
            self.leg(side, swing, bend, bone)
            self.arm(side, -0.9 * swing)
        self.trunk()
        self.head()
        getattr(self, f"carry_{self.person.bag}")()
        if self.person.second_bag:
            self.hold(-self.person.bag_side, self.collar, 0.8)

    # The body's own axes ------------------------------------------------------------------------------------------

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

    # Limbs ---------------------------------------------------------------------------------------------------------

    def leg(self, side: float, swing: float, bend: float, bone: float) -> None:
        person, garment = self.person, self.person.bottom
        bulk = 0.6 + 0.4 * person.bulk
        hip = (side * 0.5 * person.hips, person.legs, 0.0)
        knee = (hip[0] * 0.94, hip[1] - bone * math.cos(swing), bone * math.sin(swing))
        ankle = (hip[0] * 0.84, knee[1] - bone * math.cos(swing - bend), knee[2] + bone * math.sin(swing - bend))
        self.mark(side, hip=hip, knee=knee, ankle=ankle)
        thigh, calf, thin = 0.052 * bulk, 0.036 * bulk, 0.023
        covered = garment.sleeves
        skirt = garment.kind in ("skirt", "long skirt")
        leg_cloth = self.socks if skirt and covered == 1.0 else self.bottom
        loose = 0.001 if skirt else garment.loose
        if covered < 1.0:
            self.add(hip, knee, (thigh, calf), LEG, self.skin)
            self.add(knee, ankle, (calf, thin), LEG, self.skin)
        upper, lower = min(1.0, 2 * covered), max(0.0, 2 * covered - 1)
        if upper > 0:
            end = _interpolate(hip, knee, upper)
            wide = thigh + (calf - thigh) * upper + loose
            self.add(hip, end, (thigh + 0.4 * loose, wide), LOWER, leg_cloth, hem=upper < 1.0)
        if lower > 0:
            cuff = calf + (thin - calf) * lower + (2.0 if garment.kind == "wide" else 1.0) * loose
            self.add(knee, _interpolate(knee, ankle, lower), (calf + loose, cuff), LOWER, leg_cloth, hem=True)
        self.foot(ankle, swing - bend)
        if person.footwear == "boots":
            self.add(_interpolate(knee, ankle, 0.45), ankle, (calf + 0.005, thin + 0.009), FOOT, self.shoes, hem=False)
        elif lower < 0.95 and person.footwear == "trainers":
            self.add(_interpolate(knee, ankle, 0.8), ankle, (thin + 0.006, thin + 0.003), FOOT, self.socks)

    def foot(self, ankle: Vector, shin: float) -> None:
        pitch = min(0.0, shin) * 0.8 + (0.25 if shin > 0.2 else 0.0)  # the heel lifts in the back, the toe in front
        cos, sin = math.cos(pitch), math.sin(pitch)
        heel = (ankle[0], ankle[1] - 0.018, ankle[2] - 0.012)
        toe = (ankle[0] * 1.15, ankle[1] - 0.026 + 0.092 * sin, ankle[2] + 0.092 * cos)
        bare = self.person.footwear == "sandals"
        self.add(heel, toe, (0.024, 0.019), FOOT, self.skin if bare else self.shoes, front=(0.0, 1.0, 0.0))
        sole = (heel[0], heel[1] - 0.011, heel[2]), (toe[0], toe[1] - 0.007, toe[2])
        self.add(*sole, (0.02, 0.017), FOOT, self.shoes if bare else self.socks, front=(0.0, 1.0, 0.0))

    def arm(self, side: float, swing: float) -> None:
        person, garment, pose = self.person, self.person.top, self.pose
        bulk, position = (
            0.55 + 0.45 * person.bulk,
            pose.arms if pose.side == side or pose.arms == "pockets" else "swing",
        )
        bend, out, inward = 0.25 + 0.5 * max(0.0, swing), 0.1 + 0.6 * garment.loose * 10, 0.0
        if position != "swing":
            swing, bend, out, inward = HELD[position]
        shoulder = (side * person.shoulders, SHOULDER - 0.012, 0.0)
        elbow = (
            shoulder[0] + side * UPPER_ARM * math.sin(out),
            shoulder[1] - UPPER_ARM * math.cos(out) * math.cos(swing),
            shoulder[2] + UPPER_ARM * math.sin(swing),
        )
        lower = swing + bend
        wrist = (
            elbow[0] - side * FOREARM * math.sin(inward) * 0.8 + side * FOREARM * 0.06,
            elbow[1] - FOREARM * math.cos(lower),
            elbow[2] + FOREARM * math.sin(lower) * math.cos(inward),
        )
        self.mark(side, shoulder=shoulder, elbow=elbow, wrist=wrist)
        r1, r2, r3 = 0.031 * bulk, 0.026 * bulk, 0.018
        loose, covered = garment.loose, garment.sleeves
        if covered < 1.0:
            self.add(shoulder, elbow, (r1, r2), ARM, self.skin)
            self.add(elbow, wrist, (r2, r3), ARM, self.skin)
        upper, fore = min(1.0, 2 * covered), max(0.0, 2 * covered - 1)
        if upper > 0:
            wide = r1 + (r2 - r1) * upper + (1.0 if covered == 1.0 else 1.5) * loose
            self.add(
                shoulder, _interpolate(shoulder, elbow, upper), (r1 + loose, wide), ARM, self.sleeve, hem=upper < 1.0
            )
        if fore > 0:
            self.add(
                elbow,
                _interpolate(elbow, wrist, fore),
                (r2 + loose, r3 + 0.004 + 0.8 * loose),
                ARM,
                self.sleeve,
                hem=True,
            )
        hand = _interpolate(elbow, wrist, 1.0 + HAND / FOREARM)
        self.add(wrist, hand, (0.017, 0.02), ARM, self.skin)
        self.hands[side] = hand

    # Trunk and head ------------------------------------------------------------------------------------------------

    def trunk(self) -> None:
        person, top, bottom = self.person, self.person.top, self.person.bottom
        hips, waist, loose = person.hips, person.waist, top.loose
        chest = 0.86 * person.shoulders + loose
        flat = (1.0, 0.74)
        self.ball((0.0, person.legs + 0.012, -0.006), (hips, 0.072, 0.8 * hips), LOWER, self.bottom)
        self.add((0, 0.62, 0), (0, 0.755, 0), (waist + loose, chest), UPPER, self.top, stretch=flat)
        joint = person.shoulders - 0.012
        slope = 0.034 + loose
        for side in (-1.0, 1.0):
            neck, end = (side * 0.02, NECK - 0.03, -0.008), (side * joint, SHOULDER - 0.008, 0.0)
            self.add(neck, end, (0.036 + 0.5 * loose, slope), UPPER, self.sleeve)
        hem = person.legs - top.length
        low = hips + loose + 0.004 + 0.14 * max(0.0, top.length)
        if top.kind == "dress":
            low += 0.02
        self.add((0, 0.66, 0), (0, hem, 0), (waist + loose + 0.004, low), UPPER, self.top, stretch=(1.0, 0.8), hem=True)
        if person.under_length and top.kind not in ("dress", "vest"):
            radii = (waist + loose, low - 0.004)
            below = (0, hem - person.under_length, 0)
            self.add((0, 0.66, 0), below, radii, UPPER, self.under, stretch=(1.0, 0.8), hem=True)
        if person.collar and top.kind != "hoodie":
            thick = 0.012 + 0.012 * person.collar
            self.ball((0, NECK - 0.022, -0.004), (0.044 + 0.4 * loose, thick, 0.042), UPPER, self.collar)
        if bottom.kind in ("skirt", "long skirt"):
            edge = person.legs + 0.03 - bottom.length
            wide = hips + 0.012 + 0.12 * bottom.length + bottom.loose
            self.add(
                (0, 0.6, 0), (0, edge, 0), (waist + 0.004, wide), LOWER, self.bottom, stretch=(1.0, 0.85), hem=True
            )
        if top.kind == "hoodie":
            self.ball((0, NECK - 0.012, -0.035), (0.058, 0.026, 0.04), UPPER, self.sleeve)

    def head(self) -> None:
        person, size = self.person, self.person.head
        turned = self.pose.heading + self.pose.twist
        facing = (math.sin(turned), 0.0, math.cos(turned))
        ahead = math.cos(self.pose.twist), math.sin(self.pose.twist)

        def behind(distance: float) -> tuple[float, float]:  # left and front coordinates behind the head's center
            return distance * ahead[1], -distance * ahead[0]

        self.add((0, NECK - 0.035, -0.004), (0, CROWN - 0.04, 0.004), (0.031, 0.028), HEAD, self.skin)
        radii = (0.043 * size, 0.062 * size, 0.053 * size)
        self.joints |= {"neck": self.at(0, NECK, 0), "head top": self.at(0, CROWN + radii[1], 0.008)}
        self.ball((0, CROWN, 0.008), radii, HEAD, self.face, front=facing)
        if person.haircut != "bald":
            x, z = behind(0.012)
            thick = 1.14 if person.haircut in ("bob", "long") else 1.07
            self.ball(
                (x, CROWN + 0.013, 0.008 + z),
                (radii[0] * thick, 0.052 * size * thick, radii[2] * thick),
                HEAD,
                self.hair,
                front=facing,
            )
        if person.haircut in ("short", "bob"):
            for number in range(4):  # tufts break the outline
                turn = self.person.top.seed + 2.4 * number
                side, back = 0.026 * math.cos(turn), 0.026 * math.sin(turn)
                x, z = behind(0.012 + back)
                thick = 0.016 + 0.012 * person.tufts
                self.ball((x + side, CROWN + 0.042 * size, 0.008 + z), (thick, 0.022 * size, thick), HEAD, self.hair)
        if person.haircut in ("short", "bald", "ponytail", "bun"):
            for side in (-1.0, 1.0):  # ears
                ear = (side * radii[0] * ahead[0], CROWN - 0.004, 0.002 + side * radii[0] * ahead[1])
                self.ball(ear, (0.008, 0.015, 0.011), HEAD, self.skin, front=facing)
        x, z = behind(0.03)
        falls = {"bob": CROWN - 0.05, "long": CROWN - 0.15}.get(person.haircut)
        if falls is not None:
            wide = (0.047, 0.03 if falls < CROWN - 0.1 else 0.042)
            self.add(
                (x, CROWN + 0.005, 0.008 + z),
                (x, falls, 0.004 + z),
                wide,
                HEAD,
                self.hair,
                stretch=(1.05, 0.75),
                front=facing,
            )
        if person.haircut == "ponytail":
            x, z = behind(0.06)
            self.add((x, CROWN + 0.01, z), (x, CROWN - 0.09, z - 0.01), (0.018, 0.012), HEAD, self.hair)
        if person.haircut == "bun":
            x, z = behind(0.055)
            self.ball((x, CROWN + 0.03, z), (0.025, 0.025, 0.025), HEAD, self.hair)
        if person.hat != "none":
            self.ball((0, CROWN + 0.03, 0.004), (0.05 * size, 0.042 * size, 0.06 * size), HEAD, self.hat, front=facing)
            if person.hat != "beanie":
                x, z = behind(-0.05 if person.hat == "cap" else 0.0)
                brim = (0.04, 0.006, 0.045) if person.hat == "cap" else (0.085, 0.007, 0.09)
                self.ball((x, CROWN + 0.022, 0.01 + z), brim, HEAD, self.hat, front=facing)
        if person.scarf:
            self.ball((0, NECK - 0.01, 0.002), (0.056, 0.026, 0.054), UPPER, self.hat)

    # Bags ---------------------------------------------------------------------------------------------------------

    def carry_none(self) -> None:
        """Add nothing."""

    def carry_backpack(self) -> None:
        size, back = self.person.bag_size, -self.depth - self.person.top.loose - 0.036 * self.person.bag_size
        low = (0, 0.625, back), (0, 0.765, back + 0.012)
        self.add(*low, (0.066 * size, 0.056 * size), CARRIED, self.bag, stretch=(1.1, 0.72))
        self.ball((0, 0.625, back - 0.04 * size), (0.05 * size, 0.045 * size, 0.024 * size), CARRIED, self.strap)
        front = self.depth + self.person.top.loose
        for side in (-1.0, 1.0):
            points = [(side * 0.058, 0.8, back + 0.03), (side * 0.062, 0.852, 0.0), (side * 0.066, 0.77, front + 0.006)]
            points.append((side * 0.085, 0.66, 0.55 * front))
            self.ribbon(points)

    def carry_shoulder(self) -> None:
        person, side, size = self.person, self.person.bag_side, self.person.bag_size
        deep = self.depth + person.top.loose + 0.008
        bag = (side * (person.hips + 0.035 + person.top.loose), person.legs + 0.02, -0.015)
        self.ball(bag, (0.032 * size, 0.055 * size, 0.075 * size), CARRIED, self.bag)
        for sign in (-1.0, 1.0):  # in front of the chest and across the back
            over, across = (-side * 0.05, 0.862, 0.0), (side * 0.0, 0.73, sign * deep)
            self.ribbon([over, (-side * 0.04, 0.80, sign * deep), across, (bag[0], bag[1] + 0.03, sign * 0.03)])

    def carry_tote(self) -> None:
        person, side, size = self.person, self.person.bag_side, self.person.bag_size
        bag = (side * (person.shoulders + 0.045), 0.615, -0.03)
        self.ball(bag, (0.028 * size, 0.075 * size, 0.085 * size), CARRIED, self.bag)
        for z in (-0.05, 0.03):
            self.ribbon([(bag[0], bag[1] + 0.05, z), (side * (person.shoulders - 0.02), 0.862, -0.005)])

    def carry_hand(self) -> None:
        self.hold(self.person.bag_side, self.bag, self.person.bag_size)

    def hold(self, side: float, material: int, size: float) -> None:
        """Add a bag that hangs from a hand."""
        x, y, z = self.hands[side]
        self.ribbon([(x, y, z), (x, y - 0.05, z)])
        self.ball((x, y - 0.09, z), (0.022 * size, 0.052 * size, 0.068 * size), CARRIED, material)

    def ribbon(self, points: list[Vector]) -> None:
        """Add a strap through points of the body."""
        for start, end in pairwise(points):
            self.add(start, end, (0.0095, 0.0095), CARRIED, self.strap)


def _interpolate(start: Vector, end: Vector, fraction: float) -> Vector:
    x, y, z = (a + fraction * (b - a) for a, b in zip(start, end, strict=True))
    return x, y, z
