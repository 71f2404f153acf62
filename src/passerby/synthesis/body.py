"""Solids of a person in a pose: limbs and trunk with their clothes; head and bags have files of their own.

Lengths are fractions of the person's height.
"""

from __future__ import annotations

import math

import numpy as np

from passerby.synthesis.bags import add_bags
from passerby.synthesis.body_frame import ANKLE, ARM, FOOT, LEG, LOWER, NECK, SHOULDER, UPPER, BodyFrame
from passerby.synthesis.head import add_head
from passerby.synthesis.joints import JOINTS
from passerby.synthesis.persons import Person
from passerby.synthesis.pose import HELD, Pose
from passerby.synthesis.solids import Array, Scene, Vector

UPPER_ARM, FOREARM, HAND = 0.168, 0.142, 0.03


def build(scene: Scene, person: Person, pose: Pose, *, part: int | None = None) -> Array:
    """Add the solids of a person to a scene; `part` replaces their labels (occluder, passer-by).

    Returns:
        (len(JOINTS), 3) positions of the joints in the world, meters.
    """
    body = BodyFrame(scene, person, pose, part)
    swings = [body.pose.stride * math.sin(body.pose.phase + turn) for turn in (0.0, math.pi)]
    bends = [0.08 + body.pose.stride * 1.1 * max(0.0, math.cos(body.pose.phase + turn)) for turn in (0.0, math.pi)]
    bone = (body.person.legs - ANKLE) / 2
    reach = [bone * (math.cos(s) + math.cos(s - b)) for s, b in zip(swings, bends, strict=True)]
    body.sink = 2 * bone - max(reach)
    for side, swing, bend in zip((-1.0, 1.0), swings, bends, strict=True):
        _add_leg(body, side, swing, bend, bone)
        _add_arm(body, side, -0.9 * swing)
    _add_trunk(body)
    add_head(body)
    add_bags(body)
    return np.array([body.joints[name] for name in JOINTS])


def _add_leg(body: BodyFrame, side: float, swing: float, bend: float, bone: float) -> None:
    person, garment = body.person, body.person.bottom
    bulk = 0.6 + 0.4 * person.bulk
    hip = (side * 0.5 * person.hips, person.legs, 0.0)
    knee = (hip[0] * 0.94, hip[1] - bone * math.cos(swing), bone * math.sin(swing))
    ankle = (hip[0] * 0.84, knee[1] - bone * math.cos(swing - bend), knee[2] + bone * math.sin(swing - bend))
    body.mark(side, hip=hip, knee=knee, ankle=ankle)
    thigh, calf, thin = 0.052 * bulk, 0.036 * bulk, 0.023
    covered = garment.sleeves
    skirt = garment.kind in ("skirt", "long skirt")
    leg_cloth = body.socks if skirt and covered == 1.0 else body.bottom
    loose = 0.001 if skirt else garment.loose
    if covered < 1.0:
        body.add(hip, knee, (thigh, calf), LEG, body.skin)
        body.add(knee, ankle, (calf, thin), LEG, body.skin)
    upper, lower = min(1.0, 2 * covered), max(0.0, 2 * covered - 1)
    if upper > 0:
        end = _interpolate(hip, knee, upper)
        wide = thigh + (calf - thigh) * upper + loose
        body.add(hip, end, (thigh + 0.4 * loose, wide), LOWER, leg_cloth, hem=upper < 1.0)
    if lower > 0:
        cuff = calf + (thin - calf) * lower + (2.0 if garment.kind == "wide" else 1.0) * loose
        body.add(knee, _interpolate(knee, ankle, lower), (calf + loose, cuff), LOWER, leg_cloth, hem=True)
    _add_foot(body, ankle, swing - bend)
    if person.footwear == "boots":
        body.add(_interpolate(knee, ankle, 0.45), ankle, (calf + 0.005, thin + 0.009), FOOT, body.shoes, hem=False)
    elif lower < 0.95 and person.footwear == "trainers":
        body.add(_interpolate(knee, ankle, 0.8), ankle, (thin + 0.006, thin + 0.003), FOOT, body.socks)


