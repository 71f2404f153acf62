"""Solids of a head: skull, face, ears, hair, hat and scarf."""

from __future__ import annotations

import math

from passerby.synthesis.body_frame import CROWN, HEAD, NECK, UPPER, BodyFrame


def add_head(body: BodyFrame) -> None:
    """Add head, hair, hat and scarf."""
    person, size = body.person, body.person.head
    turned = body.pose.heading + body.pose.twist
    facing = (math.sin(turned), 0.0, math.cos(turned))
    ahead = math.cos(body.pose.twist), math.sin(body.pose.twist)

    def behind(distance: float) -> tuple[float, float]:  # left and front coordinates behind the head's center
        return distance * ahead[1], -distance * ahead[0]

    body.add((0, NECK - 0.035, -0.004), (0, CROWN - 0.04, 0.004), (0.031, 0.028), HEAD, body.skin)
    radii = (0.043 * size, 0.062 * size, 0.053 * size)
    body.joints |= {"neck": body.at(0, NECK, 0), "head top": body.at(0, CROWN + radii[1], 0.008)}
    body.ball((0, CROWN, 0.008), radii, HEAD, body.face, front=facing)
    if person.haircut != "bald":
        x, z = behind(0.012)
        thick = 1.14 if person.haircut in ("bob", "long") else 1.07
        body.ball(
            (x, CROWN + 0.013, 0.008 + z),
            (radii[0] * thick, 0.052 * size * thick, radii[2] * thick),
            HEAD,
            body.hair,
            front=facing,
        )
    if person.haircut in ("short", "bob"):
        for number in range(4):  # tufts break the outline
            turn = body.person.top.seed + 2.4 * number
            side, back = 0.026 * math.cos(turn), 0.026 * math.sin(turn)
            x, z = behind(0.012 + back)
            thick = 0.016 + 0.012 * person.tufts
            body.ball((x + side, CROWN + 0.042 * size, 0.008 + z), (thick, 0.022 * size, thick), HEAD, body.hair)
    if person.haircut in ("short", "bald", "ponytail", "bun"):
        for side in (-1.0, 1.0):  # ears
            ear = (side * radii[0] * ahead[0], CROWN - 0.004, 0.002 + side * radii[0] * ahead[1])
            body.ball(ear, (0.008, 0.015, 0.011), HEAD, body.skin, front=facing)
    x, z = behind(0.03)
    falls = {"bob": CROWN - 0.05, "long": CROWN - 0.15}.get(person.haircut)
    if falls is not None:
        wide = (0.047, 0.03 if falls < CROWN - 0.1 else 0.042)
        body.add(
            (x, CROWN + 0.005, 0.008 + z),
            (x, falls, 0.004 + z),
            wide,
            HEAD,
            body.hair,
            stretch=(1.05, 0.75),
            front=facing,
        )
    if person.haircut == "ponytail":
        x, z = behind(0.06)
        body.add((x, CROWN + 0.01, z), (x, CROWN - 0.09, z - 0.01), (0.018, 0.012), HEAD, body.hair)
    if person.haircut == "bun":
        x, z = behind(0.055)
        body.ball((x, CROWN + 0.03, z), (0.025, 0.025, 0.025), HEAD, body.hair)
    if person.hat != "none":
        body.ball((0, CROWN + 0.03, 0.004), (0.05 * size, 0.042 * size, 0.06 * size), HEAD, body.hat, front=facing)
        if person.hat != "beanie":
            x, z = behind(-0.05 if person.hat == "cap" else 0.0)
            brim = (0.04, 0.006, 0.045) if person.hat == "cap" else (0.085, 0.007, 0.09)
            body.ball((x, CROWN + 0.022, 0.01 + z), brim, HEAD, body.hat, front=facing)
    if person.scarf:
        body.ball((0, NECK - 0.01, 0.002), (0.056, 0.026, 0.054), UPPER, body.hat)
