"""Solids: round cones under an affine map, and their intersection with rays.

A body consists of one kind of shape. A round cone (a sphere of radius r1, one of r2 at distance h, and the cone that
touches both) is a limb; stretched perpendicular to its axis, a torso, a skirt or a shoe; with h = 0 an ellipsoid, such
as a head or a bag. Rays are transformed to the solid's own space, where the shape is a round cone; an affine map does
not change the ray's parameter t.

Dimension legend: K solids, M materials, H W pixels, S samples across a pixel.
World: meters, y up; the ground is y = 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from passerby.compiled import njit

Array = NDArray[np.float64]
Vector = tuple[float, float, float]

PARTS = ("background", "head", "upper", "arms", "lower", "legs", "feet", "carried", "occluder", "passer-by")
"""Parts of a mask; the index is the label. Arms and legs include sleeves and trouser legs."""

MAP, ORIGIN, HEIGHT, LOW, HIGH, END, REACH, COVERING, PART, CAP, SLOPE = 0, 9, 12, 13, 14, 15, 18, 20, 24, 25, 26
"""Columns of a packed solid: 3 x 3 map to its space, origin, h, r1, r2, world end point, bounding radii of both ends in
the world, (material below the cut, above it, cut as a fraction of h, offset of the folds), part, flat end, tangent of
half the cone's opening angle."""
COLUMNS = 27


class Solid(NamedTuple):
    """One round cone.

    Attributes:
        start: Center of the first sphere in the world, meters.
        end: Center of the second sphere; equal to `start` for an ellipsoid.
        radii: (r1, r2) in meters.
        part: Index into `PARTS`.
        covering: (material below the cut, material above it, the cut as a fraction of the axis from `start`).
        front: Direction of the front; its component along the axis is removed.
        stretch: Factors of the width to the side and to the front.
        hem: Whether the solid ends flat and open at `end`, as a sleeve or a skirt.
        creases: Offset of the folds, which differ between images.
    """

    start: Vector
    end: Vector
    radii: tuple[float, float]
    part: int
    covering: tuple[int, int, float]
    front: Vector = (0.0, 0.0, 1.0)
    stretch: tuple[float, float] = (1.0, 1.0)
    hem: bool = False
    creases: float = 0.0


PATTERNS = (
    "plain", "stripes", "pinstripes", "plaid", "print", "two-tone", "open", "denim", "worn", "face", "text", "band",
    "dots", "camouflage", "heather", "hair", "glasses", "yoke",
)  # fmt: skip


@dataclass(frozen=True)
class Material:
    """Surface of a solid.

    Attributes:
        color: sRGB, 0 to 1.
        second: Second color of the pattern, sRGB.
        pattern: One of `PATTERNS`.
        scale: Scale of the pattern: repeats per meter, or the width of a print in meters.
        gloss: 0 (cloth) to 1 (patent leather).
        folds: Amplitude of the folds, 0 to 1.
        seed: Offset of the pattern, equal in all images of an identity.
        level: Height of the middle of a print above the ground, meters.
        trim: sRGB of closure, band, stripe and emblem.
        closure: Half the width of the closure in front (zip, buttons), meters; 0 for none.
        band: Width of the band at a flat end (cuff, hem), meters.
        stripe: Half the width of a stripe along the side, meters.
        emblem: Half the size of an emblem on the chest, meters; below 0 on the other side.
        fade: How much lighter the front is (washed jeans), 0 to 1.
    """

    color: Vector
    second: Vector = (0.0, 0.0, 0.0)
    pattern: str = "plain"
    scale: float = 10.0
    gloss: float = 0.0
    folds: float = 0.0
    seed: float = 0.0
    level: float = 0.0
    trim: Vector = (0.0, 0.0, 0.0)
    closure: float = 0.0
    band: float = 0.0
    stripe: float = 0.0
    emblem: float = 0.0
    fade: float = 0.0


@dataclass
class Scene:
    """Solids and materials under construction."""

    solids: list[Solid] = field(default_factory=list)
    materials: list[Material] = field(default_factory=list)

    def add_material(self, material: Material) -> int:
        """Add a material; return its index."""
        self.materials.append(material)
        return len(self.materials) - 1

    def pack_materials(self) -> Array:
        """Pack the materials for the renderer: (M, 20), colors in linear light."""
        rows = [
            [
                *(channel**2.2 for channel in (*material.color, *material.second)),
                PATTERNS.index(material.pattern),
                material.scale,
                material.gloss,
                material.folds,
                material.seed,
                material.level,
                *(channel**2.2 for channel in material.trim),
                material.closure,
                material.band,
                material.stripe,
                material.emblem,
                material.fade,
            ]
            for material in self.materials
        ]
        return np.array(rows, dtype=np.float64).reshape(-1, 20)


def pack_solids(solids: Sequence[Solid]) -> Array:
    """Pack K solids for the renderer: (K, COLUMNS)."""
    rows = [
        (*solid.start, *solid.end, *solid.radii, *solid.stretch, *solid.front, *solid.covering, solid.part, *solid[-2:])
        for solid in solids
    ]
    return np.asarray(_pack(np.array(rows, dtype=np.float64).reshape(-1, 19)))


