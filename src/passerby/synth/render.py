"""The ray-caster: solids, a ground and a wall, seen by a camera in a light; linear RGB and what each pixel shows.

Each solid is drawn into the depth buffer over the pixels that it can cover, then every sample is shaded once; shadows
are looked for once a pixel. Compiled by numba; without fast-math, so that a seed gives the same picture every time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from passerby.synth.solids import (
    END,
    HEIGHT,
    LOOK,
    LOW,
    ORIGIN,
    PART,
    PARTS,
    PATTERNS,
    REACH,
    Array,
    hit,
    surface,
    to_local,
)

PLAIN, STRIPES, PINSTRIPES, PLAID, PRINT, TWO_TONE, OPEN, DENIM, WORN, FACE = range(len(PATTERNS))
NEAR = 0.05  # metres: nothing is drawn closer to the lens
_PARTS = len(PARTS)


@dataclass(frozen=True)
class View:
    """Where the camera stands, and which piece of its picture is rendered.

    Attributes:
        position: (3,) metres.
        basis: (3, 3) rows: right, up, forward; unit vectors.
        window: (left, right, top, bottom) of the crop in the image plane at distance 1, top above bottom.
    """

    position: Array
    basis: Array
    window: tuple[float, float, float, float]


@dataclass(frozen=True)
class Surroundings:
    """Ground, wall and light.

    Attributes:
        ground: (10,) pattern 0 to 4, repeats in a metre, turn, two colours (3 + 3), speckle; see `_ground`.
        wall: (9,) a point on it in x and z, its normal in x and z, colour (3), speckle, height in metres.
        panels: (R, 8) rectangles on the wall: left, right, bottom, top in metres, colour (3), panes in a metre.
        light: (12,) direction to the lamp (3), its colour (3), light from above (3), from below (3).
    """

    ground: Array
    wall: Array
    panels: Array
    light: Array


def render(
    solids: Array,
    materials: Array,
    view: View,
    around: Surroundings,
    *,
    size: tuple[int, int],
    person: int,
    samples: int = 2,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], Array]:
    """One picture.

    Args:
        solids: (K, COLUMNS), packed. The first `person` of them are the person whose picture it is.
        materials: (M, 10), packed.
        view: The camera.
        around: Ground, wall, light.
        size: (height, width) in pixels.
        person: How many solids are the person's.
        samples: Across a pixel and down it.

    Returns:
        (H, W, 3) linear light, 0 upwards; (H, W) labels, see `PARTS`; and of each part of the person (len(PARTS),) the
        samples that would be seen if nothing stood before it, and those that are (2, len(PARTS)).
    """
    rows, columns = size[0] * samples, size[1] * samples
    depth = np.full((rows, columns), np.inf)
    found = np.full((rows, columns), -1, dtype=np.int32)
    camera = view.position, view.basis, np.array(view.window)
    _draw(solids[:person], 0, *camera, depth, found)
    unhidden = _count_parts(solids, found, person)
    _draw(solids[person:], person, *camera, depth, found)
    counts = np.stack([unhidden, _count_parts(solids, found, person)])
    image = np.zeros((*size, 3), dtype=np.float32)
    lit = (around.ground, around.wall, around.panels, around.light)
    _shade(solids, materials, *camera, *lit, depth, found, image, samples)
    shown = found[samples // 2 :: samples, samples // 2 :: samples]
    parts = np.append(solids[:, PART], 0.0).astype(np.uint8)  # the last one is for -1, nothing there
    labels = parts[shown]
    return image, labels, counts


def project(points: Array, view: View) -> Array:
    """(N, 2) places in the image plane at distance 1 (right, up) of (N, 3) world points before the camera."""
    seen = (points - view.position) @ view.basis.T  # (N, 3)
    return np.asarray(seen[:, :2] / seen[:, 2:])


@njit(cache=True, nogil=True)
def _count_parts(solids: Any, found: Any, person: int) -> Any:
    counts = np.zeros(_PARTS)
    for place in found.ravel():
        if 0 <= place < person:
            counts[int(solids[place, PART])] += 1
    return counts


@njit(cache=True, nogil=True)
def _draw(solids: Any, first: int, eye: Any, basis: Any, window: Any, depth: Any, found: Any) -> None:
    """Put solids into the depth buffer; `found` holds the number of the nearest one."""
    rows, columns = depth.shape
    left, right, top, bottom = window
    across, down = (right - left) / columns, (bottom - top) / rows
    for k in range(len(solids)):
        solid = solids[k]
        u0, u1, v0, v1 = math.inf, -math.inf, math.inf, -math.inf
        behind = False
        for end in range(2):
            at = ORIGIN if end == 0 else END
            x, y, z = solid[at] - eye[0], solid[at + 1] - eye[1], solid[at + 2] - eye[2]
            far = basis[2, 0] * x + basis[2, 1] * y + basis[2, 2] * z
            reach = solid[REACH + end]
            if far - reach < NEAR:
                behind = True
                break
            u = (basis[0, 0] * x + basis[0, 1] * y + basis[0, 2] * z) / far
            v = (basis[1, 0] * x + basis[1, 1] * y + basis[1, 2] * z) / far
            wide = 1.05 * reach / (far - reach)  # a bound while the person is not at the edge of a wide lens
            du, dv = wide * math.sqrt(1 + u * u), wide * math.sqrt(1 + v * v)
            u0, u1, v0, v1 = min(u0, u - du), max(u1, u + du), min(v0, v - dv), max(v1, v + dv)
        if behind:
            continue
        c0, c1 = max(0, int((u0 - left) / across)), min(columns, int((u1 - left) / across) + 2)
        r0, r1 = max(0, int((v1 - top) / down)), min(rows, int((v0 - top) / down) + 2)
        # The eye and the picture's axes in the solid's space: once a solid, not once a ray.
        px, py, pz = to_local(solid, eye[0] - solid[ORIGIN], eye[1] - solid[ORIGIN + 1], eye[2] - solid[ORIGIN + 2])
        ux, uy, uz = to_local(solid, basis[0, 0], basis[0, 1], basis[0, 2])
        vx, vy, vz = to_local(solid, basis[1, 0], basis[1, 1], basis[1, 2])
        fx, fy, fz = to_local(solid, basis[2, 0], basis[2, 1], basis[2, 2])
        for row in range(r0, r1):
            v = top + (row + 0.5) * down
            for column in range(c0, c1):
                u = left + (column + 0.5) * across
                t = hit(solid, px, py, pz, fx + u * ux + v * vx, fy + u * uy + v * vy, fz + u * uz + v * vz)
                if t < depth[row, column]:
                    depth[row, column] = t
                    found[row, column] = first + k


@njit(cache=True, nogil=True)
def _shade(
    solids: Any,
    materials: Any,
    eye: Any,
    basis: Any,
    window: Any,
    ground: Any,
    wall: Any,
    panels: Any,
    light: Any,
    depth: Any,
    found: Any,
    image: Any,
    samples: int,
) -> None:
    """Fill the image: the mean of each pixel's samples."""
    rows, columns = depth.shape
    left, right, top, bottom = window
    across, down = (right - left) / columns, (bottom - top) / rows
    colour, normal = np.empty(3), np.empty(3)
    shadows = _shadows(solids, light)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            lamp = -1.0  # how much of the lamp reaches this pixel; looked for at its first sample that needs it
            empty = True
            for a in range(samples):
                for b in range(samples):
                    empty = empty and found[i * samples + a, j * samples + b] < 0
            rays = 1 if empty else samples  # what lies behind is smooth enough for one ray
            share, step = 1.0 / (rays * rays), samples / rays
            for a in range(rays):
                for b in range(rays):
                    v, u = (
                        top + (i * samples + (a + 0.5) * step) * down,
                        left + (j * samples + (b + 0.5) * step) * across,
                    )
                    dx = basis[2, 0] + u * basis[0, 0] + v * basis[1, 0]
                    dy = basis[2, 1] + u * basis[0, 1] + v * basis[1, 1]
                    dz = basis[2, 2] + u * basis[0, 2] + v * basis[1, 2]
                    row, column = i * samples + a, j * samples + b
                    t, gloss, cast = depth[row, column], 0.0, True
                    if not empty and found[row, column] >= 0:
                        x, y, z = eye[0] + t * dx, eye[1] + t * dy, eye[2] + t * dz
                        gloss = _clothe(solids[found[row, column]], materials, x, y, z, colour, normal)
                    else:
                        t, cast = _background(eye, dx, dy, dz, ground, wall, panels, colour, normal)
                        x, y, z = eye[0] + t * dx, eye[1] + t * dy, eye[2] + t * dz
                    facing = normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]
                    if lamp < 0.0 and cast and facing > 0.0:
                        lamp = _lamp(solids, shadows, x, y, z, normal, light)
                    direct = max(0.0, facing) * (lamp if cast and lamp >= 0.0 else 1.0)
                    up = 0.5 + 0.5 * normal[1]
                    shine = gloss * _shine(normal, light, dx, dy, dz) if gloss > 0.0 and direct > 0.0 else 0.0
                    for c in range(3):
                        ambient = up * light[6 + c] + (1.0 - up) * light[9 + c]
                        value = colour[c] * (direct * light[3 + c] + ambient) + shine * light[3 + c]
                        image[i, j, c] += share * value


