"""Solids: tapered capsules under an affine map, and the rays that hit them.

One shape makes a whole body. A round cone (a sphere of radius r1, one of r2 at distance h, and the cone that touches
both) becomes a limb; stretched across its axis it becomes a torso, a skirt or a shoe; with h = 0 an ellipsoid: a head,
a hand, a bag. Rays are carried into the solid's own space, where the shape is a round cone again; an affine map leaves
the ray's parameter t as it is.

Dimension legend: K solids, M materials, H W pixels, S samples across a pixel.
World: metres, y up; the ground is y = 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[np.float64]
Vector = tuple[float, float, float]

PARTS = ("background", "head", "upper", "arms", "lower", "legs", "feet", "carried", "occluder", "passer-by")
"""What a pixel shows: its index is the label in a mask. Arms and legs are where skin, sleeve or trouser legs are."""

MAP, ORIGIN, HEIGHT, LOW, HIGH, END, REACH, LOOK, PART, CAP = 0, 9, 12, 13, 14, 15, 18, 20, 24, 25
"""Columns of a packed solid: 3 x 3 map to its space, origin, h, r1, r2, world end point, radii that bound both ends in
the world, (material below the cut, above it, the cut in shares of h, phase of its folds), part, flat end."""
COLUMNS = 26


class Solid(NamedTuple):
    """One round cone, as the body's author thinks of it.

    Attributes:
        start: World place of the first sphere.
        end: Of the second; the same for an ellipsoid.
        radii: (r1, r2) in metres.
        stretch: How much wider than its radius it is to its side, and to its front.
        hem: It ends flat at `end`, and open, as a sleeve or a skirt does.
        front: Where its front looks; made square to its axis.
        look: (material below the cut, material above it, the cut in shares of the axis from `start`).
        part: Index into `PARTS`.
    """

    start: Vector
    end: Vector
    radii: tuple[float, float]
    part: int
    look: tuple[int, int, float]
    front: Vector = (0.0, 0.0, 1.0)
    stretch: tuple[float, float] = (1.0, 1.0)
    hem: bool = False


PATTERNS = ("plain", "stripes", "pinstripes", "plaid", "print", "two-tone", "open", "denim", "worn", "face")


@dataclass(frozen=True)
class Material:
    """What a solid is covered with.

    Attributes:
        colour: sRGB, 0 to 1.
        second: The pattern's other colour.
        pattern: One of `PATTERNS`.
        scale: Of the pattern: repeats in a metre, or the width of what it prints in metres.
        gloss: 0 (cloth) to 1 (patent leather).
        folds: How far folds turn the surface, 0 to 1.
    """

    colour: Vector
    second: Vector = (0.0, 0.0, 0.0)
    pattern: str = "plain"
    scale: float = 10.0
    gloss: float = 0.0
    folds: float = 0.0


@dataclass
class Scene:
    """Solids and what covers them, while they are put together."""

    solids: list[Solid] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)

    def material(self, material: Material) -> int:
        """Add a material; its number."""
        self.materials.append(material)
        return len(self.materials) - 1

    def pack_materials(self) -> Array:
        """(M, 10) materials, colours in linear light, as the renderer takes them."""
        rows = [
            [
                *(channel**2.2 for channel in (*each.colour, *each.second)),
                PATTERNS.index(each.pattern),
                each.scale,
                each.gloss,
                each.folds,
            ]
            for each in self.materials
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, 10)


def pack_solids(solids: Sequence[Solid]) -> Array:
    """(K, COLUMNS) of K solids."""
    if not solids:
        return np.empty((0, COLUMNS))
    start, end, front = (
        np.array([getattr(each, name) for each in solids], dtype=np.float64) for name in ("start", "end", "front")
    )
    radii = np.array([each.radii for each in solids])  # (K, 2)
    stretch = np.array([(each.stretch[0], 1.0, each.stretch[1]) for each in solids])  # (K, 3)
    axis = end - start
    height = np.sqrt((axis * axis).sum(axis=1))
    point = height < 1e-9
    axis[point] = (0.0, 1.0, 0.0)
    axis /= np.where(point, 1.0, height)[:, None]
    side = _cross(axis, front)
    flat = (side * side).sum(axis=1) < 1e-9  # the front lies along the axis: any side will do
    side[flat] = _cross(axis[flat], np.array([(0.31, 0.17, 0.93)]))
    side /= np.sqrt((side * side).sum(axis=1))[:, None]
    turned = np.stack([side, axis, _cross(side, axis)], axis=1)  # (K, 3, 3) rows: the solid's x, y, z in the world
    packed = np.empty((len(solids), COLUMNS))
    packed[:, MAP : MAP + 9] = (turned / stretch[:, :, None]).reshape(-1, 9)
    packed[:, ORIGIN : ORIGIN + 3] = start
    packed[:, HEIGHT] = np.where(point, 0.0, height)
    packed[:, LOW : HIGH + 1] = radii
    packed[:, END : END + 3] = end
    packed[:, REACH : REACH + 2] = radii * stretch.max(axis=1, keepdims=True)
    packed[:, LOOK : LOOK + 3] = [each.look for each in solids]
    packed[:, LOOK + 3] = 2.399 * np.arange(len(solids))
    packed[:, PART] = [each.part for each in solids]
    packed[:, CAP] = [each.hem for each in solids]
    return packed


def _cross(a: Array, b: Array) -> Array:
    """Row by row; numpy's own takes twenty times as long for a few rows."""
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=1)


