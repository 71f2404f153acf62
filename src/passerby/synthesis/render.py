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

from passerby.synthesis.looks import background, clothe
from passerby.synthesis.shadows import lamp_seen, shadows_of
from passerby.synthesis.solids import END, ORIGIN, PART, PARTS, REACH, Array, hit, shape_of, to_local

NEAR = 0.05  # meters: nothing is drawn closer to the lens
_PARTS = len(PARTS)


@dataclass(frozen=True)
class View:
    """Where the camera stands, and which piece of its picture is rendered.

    Attributes:
        position: (3,) meters.
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
        ground: (10,) pattern 0 to 4, repeats in a meter, turn, two colors (3 + 3), speckle; see `_ground`.
        wall: (9,) a point on it in x and z, its normal in x and z, color (3), speckle, height in meters.
        panels: (R, 8) rectangles on the wall: left, right, bottom, top in meters, color (3), panes in a meter.
        light: (12,) direction to the lamp (3), its color (3), light from above (3), from below (3).
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


@njit(cache=True, nogil=True, error_model="numpy")
def _count_parts(solids: Any, found: Any, person: int) -> Any:
    counts = np.zeros(_PARTS)
    for place in found.ravel():
        if 0 <= place < person:
            counts[int(solids[place, PART])] += 1
    return counts


@njit(cache=True, nogil=True, error_model="numpy")
def _draw(solids: Any, first: int, eye: Any, basis: Any, window: Any, depth: Any, found: Any) -> None:
    """Put solids into the depth buffer; `found` holds the number of the nearest one."""
    rows, columns = depth.shape
    left, right, top, bottom = window
    across, down = (right - left) / columns, (bottom - top) / rows
    boxes = np.empty((2, 4))  # around each end, in columns and rows: middle (2) and half its size (2)
    for k in range(len(solids)):
        solid = solids[k]
        behind, least = False, math.inf
        for end in range(2):
            at = ORIGIN if end == 0 else END
            x, y, z = solid[at] - eye[0], solid[at + 1] - eye[1], solid[at + 2] - eye[2]
            far = basis[2, 0] * x + basis[2, 1] * y + basis[2, 2] * z
            reach = solid[REACH + end]
            if far - reach < NEAR:
                behind = True
                break
            least = min(least, far - 1.1 * reach)
            u = (basis[0, 0] * x + basis[0, 1] * y + basis[0, 2] * z) / far
            v = (basis[1, 0] * x + basis[1, 1] * y + basis[1, 2] * z) / far
            wide = 1.05 * reach / (far - reach)  # a bound while the person is not at the edge of a wide lens
            boxes[end, 0], boxes[end, 1] = (u - left) / across, (v - top) / down
            boxes[end, 2], boxes[end, 3] = wide * math.sqrt(1 + u * u) / across, -wide * math.sqrt(1 + v * v) / down
        if behind:
            continue
        u0, v0, du0, dv0 = boxes[0]
        u1, v1, du1, dv1 = boxes[1]
        r0, r1 = max(0, int(min(v0 - dv0, v1 - dv1))), min(rows, int(max(v0 + dv0, v1 + dv1)) + 2)
        shape = shape_of(solid)
        # The eye and the picture's axes in the solid's space: once a solid, not once a ray.
        px, py, pz = to_local(solid, eye[0] - solid[ORIGIN], eye[1] - solid[ORIGIN + 1], eye[2] - solid[ORIGIN + 2])
        ux, uy, uz = to_local(solid, basis[0, 0], basis[0, 1], basis[0, 2])
        vx, vy, vz = to_local(solid, basis[1, 0], basis[1, 1], basis[1, 2])
        fx, fy, fz = to_local(solid, basis[2, 0], basis[2, 1], basis[2, 2])
        for row in range(r0, r1):
            # The solid lies in the hull of the boxes around its ends: in all boxes between them, s = 0 to 1. Of these
            # the row meets s0 to s1, and their sides are straight lines in s.
            s0, s1 = _meet(row + 0.5 - v0 - dv0 - 1, v1 - v0 + dv1 - dv0, 0.0, 1.0)
            s0, s1 = _meet(v0 - row - 0.5 - dv0 - 1, v0 - v1 + dv1 - dv0, s0, s1)
            if s0 > s1:
                continue
            du, dd = u1 - u0, du1 - du0
            c0 = max(0, int(min(u0 - du0 + s0 * (du - dd), u0 - du0 + s1 * (du - dd)) - 0.5))
            c1 = min(columns, int(max(u0 + du0 + s0 * (du + dd), u0 + du0 + s1 * (du + dd)) + 0.5) + 1)
            v = top + (row + 0.5) * down
            for column in range(c0, c1):
                if depth[row, column] < least:  # t is the distance along the camera's axis
                    continue
                u = left + (column + 0.5) * across
                t = hit(shape, px, py, pz, fx + u * ux + v * vx, fy + u * uy + v * vy, fz + u * uz + v * vz)
                if t < depth[row, column]:
                    depth[row, column] = t
                    found[row, column] = first + k


@njit(cache=True, nogil=True, error_model="numpy")
def _meet(p: float, q: float, low: float, high: float) -> tuple[float, float]:
    """The s of an interval for which p <= s q; empty when the first is above the second."""
    if q > 0.0:
        return max(low, p / q), high
    if q < 0.0:
        return low, min(high, p / q)
    return (low, high) if p <= 0.0 else (1.0, 0.0)


@njit(cache=True, nogil=True, error_model="numpy")
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
    color, normal = np.empty(3), np.empty(3)
    shadows = shadows_of(solids, light)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            lamp = -1.0  # how much of the lamp reaches this pixel; looked for at its first sample that needs it
            first, alike = found[i * samples, j * samples], True
            for a in range(samples):
                for b in range(samples):
                    alike = alike and found[i * samples + a, j * samples + b] == first
            # What lies behind is smooth enough for one ray, the inside of one solid for those on the diagonal.
            empty = alike and first < 0
            rays = 1 if empty else samples
            share, step = 1.0 / (rays if alike else rays * rays), samples / rays
            for a in range(rays):
                for b in range(rays):
                    if alike and a != b:
                        continue
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
                        gloss = clothe(solids[found[row, column]], materials, x, y, z, color, normal)
                    else:
                        t, cast = background(eye, dx, dy, dz, ground, wall, panels, color, normal)
                        x, y, z = eye[0] + t * dx, eye[1] + t * dy, eye[2] + t * dz
                    facing = normal[0] * light[0] + normal[1] * light[1] + normal[2] * light[2]
                    if lamp < 0.0 and cast and facing > 0.0:
                        lamp = lamp_seen(solids, shadows, x, y, z, normal, light)
                    direct = max(0.0, facing) * (lamp if cast and lamp >= 0.0 else 1.0)
                    up = 0.5 + 0.5 * normal[1]
                    shine = gloss * _shine(normal, light, dx, dy, dz) if gloss > 0.0 and direct > 0.0 else 0.0
                    for c in range(3):
                        ambient = up * light[6 + c] + (1.0 - up) * light[9 + c]
                        value = color[c] * (direct * light[3 + c] + ambient) + shine * light[3 + c]
                        image[i, j, c] += share * value


@njit(cache=True, nogil=True, error_model="numpy")
def _shine(normal: Any, light: Any, dx: float, dy: float, dz: float) -> float:
    """The lamp mirrored in a glossy surface (Blinn's halfway vector)."""
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    hx, hy, hz = light[0] - dx / length, light[1] - dy / length, light[2] - dz / length
    halfway = (normal[0] * hx + normal[1] * hy + normal[2] * hz) / math.sqrt(hx * hx + hy * hy + hz * hz)
    return float(0.5 * max(0.0, halfway) ** 24)