@njit(cache=True, nogil=True)
def _shine(normal: Any, light: Any, dx: float, dy: float, dz: float) -> float:
    """The lamp mirrored in a glossy surface (Blinn's halfway vector)."""
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    hx, hy, hz = light[0] - dx / length, light[1] - dy / length, light[2] - dz / length
    halfway = (normal[0] * hx + normal[1] * hy + normal[2] * hz) / math.sqrt(hx * hx + hy * hy + hz * hz)
    return float(0.5 * max(0.0, halfway) ** 24)


@njit(cache=True, nogil=True)
def _shadows(solids: Any, light: Any) -> Any:
    """Where solids lie as the lamp sees them.

    (3, K + 2): middle on a plane across its light (2) and squared radius; the plane's two axes are the last columns.
    """
    k = len(solids)
    found = np.zeros((3, k + 2))
    ax, az = light[2], -light[0]  # level, and square to the light
    length = math.sqrt(ax * ax + az * az) + 1e-12
    ax, az = ax / length, az / length
    bx, by, bz = light[1] * az, light[2] * ax - light[0] * az, -light[1] * ax
    found[0, k], found[2, k] = ax, az
    found[0, k + 1], found[1, k + 1], found[2, k + 1] = bx, by, bz
    for n in range(k):
        solid = solids[n]
        x, y = 0.5 * (solid[ORIGIN] + solid[END]), 0.5 * (solid[ORIGIN + 1] + solid[END + 1])
        z = 0.5 * (solid[ORIGIN + 2] + solid[END + 2])
        found[0, n] = ax * x + az * z
        found[1, n] = bx * x + by * y + bz * z
        radius = 0.5 * solid[HEIGHT] + max(solid[REACH], solid[REACH + 1])
        found[2, n] = radius * radius
    return found


