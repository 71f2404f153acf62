"""Ray caster: linear RGB and part labels of solids, ground and wall, for a camera and a light.

Each solid is drawn into the depth buffer over the pixels that it can cover; then every sample is shaded once. Shadows
are computed once per pixel. Compiled by numba without fast-math, so that a seed gives equal images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from passerby.compiled import njit
from passerby.synthesis.shadows import index_shadows, lamp_seen
from passerby.synthesis.solids import END, ORIGIN, PART, PARTS, REACH, Array, hit, pack_shape, to_local
from passerby.synthesis.surfaces import background, color_solid

NEAR = 0.05
"""Meters in front of the lens in which nothing is drawn."""
_PARTS = len(PARTS)


@dataclass(frozen=True)
class View:
    """Pose of a camera and the rendered window of its image plane.

    Attributes:
        position: (3,) position of the camera, meters.
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
        ground: (10,) pattern 0 to 4 (see `surfaces`), repeats per meter, rotation, two colors (3 + 3), speckle.
        wall: (9,) x and z of a point, x and z of the normal, color (3), speckle, height in meters.
        panels: (R, 8) rectangles on the wall: left, right, bottom, top in meters, color (3), panes per
            meter, bars per meter below 0, or `PLANTS`.
        light: (12,) direction to the lamp (3), its color (3), ambient light from above (3) and from below (3).
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
    """Render one image.

    Args:
        solids: (K, COLUMNS), packed. The first `person` of them belong to the person.
        materials: (M, 20), packed.
        view: The camera.
        around: Ground, wall, light.
        size: (height, width) in pixels.
        person: Number of solids of the person.
        samples: Rays per pixel in each direction.

    Returns:
        Linear light (H, W, 3), at least 0; labels (H, W), indices into `PARTS`; samples (2, len(PARTS)) of each part of
        the person, without and with occlusion.
    """
    rows, columns = size[0] * samples, size[1] * samples
    depth = np.full((rows, columns), np.inf)
    nearest = np.full((rows, columns), -1, dtype=np.int32)
    camera = view.position, view.basis, np.array(view.window)
    _draw(solids[:person], 0, *camera, depth, nearest)
    unoccluded = _count_parts(solids, nearest, person)
    _draw(solids[person:], person, *camera, depth, nearest)
    counts = np.stack([unoccluded, _count_parts(solids, nearest, person)])
    image = np.zeros((*size, 3), dtype=np.float32)
    scene = (around.ground, around.wall, around.panels, around.light)
    _shade(solids, materials, *camera, *scene, depth, nearest, image, samples)
    centers = nearest[samples // 2 :: samples, samples // 2 :: samples]
    parts = np.append(solids[:, PART], 0.0).astype(np.uint8)  # the last value is for -1, the background
    labels = parts[centers]
    return image, labels, counts


def project(points: Array, view: View) -> Array:
    """Project (N, 3) world points in front of the camera to (N, 2) (right, up) in the image plane at distance 1."""
    local = (points - view.position) @ view.basis.T  # (N, 3)
    return np.asarray(local[:, :2] / local[:, 2:])


@njit(cache=True, nogil=True, error_model="numpy")
def _count_parts(solids: Any, nearest: Any, person: int) -> Any:
    counts = np.zeros(_PARTS)
    for index in nearest.ravel():
        if 0 <= index < person:
            counts[int(solids[index, PART])] += 1
    return counts


@njit(cache=True, nogil=True, error_model="numpy")
def _draw(solids: Any, first: int, eye: Any, basis: Any, window: Any, depth: Any, nearest: Any) -> None:
    """Draw solids into the depth buffer; `nearest` holds the index of the nearest solid, -1 for none."""
    rows, columns = depth.shape
    left, right, top, bottom = window
    across, down = (right - left) / columns, (bottom - top) / rows
    boxes = np.empty((2, 4))  # around each end, in columns and rows: center (2) and half size (2)
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
            wide = 1.05 * reach / (far - reach)  # a bound, except at the edge of a wide-angle image
            boxes[end, 0], boxes[end, 1] = (u - left) / across, (v - top) / down
            boxes[end, 2], boxes[end, 3] = wide * math.sqrt(1 + u * u) / across, -wide * math.sqrt(1 + v * v) / down
        if behind:
            continue
        u0, v0, du0, dv0 = boxes[0]
        u1, v1, du1, dv1 = boxes[1]
        r0, r1 = max(0, int(min(v0 - dv0, v1 - dv1))), min(rows, int(max(v0 + dv0, v1 + dv1)) + 2)
        shape = pack_shape(solid)
        # Camera position and image axes in the solid's space, once per solid instead of once per ray.
        px, py, pz = to_local(solid, eye[0] - solid[ORIGIN], eye[1] - solid[ORIGIN + 1], eye[2] - solid[ORIGIN + 2])
        ux, uy, uz = to_local(solid, basis[0, 0], basis[0, 1], basis[0, 2])
        vx, vy, vz = to_local(solid, basis[1, 0], basis[1, 1], basis[1, 2])
        fx, fy, fz = to_local(solid, basis[2, 0], basis[2, 1], basis[2, 2])
        for row in range(r0, r1):
            # The solid lies in the hull of the boxes around its ends, the union of the interpolated boxes s = 0 to 1.
            # The row intersects those from s0 to s1, and their left and right sides are linear in s.
            s0, s1 = _clip_interval(row + 0.5 - v0 - dv0 - 1, v1 - v0 + dv1 - dv0, 0.0, 1.0)
            s0, s1 = _clip_interval(v0 - row - 0.5 - dv0 - 1, v0 - v1 + dv1 - dv0, s0, s1)
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
                    nearest[row, column] = first + k


@njit(cache=True, nogil=True, error_model="numpy")
def _clip_interval(p: float, q: float, low: float, high: float) -> tuple[float, float]:
    """Return the part of the interval (low, high) of s with p <= s q; empty if the first value is above the second."""
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
    nearest: Any,
    image: Any,
    samples: int,
) -> None:
    """Write the image: the mean over the samples of each pixel."""
    rows, columns = depth.shape
    left, right, top, bottom = window
    across, down = (right - left) / columns, (bottom - top) / rows
    color, normal = np.empty(3), np.empty(3)
    shadows = index_shadows(solids, light)
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            lamp = -1.0  # fraction of the lamp's light at this pixel, computed at the first sample that needs it
            first, uniform = nearest[i * samples, j * samples], True
            for a in range(samples):
                for b in range(samples):
                    uniform = uniform and nearest[i * samples + a, j * samples + b] == first
            # One ray is enough for the background, and the diagonal of the samples for the inside of a solid.
            is_background = uniform and first < 0
            rays = 1 if is_background else samples
            weight, step = 1.0 / (rays if uniform else rays * rays), samples / rays
            for a in range(rays):
                for b in range(rays):
                    if uniform and a != b:
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
                    if not is_background and nearest[row, column] >= 0:
                        x, y, z = eye[0] + t * dx, eye[1] + t * dy, eye[2] + t * dz
                        gloss = color_solid(solids[nearest[row, column]], materials, x, y, z, color, normal)
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
                        image[i, j, c] += weight * value


@njit(cache=True, nogil=True, error_model="numpy")
def _shine(normal: Any, light: Any, dx: float, dy: float, dz: float) -> float:
    """Return the specular reflection of the lamp (Blinn's halfway vector)."""
    length = math.sqrt(dx * dx + dy * dy + dz * dz)
    hx, hy, hz = light[0] - dx / length, light[1] - dy / length, light[2] - dz / length
    halfway = (normal[0] * hx + normal[1] * hy + normal[2] * hz) / math.sqrt(hx * hx + hy * hy + hz * hz)
    return float(0.5 * max(0.0, halfway) ** 24)