@njit(cache=True, nogil=True, inline="always")
def to_local(solid: Any, x: float, y: float, z: float) -> tuple[float, float, float]:
    """A world direction in the solid's space."""
    return (
        solid[0] * x + solid[1] * y + solid[2] * z,
        solid[3] * x + solid[4] * y + solid[5] * z,
        solid[6] * x + solid[7] * y + solid[8] * z,
    )


@njit(cache=True, nogil=True)
def hit(solid: Any, px: float, py: float, pz: float, dx: float, dy: float, dz: float) -> float:
    """Smallest t > 0 at which p + t d, both in the solid's space, enters the solid; infinity when it does not."""
    h, r1, r2 = solid[HEIGHT], solid[LOW], solid[HIGH]
    square = dx * dx + dy * dy + dz * dz
    best = math.inf
    across, along = px * dx + pz * dz, px * px + pz * pz
    for end in range(2):  # the two spheres
        y, r = (py, r1) if end == 0 else (py - h, r2)
        b = across + y * dy
        c = along + y * y - r * r
        root = b * b - square * c
        if root > 0:
            t = (-b - math.sqrt(root)) / square
            if 1e-6 < t < best:
                best = t
        if h == 0.0 or solid[CAP] > 0.0:
            break
    if h == 0.0:
        return best
    s = (r1 - r2) / h  # sine of half the cone's opening
    cc = 1.0 - s * s
    if cc <= 0.0:
        return best
    # rho^2 cos^2 = (r1 - y s)^2, the cone that touches both spheres
    w, wd = r1 - py * s, -dy * s
    a = cc * (dx * dx + dz * dz) - wd * wd
    b = cc * across - w * wd
    c = cc * along - w * w
    root = b * b - a * c
    if root > 0 and abs(a) > 1e-12:
        root = math.sqrt(root)
        for sign in (-1.0, 1.0):  # which root comes first depends on the sign of a
            t = (-b + sign * root) / a
            if 1e-6 < t < best and w + t * wd > 0:
                x, y, z = px + t * dx, py + t * dy, pz + t * dz
                touch = y - math.sqrt(x * x + z * z) * s / math.sqrt(cc)  # centre of the sphere that touches here
                if touch > 0.0 and (y if solid[CAP] > 0.0 else touch) < h:
                    best = t
    return best


@njit(cache=True, nogil=True)
def surface(solid: Any, x: float, y: float, z: float) -> tuple[float, float, float, float, float, float]:
    """Of a world point on a solid: its place in the solid's space (3), and the outward normal in the world (3)."""
    lx, ly, lz = to_local(solid, x - solid[ORIGIN], y - solid[ORIGIN + 1], z - solid[ORIGIN + 2])
    h = solid[HEIGHT]
    along = 0.0
    if h > 0.0:
        s = (solid[LOW] - solid[HIGH]) / h
        along = ly
        if abs(s) < 1.0:
            along = ly - math.sqrt(lx * lx + lz * lz) * s / math.sqrt(1.0 - s * s)
        along = min(max(along, 0.0), h)
    ny = ly - along
    nx = solid[0] * lx + solid[3] * ny + solid[6] * lz
    nz = solid[2] * lx + solid[5] * ny + solid[8] * lz
    ny = solid[1] * lx + solid[4] * ny + solid[7] * lz
    length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12
    return lx, ly, lz, nx / length, ny / length, nz / length