@njit(cache=True, nogil=True)
def _lamp(solids: Any, shadows: Any, x: float, y: float, z: float, normal: Any, light: Any) -> float:
    """1 where the lamp is seen from a point, 0 where a solid stands before it."""
    x, y, z = x + 0.012 * normal[0], y + 0.012 * normal[1], z + 0.012 * normal[2]
    count = len(solids)
    a = shadows[0, count] * x + shadows[2, count] * z
    b = shadows[0, count + 1] * x + shadows[1, count + 1] * y + shadows[2, count + 1] * z
    for k in range(count):
        if (shadows[0, k] - a) ** 2 + (shadows[1, k] - b) ** 2 < shadows[2, k]:
            solid = solids[k]
            px, py, pz = to_local(solid, x - solid[ORIGIN], y - solid[ORIGIN + 1], z - solid[ORIGIN + 2])
            dx, dy, dz = to_local(solid, light[0], light[1], light[2])
            if hit(solid, px, py, pz, dx, dy, dz) < math.inf:
                return 0.0
    return 1.0


@njit(cache=True, nogil=True)
def _clothe(solid: Any, materials: Any, x: float, y: float, z: float, colour: Any, normal: Any) -> float:
    """Colour and normal of a point on a solid, with pattern and folds; returns its gloss."""
    lx, ly, lz, nx, ny, nz = surface(solid, x, y, z)
    above = ly > solid[LOOK + 2] * solid[HEIGHT]
    material = materials[int(solid[LOOK + 1] if above else solid[LOOK])]
    pattern, scale = int(material[6]), material[7]
    mix, worn = 0.0, 1.0
    phase = solid[LOOK + 3]
    if pattern == STRIPES:
        mix = 1.0 if math.sin(6.2832 * y * scale) > 0.0 else 0.0
    elif pattern == PINSTRIPES:
        mix = 1.0 if math.sin(math.atan2(lx, lz) * scale) > 0.75 else 0.0
    elif pattern == PLAID:
        mix = 0.5 * (math.sin(6.2832 * y * scale) > 0.3) + 0.5 * (math.sin(math.atan2(lx, lz) * 1.5 * scale) > 0.3)
    elif pattern == PRINT:
        middle = 0.7 * solid[HEIGHT]
        if lz > 0 and abs(lx) < scale and abs(ly - middle) < scale:
            mix = 1.0 if noise(40 * lx + phase, 40 * ly) > 0.35 else 0.0
    elif pattern == TWO_TONE:
        mix = 1.0 if ly > scale * solid[HEIGHT] else 0.0
    elif pattern == OPEN:
        mix = 1.0 if lz > 0 and abs(lx) < scale * (1.0 + 0.3 * math.sin(5.0 * ly + phase)) else 0.0
    elif pattern == DENIM:
        worn = 0.85 + 0.3 * noise(9 * math.atan2(lx, lz) + phase, 25 * ly)
    elif pattern == WORN:
        worn = 0.75 + 0.5 * noise(3 * math.atan2(lx, lz) + phase, 9 * ly)
    elif pattern == FACE and lz > 0:  # brows and eyes, nose, mouth: a pixel or two, but they tell front from back
        u, v = abs(lx) / solid[LOW], ly / solid[LOW]
        eyes = 0.15 < u < 0.55 and 0.05 < v < 0.22
        mix = 0.7 if eyes else 0.45 if u < 0.25 and -0.62 < v < -0.5 else 0.15 if u < 0.12 and -0.35 < v < 0.0 else 0.0
    for c in range(3):
        colour[c] = worn * ((1.0 - mix) * material[c] + mix * material[3 + c])
    folds = material[9]
    if folds > 0.0:
        angle = math.atan2(lx, lz)
        wave = math.sin(31 * ly + 2.5 * angle + phase) + 0.6 * math.sin(57 * ly - 3.7 * angle + 2.1 * phase)
        turn = math.sin(5.3 * angle + 11 * ly + 1.7 * phase)
        ny += 0.3 * folds * wave
        nx += 0.25 * folds * turn * nz
        nz -= 0.25 * folds * turn * nx
        length = math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12
        nx, ny, nz = nx / length, ny / length, nz / length
    normal[0], normal[1], normal[2] = nx, ny, nz
    return float(material[8])


