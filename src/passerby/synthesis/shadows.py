"""Shadows: whether the lamp is visible from a point, tested with the few candidate solids. Compiled by numba."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from passerby.compiled import njit
from passerby.synthesis.solids import END, ORIGIN, REACH, SLOPE, hit, pack_shape, to_local

CELLS = 24
"""Number of cells across the grid that finds the candidates."""


@njit(cache=True, nogil=True, error_model="numpy")
def index_shadows(solids: Any, light: Any) -> tuple[Any, Any, Any, Any]:
    """Index solids by their projection onto a plane perpendicular to the light.

    Returns:
        Axes of that plane (2, 3); lower corner of a grid on it (2) and its cells per meter (2); bounds of each solid
        along the axes (K, 2, 2); for each cell (CELLS, CELLS, 1 + K) the number of solids in it, and their indices.
    """
    axes, grid = np.zeros((2, 3)), np.empty(4)
    ax, az = light[2], -light[0]  # horizontal, perpendicular to the light
    length = math.sqrt(ax * ax + az * az) + 1e-12
    ax, az = ax / length, az / length
    axes[0, 0], axes[0, 2] = ax, az
    axes[1, 0], axes[1, 1], axes[1, 2] = light[1] * az, light[2] * ax - light[0] * az, -light[1] * ax
    bounds = np.empty((len(solids), 2, 2))
    for n in range(len(solids)):
        solid = solids[n]
        wider = math.sqrt(1.0 + solid[SLOPE] ** 2)  # at a flat end, a widening cone is wider than the sphere
        reach = 1e-4 + wider * max(solid[REACH], solid[REACH + 1])
        for c in range(2):
            start, end = 0.0, 0.0
            for d in range(3):
                start += axes[c, d] * solid[ORIGIN + d]
                end += axes[c, d] * solid[END + d]
            bounds[n, c, 0], bounds[n, c, 1] = min(start, end) - reach, max(start, end) + reach
    for c in range(2):
        low, high = math.inf, -math.inf
        for n in range(len(solids)):
            low, high = min(low, bounds[n, c, 0]), max(high, bounds[n, c, 1])
        grid[c], grid[2 + c] = low, CELLS / max(high - low, 1e-9)
    cells = np.zeros((CELLS, CELLS, 1 + len(solids)), dtype=np.int32)
    for n in range(len(solids)):
        i0, i1 = _cell(bounds[n, 0, 0], grid, 0), _cell(bounds[n, 0, 1], grid, 0)
        j0, j1 = _cell(bounds[n, 1, 0], grid, 1), _cell(bounds[n, 1, 1], grid, 1)
        for i in range(max(0, i0), min(CELLS - 1, i1) + 1):
            for j in range(max(0, j0), min(CELLS - 1, j1) + 1):
                cells[i, j, 0] += 1
                cells[i, j, cells[i, j, 0]] = n
    return axes, grid, bounds, cells


@njit(cache=True, nogil=True, error_model="numpy")
def _cell(position: float, grid: Any, c: int) -> int:
    """Return the index of a cell along axis c; outside the grid it is below 0 or at least `CELLS`."""
    at: float = (position - grid[c]) * grid[2 + c]
    return math.floor(at)


@njit(cache=True, nogil=True, error_model="numpy")
def lamp_seen(solids: Any, shadows: Any, x: float, y: float, z: float, normal: Any, light: Any) -> float:
    """Return 1 if the lamp is visible from a point, 0 if a solid occludes it; `shadows` comes from `index_shadows`."""
    axes, grid, bounds, cells = shadows
    x, y, z = x + 0.012 * normal[0], y + 0.012 * normal[1], z + 0.012 * normal[2]
    u = axes[0, 0] * x + axes[0, 2] * z
    v = axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z
    i, j = _cell(u, grid, 0), _cell(v, grid, 1)
    if i < 0 or j < 0 or i >= CELLS or j >= CELLS:
        return 1.0
    for n in range(cells[i, j, 0]):
        k = cells[i, j, 1 + n]
        if not (bounds[k, 0, 0] < u < bounds[k, 0, 1] and bounds[k, 1, 0] < v < bounds[k, 1, 1]):
            continue
        solid = solids[k]
        px, py, pz = to_local(solid, x - solid[ORIGIN], y - solid[ORIGIN + 1], z - solid[ORIGIN + 2])
        dx, dy, dz = to_local(solid, light[0], light[1], light[2])
        if hit(pack_shape(solid), px, py, pz, dx, dy, dz) < math.inf:
            return 0.0
    return 1.0