@njit(cache=True, nogil=True, error_model="numpy")
def _pack(rows: Any) -> Any:
    """Pack (K, 19) start, end, radii, stretch, front, covering, part, hem, creases into (K, COLUMNS)."""
    packed = np.empty((len(rows), COLUMNS))
    for k in range(len(rows)):
        row, solid = rows[k], packed[k]
        axis, front = row[3:6] - row[0:3], row[10:13]
        height = math.sqrt(axis[0] ** 2 + axis[1] ** 2 + axis[2] ** 2)
        point = height < 1e-9
        axis = np.array([0.0, 1.0, 0.0]) if point else axis / height
        side = _cross(axis, front)
        if (side * side).sum() < 1e-9:  # the front is along the axis: use an arbitrary side
            side = _cross(axis, np.array([0.31, 0.17, 0.93]))
        side /= math.sqrt((side * side).sum())
        solid[MAP : MAP + 3] = side / row[8]  # rows of the map: the solid's x, y, z in the world
        solid[MAP + 3 : MAP + 6] = axis
        solid[MAP + 6 : MAP + 9] = _cross(side, axis) / row[9]
        solid[ORIGIN : ORIGIN + 3] = row[0:3]
        solid[HEIGHT] = 0.0 if point else height
        solid[LOW : HIGH + 1] = row[6:8]
        solid[END : END + 3] = row[3:6]
        solid[REACH : REACH + 2] = row[6:8] * max(row[8], 1.0, row[9])
        solid[COVERING : COVERING + 3] = row[13:16]
        solid[COVERING + 3] = 2.399 * k + row[18]
        solid[PART], solid[CAP] = row[16], row[17]
        sine = 0.0 if point else (row[6] - row[7]) / height
        solid[SLOPE] = sine / math.sqrt(max(1e-9, 1 - sine * sine)) if abs(sine) < 1 else 0.0
    return packed


@njit(cache=True, nogil=True, error_model="numpy")
def _cross(a: Any, b: Any) -> Any:
    return np.array([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def to_local(solid: Any, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Transform a world direction to the solid's space."""
    return (
        solid[0] * x + solid[1] * y + solid[2] * z,
        solid[3] * x + solid[4] * y + solid[5] * z,
        solid[6] * x + solid[7] * y + solid[8] * z,
    )


@njit(cache=True, nogil=True, error_model="numpy", inline="always")
def pack_shape(solid: Any) -> tuple[float, float, float, float, float, float, float]:
    """Return the parameters of a solid for `hit`: h, r1, r2, flat end, opening of the cone (3)."""
    h, r1, r2 = solid[HEIGHT], solid[LOW], solid[HIGH]
    s = (r1 - r2) / h if h > 0.0 else 0.0  # sine of half the opening angle
    return h, r1, r2, solid[CAP], s, 1.0 - s * s, solid[SLOPE]


@njit(cache=True, nogil=True, error_model="numpy")
def hit(
    shape: tuple[float, float, float, float, float, float, float],
    px: float,
    py: float,
    pz: float,
    dx: float,
    dy: float,
    dz: float,
) -> float:
    """Return the smallest t > 0 at which p + t d (in the solid's space) enters the solid; infinity if there is none."""
    h, r1, r2, cap, s, cc, slope = shape
    square = dx * dx + dy * dy + dz * dz
    best = math.inf
    across, along = px * dx + pz * dz, px * px + pz * pz
    b = across + py * dy
    root = b * b - square * (along + py * py - r1 * r1)
    if root > 0:  # the first sphere
        t = (-b - math.sqrt(root)) / square
        if t > 1e-6:
            best = t
    if h == 0.0:
        return best
    if cap == 0.0:
        y = py - h
        b = across + y * dy
        root = b * b - square * (along + y * y - r2 * r2)
        if root > 0:
            t = (-b - math.sqrt(root)) / square
            if 1e-6 < t < best:
                best = t
    if cc <= 0.0:
        return best
    # rho^2 cos^2 = (r1 - y s)^2, the cone that touches both spheres
    w, wd = r1 - py * s, -dy * s
    a = cc * (dx * dx + dz * dz) - wd * wd
    b = cc * across - w * wd
    root = b * b - a * (cc * along - w * w)
    if root > 0 and abs(a) > 1e-12:
        root = math.sqrt(root)
        for sign in (-1.0, 1.0):  # the sign of a determines which root is smaller
            t = (-b + sign * root) / a
            if 1e-6 < t < best and w + t * wd > 0:
                x, y, z = px + t * dx, py + t * dy, pz + t * dz
                touch = y - math.sqrt(x * x + z * z) * slope  # center of the inscribed sphere that touches here
                if touch > 0.0 and (y if cap > 0.0 else touch) < h:
                    best = t
    return best


@njit(cache=True, nogil=True, error_model="numpy")
def surface(solid: Any, x: float, y: float, z: float) -> tuple[float, float, float, float, float, float]:
    """Return the position of a world point in the solid's space (3) and the outward normal in the world (3)."""
    lx, ly, lz = to_local(solid, x - solid[ORIGIN], y - solid[ORIGIN + 1], z - solid[ORIGIN + 2])
    along = min(max(ly - math.sqrt(lx * lx + lz * lz) * solid[SLOPE], 0.0), solid[HEIGHT])
    ny = ly - along
    nx = solid[0] * lx + solid[3] * ny + solid[6] * lz
    nz = solid[2] * lx + solid[5] * ny + solid[8] * lz
    ny = solid[1] * lx + solid[4] * ny + solid[7] * lz
    inverse = 1.0 / (math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12)
    return lx, ly, lz, nx * inverse, ny * inverse, nz * inverse