@njit(cache=True, nogil=True)
def _background(
    eye: Any, dx: float, dy: float, dz: float, ground: Any, wall: Any, panels: Any, colour: Any, normal: Any
) -> tuple[float, bool]:
    """What stands behind the solids: how far away, and whether shadows of solids fall on it."""
    floor = -eye[1] / dy if dy < -1e-9 else math.inf
    toward = dx * wall[2] + dz * wall[3]
    away = ((wall[0] - eye[0]) * wall[2] + (wall[1] - eye[2]) * wall[3]) / toward if toward < -1e-9 else math.inf
    if away < floor:
        x, y, z = eye[0] + away * dx - wall[0], eye[1] + away * dy, eye[2] + away * dz - wall[1]
        if y < wall[8]:
            _wall(x * wall[3] - z * wall[2], y, wall, panels, colour)
            normal[0], normal[1], normal[2] = wall[2], 0.0, wall[3]
            return away, False
    if floor < 60.0:
        _ground(eye[0] + floor * dx, eye[2] + floor * dz, ground, colour)
        normal[0], normal[1], normal[2] = 0.0, 1.0, 0.0
        return floor, True
    colour[:] = 0.8  # sky, or what is too far away to be told from it
    normal[0], normal[1], normal[2] = 0.0, 1.0, 0.0
    return 60.0, False


