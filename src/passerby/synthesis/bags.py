"""Solids of the bags that a person carries."""

from __future__ import annotations

from passerby.synthesis.body_frame import CARRIED, BodyFrame


def add_bags(body: BodyFrame) -> None:
    """Add the person's bag, and a second one in the other hand."""
    adders = {"backpack": _add_backpack, "shoulder": _add_shoulder, "tote": _add_tote, "hand": _add_hand}
    if body.person.bag != "none":
        adders[body.person.bag](body)
    if body.person.second_bag:
        _hold(body, -body.person.bag_side, body.collar, 0.8)


def _add_backpack(body: BodyFrame) -> None:
    size, back = body.person.bag_size, -body.depth - body.person.top.loose - 0.036 * body.person.bag_size
    low = (0, 0.625, back), (0, 0.765, back + 0.012)
    body.add(*low, (0.066 * size, 0.056 * size), CARRIED, body.bag, stretch=(1.1, 0.72))
    body.ball((0, 0.625, back - 0.04 * size), (0.05 * size, 0.045 * size, 0.024 * size), CARRIED, body.strap)
    front = body.depth + body.person.top.loose
    for side in (-1.0, 1.0):
        points = [(side * 0.058, 0.8, back + 0.03), (side * 0.062, 0.852, 0.0), (side * 0.066, 0.77, front + 0.006)]
        points.append((side * 0.085, 0.66, 0.55 * front))
        body.ribbon(points)


def _add_shoulder(body: BodyFrame) -> None:
    person, side, size = body.person, body.person.bag_side, body.person.bag_size
    deep = body.depth + person.top.loose + 0.008
    bag = (side * (person.hips + 0.035 + person.top.loose), person.legs + 0.02, -0.015)
    body.ball(bag, (0.032 * size, 0.055 * size, 0.075 * size), CARRIED, body.bag)
    for sign in (-1.0, 1.0):  # in front of the chest and across the back
        over, across = (-side * 0.05, 0.862, 0.0), (side * 0.0, 0.73, sign * deep)
        body.ribbon([over, (-side * 0.04, 0.80, sign * deep), across, (bag[0], bag[1] + 0.03, sign * 0.03)])


def _add_tote(body: BodyFrame) -> None:
    person, side, size = body.person, body.person.bag_side, body.person.bag_size
    bag = (side * (person.shoulders + 0.045), 0.615, -0.03)
    body.ball(bag, (0.028 * size, 0.075 * size, 0.085 * size), CARRIED, body.bag)
    for z in (-0.05, 0.03):
        body.ribbon([(bag[0], bag[1] + 0.05, z), (side * (person.shoulders - 0.02), 0.862, -0.005)])


def _add_hand(body: BodyFrame) -> None:
    _hold(body, body.person.bag_side, body.bag, body.person.bag_size)


def _hold(body: BodyFrame, side: float, material: int, size: float) -> None:
    """Add a bag that hangs from a hand."""
    x, y, z = body.hands[side]
    body.ribbon([(x, y, z), (x, y - 0.05, z)])
    body.ball((x, y - 0.09, z), (0.022 * size, 0.052 * size, 0.068 * size), CARRIED, material)
