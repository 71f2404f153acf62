"""Surface colors and normals: clothes with patterns and folds, ground, wall, sky. Compiled by numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from passerby.compiled import njit
from passerby.synthesis.solids import CAP, COVERING, HEIGHT, LOW, PATTERNS, surface

(
    _, STRIPES, PINSTRIPES, PLAID, PRINT, TWO_TONE, OPEN, DENIM, WORN, FACE, TEXT, BAND, DOTS, CAMOUFLAGE, HEATHER,
    HAIR, GLASSES, YOKE,
) = range(len(PATTERNS))  # fmt: skip
SEED, LEVEL, TRIM, CLOSURE, EDGE, STRIPE, EMBLEM, FADE = 10, 11, 12, 15, 16, 17, 18, 19
"""Columns of a packed material after color, second color, pattern, scale, gloss and folds, see `solids.Material`."""
PLANTS = -1000.0
"""Value of a panel that is covered with plants."""


@njit(cache=True, nogil=True, error_model="numpy")
def color_solid(solid: Any, materials: Any, x: float, y: float, z: float, color: Any, normal: Any) -> float:
    """Write color and normal of a world point on a solid, with pattern and folds; return its gloss."""
    lx, ly, lz, nx, ny, nz = surface(solid, x, y, z)
    above = ly > solid[COVERING + 2] * solid[HEIGHT]
    material = materials[int(solid[COVERING + 1] if above else solid[COVERING])]
    pattern, folds = int(material[6]), material[9]
    around = folds > 0.0 or pattern in (PINSTRIPES, PLAID, DENIM, WORN, DOTS, CAMOUFLAGE, HEATHER, HAIR)
    angle = _angle(lx, lz) if around else 0.0
    mix, shade = _apply_pattern(solid, material, y, lx, ly, lz, angle)
    trim = _is_trim(solid, material, y, lx, ly, lz)
    if folds > 0.0:
        nx, ny, nz, depth = _fold(nx, ny, nz, folds, ly, angle, solid)
        shade *= depth
    for c in range(3):
        plain = material[TRIM + c] if trim else (1.0 - mix) * material[c] + mix * material[3 + c]
        color[c] = shade * plain
    normal[0], normal[1], normal[2] = nx, ny, nz
    return float(material[8])


@njit(cache=True, nogil=True, error_model="numpy")
def _apply_pattern(
    solid: Any, material: Any, y: float, lx: float, ly: float, lz: float, angle: float
) -> tuple[float, float]:
    """Return (fraction of the second color, factor of the brightness) at a point.

    `y` is the height in the world, (lx, ly, lz) the point in the solid's space, `angle` its angle around the axis.
    """
    pattern, seed = int(material[6]), material[SEED]
    around = angle * solid[LOW]
    mix, shade = 0.0, 1.0
    if pattern in (STRIPES, PINSTRIPES, PLAID, DOTS, CAMOUFLAGE):
        mix = _mix_all_over(pattern, material[7], seed, y, around, angle)
    elif pattern in (PRINT, TEXT, BAND, YOKE, TWO_TONE, OPEN):
        mix = _mix_in_place(solid, material, y, lx, ly, lz)
    elif pattern in (FACE, GLASSES) and lz > 0:
        mix = _mix_face(abs(lx) / solid[LOW], ly / solid[LOW], pattern == GLASSES)
    if pattern == CAMOUFLAGE:
        shade = 0.75 + 0.5 * (noise(material[7] * around - seed, 1.3 * material[7] * y) > 0.5)
    elif pattern == HEATHER:
        shade = 0.75 + 0.5 * noise(70 * around + seed, 45 * y)
    elif pattern == DENIM:
        shade = 0.85 + 0.3 * noise(9 * angle + seed, 25 * ly)
    elif pattern == WORN:
        shade = 0.75 + 0.5 * noise(3 * angle + seed, 9 * ly)
    elif pattern == HAIR:
        shade = 0.45 + 1.1 * noise(7 * angle + seed, 30 * ly)
    if material[FADE] > 0.0 and lz > 0:
        along = ly / (solid[HEIGHT] + 1e-9) - 0.6
        shade *= 1.0 + material[FADE] * max(0.0, 1.0 - 4.0 * along * along) * lz / (abs(lx) + lz)
    return mix, shade


@njit(cache=True, nogil=True, error_model="numpy")
def _mix_all_over(pattern: int, scale: float, seed: float, y: float, around: float, angle: float) -> float:
    """Fraction of the second color of a pattern that covers the garment; `around` is in meters."""
    if pattern == STRIPES:
        return 1.0 if _sine(6.2832 * y * scale) > 0.0 else 0.0
    if pattern == PINSTRIPES:
        return 1.0 if _sine(angle * scale) > 0.75 else 0.0
    if pattern == PLAID:
        return 0.5 * (_sine(6.2832 * y * scale) > 0.3) + 0.5 * (_sine(angle * 1.5 * scale) > 0.3)
    return 1.0 if noise(scale * around + seed, scale * y) > (0.68 if pattern == DOTS else 0.5) else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _mix_in_place(solid: Any, material: Any, y: float, lx: float, ly: float, lz: float) -> float:
    """Fraction of the second color of a pattern with a place: print, text, band, yoke, upper part, open front."""
    pattern, scale, seed, level = int(material[6]), material[7], material[SEED], y - material[LEVEL]
    inside = False
    if pattern == BAND:
        inside = abs(level) < scale
    elif pattern == YOKE:
        inside = level > scale
    elif pattern == TWO_TONE:
        inside = ly > scale * solid[HEIGHT]
    elif lz > 0 and pattern == OPEN:
        inside = abs(lx) < scale * (1.0 + 0.3 * _sine(5.0 * ly + seed))
    elif lz > 0 and abs(lx) < scale and pattern == PRINT:
        inside = abs(level) < 1.2 * scale and noise(3 * lx / scale + seed, 3 * level / scale - seed) > 0.45
    elif lz > 0 and abs(lx) < scale:  # three lines of text
        row = math.floor(level * 28)
        letter = _hash(math.floor(lx * 70), row + math.floor(seed)) > 0.3
        inside = -2 <= row < 1 and level * 28 - row < 0.62 and letter
    return 1.0 if inside else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _is_trim(solid: Any, material: Any, y: float, lx: float, ly: float, lz: float) -> bool:
    """Return whether a point lies on the closure, the band at a flat end, the stripe at the side or the emblem."""
    if lz > 0 and abs(lx) < material[CLOSURE]:
        return True
    if solid[CAP] > 0.0 and ly > solid[HEIGHT] - material[EDGE]:
        return True
    if abs(lz) < material[STRIPE]:
        return True
    size = abs(material[EMBLEM])
    if size > 0.0 and lz > 0 and solid[CAP] == 0.0:
        side = 0.075 if material[EMBLEM] > 0.0 else -0.075
        return bool(abs(lx - side) < size and abs(y - material[LEVEL] - 0.06) < size)
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _mix_face(u: float, v: float, glasses: bool) -> float:
    """Fraction of the second color on a face: brows and eyes, mouth, nose. One or two pixels that mark the front."""
    if glasses and 0.02 < v < 0.24:
        return 1.0
    if 0.15 < u < 0.55 and 0.05 < v < 0.22:
        return 0.7
    if u < 0.25 and -0.62 < v < -0.5:
        return 0.45
    return 0.15 if u < 0.12 and -0.35 < v < 0.0 else 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def _fold(
    nx: float, ny: float, nz: float, folds: float, ly: float, angle: float, solid: Any
) -> tuple[float, float, float, float]:
    """Return a normal that is turned by the folds of the cloth (3) and the factor of the brightness in their depth.

    The folds are oblique ridges of noise, deeper near the ends of a solid, which are joints.
    """
    height, offset = solid[HEIGHT], solid[COVERING + 3]
    near = min(abs(ly), abs(height - ly)) * 9.0
    folds *= 0.6 + 0.8 / (1.0 + near * near)
    u, v = angle * (solid[LOW] + 0.03), ly
    here = _crease(u, v, offset)
    aside, above = _crease(u + 0.004, v, offset) - here, _crease(u, v + 0.004, offset) - here
    ny -= 2.2 * folds * above
    nx, nz = nx - 1.6 * folds * aside * nz, nz + 1.6 * folds * aside * nx
    inverse = 1.0 / (math.sqrt(nx * nx + ny * ny + nz * nz) + 1e-12)
    return nx * inverse, ny * inverse, nz * inverse, 1.0 - 0.45 * folds * (1.0 - here)


@njit(cache=True, nogil=True, error_model="numpy")
def _crease(u: float, v: float, offset: float) -> float:
    """Return the height of the cloth, 0 to 1, at a point around (u) and along (v) a solid, meters."""
    first = abs(2.0 * noise(10.0 * u + 6.0 * v + offset, 13.0 * v - 4.0 * u - offset) - 1.0)
    second = abs(2.0 * noise(24.0 * u - 17.0 * v - offset, 25.0 * v + 12.0 * u + offset) - 1.0)
    return float(math.sqrt(first) * 0.65 + math.sqrt(second) * 0.35)


@njit(cache=True, nogil=True, error_model="numpy")
def _sine(x: float) -> float:
    """Approximate the sine to 0.001, in a third of the time of math.sin."""
    turn = x * 0.15915494309189535
    turn -= math.floor(turn + 0.5)
    bow = turn * (8.0 - 16.0 * abs(turn))
    return bow * (0.775 + 0.225 * abs(bow))


@njit(cache=True, nogil=True, error_model="numpy")
def _angle(x: float, z: float) -> float:
    """Approximate atan2(x, z) to 0.00014 radians."""
    low, high = min(abs(x), abs(z)), max(abs(x), abs(z))
    a = low / (high + 1e-30)
    s = a * a
    angle = a * (1.0 + s * (-0.32623907 + s * (0.15531926 - s * 0.04381537)))
    if abs(x) > abs(z):
        angle = 0.5 * math.pi - angle
    if z < 0.0:
        angle = math.pi - angle
    return -angle if x < 0.0 else angle


@njit(cache=True, nogil=True, error_model="numpy")
def background(
    eye: Any, dx: float, dy: float, dz: float, ground: Any, wall: Any, panels: Any, color: Any, normal: Any
) -> tuple[float, bool]:
    """Write color and normal of the background; return its distance and whether solids cast shadows on it."""
    floor = -eye[1] / dy if dy < -1e-9 else math.inf
    toward = dx * wall[2] + dz * wall[3]
    away = ((wall[0] - eye[0]) * wall[2] + (wall[1] - eye[2]) * wall[3]) / toward if toward < -1e-9 else math.inf
    if away < floor:
        x, y, z = eye[0] + away * dx - wall[0], eye[1] + away * dy, eye[2] + away * dz - wall[1]
        if y < wall[8]:
            _color_wall(x * wall[3] - z * wall[2], y, wall, panels, color)
            normal[0], normal[1], normal[2] = wall[2], 0.0, wall[3]
            return away, False
    if floor < 60.0:
        _color_ground(eye[0] + floor * dx, eye[2] + floor * dz, ground, color)
        normal[0], normal[1], normal[2] = 0.0, 1.0, 0.0
        return floor, True
    color[:] = 0.8  # sky, or ground that is too far away to differ from it
    normal[0], normal[1], normal[2] = 0.0, 1.0, 0.0
    return 60.0, False


@njit(cache=True, nogil=True, error_model="numpy")
def _color_ground(x: float, z: float, ground: Any, color: Any) -> None:
    """Write the color of the ground: asphalt (0), tiles (1), planks (2), bricks (3) or a checker (4), with stains."""
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
        color[c] = max(0.0, speckle) * ((1.0 - mix) * ground[3 + c] + mix * ground[6 + c])


@njit(cache=True, nogil=True, error_model="numpy")
def _color_wall(across: float, y: float, wall: Any, panels: Any, color: Any) -> None:
    """Write the color of the wall or of the topmost panel on it."""
    for k in range(len(panels) - 1, -1, -1):  # the last panel is on top
        panel = panels[k]
        if panel[0] < across < panel[1] and panel[2] < y < panel[3]:
            u, v = (across - panel[0]) * abs(panel[7]), (y - panel[2]) * panel[7]
            shade = 0.8 + 0.4 * noise(2 * across + 7 * k, 2 * y)
            if panel[7] == PLANTS:
                shade = 0.2 + 3.0 * noise(5 * across, 5 * y) * noise(17 * across, 19 * y)
            elif panel[7] > 0.0:
                shade *= 0.45 if u - math.floor(u) < 0.08 or v - math.floor(v) < 0.08 else 1.0
            elif panel[7] < 0.0 and u - math.floor(u) > 0.3 and y < panel[3] - 0.06:
                continue  # between two bars
            for c in range(3):
                color[c] = panel[4 + c] * shade
            return
    speckle = max(0.0, 1.0 + wall[7] * (noise(0.8 * across, 0.8 * y) + 0.7 * noise(7 * across, 7 * y) - 0.85))
    for c in range(3):
        color[c] = wall[4 + c] * speckle


@njit(cache=True, nogil=True, error_model="numpy")
def noise(x: float, y: float) -> float:
    """Value noise, 0 to 1, with a correlation length of about 1."""
    i, j = math.floor(x), math.floor(y)
    u, v = x - i, y - j
    u, v = u * u * (3 - 2 * u), v * v * (3 - 2 * v)
    low = (1 - u) * _hash(i, j) + u * _hash(i + 1, j)
    high = (1 - u) * _hash(i, j + 1) + u * _hash(i + 1, j + 1)
    return (1 - v) * low + v * high


@njit(cache=True, nogil=True, error_model="numpy")
def _hash(i: float, j: float) -> float:
    """Return a pseudo-random number, 0 to 1, of a point with integer coordinates."""
    mixed = np.uint32(np.int64(i) * 374761393 + np.int64(j) * 668265263)
    mixed = np.uint32((mixed ^ (mixed >> np.uint32(13))) * np.uint32(1274126177))
    return float(mixed ^ (mixed >> np.uint32(16))) / 4294967295.0