@njit(cache=True, nogil=True)
def _ground(x: float, z: float, ground: Any, colour: Any) -> None:
    """Asphalt (0), tiles (1), planks (2), bricks (3), a chequer (4); stained and speckled."""
    pattern, scale = int(ground[0]), ground[1]
    a, b = math.cos(ground[2]), math.sin(ground[2])
    x, z = scale * (a * x - b * z), scale * (b * x + a * z)
    mix = 0.0
    if pattern == 1:
        mix = 1.0 if x - math.floor(x) < 0.07 or z - math.floor(z) < 0.07 else 0.0
    elif pattern == 2:
        mix = 1.0 if x - math.floor(x) < 0.12 else 0.0
    elif pattern == 3:
        shift = 0.5 * (math.floor(z) % 2)
        across = 0.5 * x + shift
        mix = 1.0 if across - math.floor(across) < 0.05 or z - math.floor(z) < 0.1 else 0.0
    elif pattern == 4:
        mix = (math.floor(x) + math.floor(z)) % 2
    speckle = 1.0 + ground[9] * (noise(0.7 * x, 0.7 * z) + 0.6 * noise(9 * x, 9 * z) - 0.8)
    for c in range(3):
        colour[c] = max(0.0, speckle) * ((1.0 - mix) * ground[3 + c] + mix * ground[6 + c])


@njit(cache=True, nogil=True)
def _wall(across: float, y: float, wall: Any, panels: Any, colour: Any) -> None:
    """A wall with what hangs on it or opens in it."""
    speckle = max(0.0, 1.0 + wall[7] * (noise(0.8 * across, 0.8 * y) + 0.7 * noise(7 * across, 7 * y) - 0.85))
    for c in range(3):
        colour[c] = wall[4 + c] * speckle
    for k in range(len(panels)):
        panel = panels[k]
        if panel[0] < across < panel[1] and panel[2] < y < panel[3]:
            frame = 1.0
            if panel[7] > 0.0:
                u, v = (across - panel[0]) * panel[7], (y - panel[2]) * panel[7]
                frame = 0.45 if u - math.floor(u) < 0.08 or v - math.floor(v) < 0.08 else 1.0
            shade = frame * (0.8 + 0.4 * noise(2 * across + 7 * k, 2 * y))
            for c in range(3):
                colour[c] = panel[4 + c] * shade


@njit(cache=True, nogil=True)
def noise(x: float, y: float) -> float:
    """Value noise, 0 to 1, that changes over distances of about 1."""
    i, j = math.floor(x), math.floor(y)
    u, v = x - i, y - j
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    low = (1 - u) * _grain(i, j) + u * _grain(i + 1, j)
    high = (1 - u) * _grain(i, j + 1) + u * _grain(i + 1, j + 1)
    return (1 - v) * low + v * high


@njit(cache=True, nogil=True)
def _grain(i: float, j: float) -> float:
    """A random number, 0 to 1, of a point with whole coordinates."""
    mixed = np.uint32(np.int64(i) * 374761393 + np.int64(j) * 668265263)
    mixed = np.uint32((mixed ^ (mixed >> np.uint32(13))) * np.uint32(1274126177))
    return float(mixed ^ (mixed >> np.uint32(16))) / 4294967295.0