def _add_foot(body: BodyFrame, ankle: Vector, shin: float) -> None:
    pitch = min(0.0, shin) * 0.8 + (0.25 if shin > 0.2 else 0.0)  # the heel lifts in the back, the toe in front
    cos, sin = math.cos(pitch), math.sin(pitch)
    heel = (ankle[0], ankle[1] - 0.018, ankle[2] - 0.012)
    toe = (ankle[0] * 1.15, ankle[1] - 0.026 + 0.092 * sin, ankle[2] + 0.092 * cos)
    bare = body.person.footwear == "sandals"
    body.add(heel, toe, (0.024, 0.019), FOOT, body.skin if bare else body.shoes, front=(0.0, 1.0, 0.0))
    sole = (heel[0], heel[1] - 0.011, heel[2]), (toe[0], toe[1] - 0.007, toe[2])
    body.add(*sole, (0.02, 0.017), FOOT, body.shoes if bare else body.socks, front=(0.0, 1.0, 0.0))


def _add_arm(body: BodyFrame, side: float, swing: float) -> None:
    person, garment, pose = body.person, body.person.top, body.pose
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
    body.mark(side, shoulder=shoulder, elbow=elbow, wrist=wrist)
    r1, r2, r3 = 0.031 * bulk, 0.026 * bulk, 0.018
    loose, covered = garment.loose, garment.sleeves
    if covered < 1.0:
        body.add(shoulder, elbow, (r1, r2), ARM, body.skin)
        body.add(elbow, wrist, (r2, r3), ARM, body.skin)
    upper, fore = min(1.0, 2 * covered), max(0.0, 2 * covered - 1)
    if upper > 0:
        wide = r1 + (r2 - r1) * upper + (1.0 if covered == 1.0 else 1.5) * loose
        body.add(shoulder, _interpolate(shoulder, elbow, upper), (r1 + loose, wide), ARM, body.sleeve, hem=upper < 1.0)
    if fore > 0:
        body.add(
            elbow,
            _interpolate(elbow, wrist, fore),
            (r2 + loose, r3 + 0.004 + 0.8 * loose),
            ARM,
            body.sleeve,
            hem=True,
        )
    hand = _interpolate(elbow, wrist, 1.0 + HAND / FOREARM)
    body.add(wrist, hand, (0.017, 0.02), ARM, body.skin)
    body.hands[side] = hand


def _add_trunk(body: BodyFrame) -> None:
    person, top, bottom = body.person, body.person.top, body.person.bottom
    hips, waist, loose = person.hips, person.waist, top.loose
    chest = 0.86 * person.shoulders + loose
    flat = (1.0, 0.74)
    body.ball((0.0, person.legs + 0.012, -0.006), (hips, 0.072, 0.8 * hips), LOWER, body.bottom)
    body.add((0, 0.62, 0), (0, 0.755, 0), (waist + loose, chest), UPPER, body.top, stretch=flat)
    joint = person.shoulders - 0.012
    slope = 0.034 + loose
    for side in (-1.0, 1.0):
        neck, end = (side * 0.02, NECK - 0.03, -0.008), (side * joint, SHOULDER - 0.008, 0.0)
        body.add(neck, end, (0.036 + 0.5 * loose, slope), UPPER, body.sleeve)
    hem = person.legs - top.length
    low = hips + loose + 0.004 + 0.14 * max(0.0, top.length)
    if top.kind == "dress":
        low += 0.02
    body.add((0, 0.66, 0), (0, hem, 0), (waist + loose + 0.004, low), UPPER, body.top, stretch=(1.0, 0.8), hem=True)
    if person.under_length and top.kind not in ("dress", "vest"):
        radii = (waist + loose, low - 0.004)
        below = (0, hem - person.under_length, 0)
        body.add((0, 0.66, 0), below, radii, UPPER, body.under, stretch=(1.0, 0.8), hem=True)
    if person.collar and top.kind != "hoodie":
        thick = 0.012 + 0.012 * person.collar
        body.ball((0, NECK - 0.022, -0.004), (0.044 + 0.4 * loose, thick, 0.042), UPPER, body.collar)
    if bottom.kind in ("skirt", "long skirt"):
        edge = person.legs + 0.03 - bottom.length
        wide = hips + 0.012 + 0.12 * bottom.length + bottom.loose
        body.add((0, 0.6, 0), (0, edge, 0), (waist + 0.004, wide), LOWER, body.bottom, stretch=(1.0, 0.85), hem=True)
    if top.kind == "hoodie":
        body.ball((0, NECK - 0.012, -0.035), (0.058, 0.026, 0.04), UPPER, body.sleeve)


def _interpolate(start: Vector, end: Vector, fraction: float) -> Vector:
    x, y, z = (a + fraction * (b - a) for a, b in zip(start, end, strict=True))
    return x, y, z
