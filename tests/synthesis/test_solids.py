"""Rays and surfaces of round cones. Oracle: the shape as a row of many spheres in its own space."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from passerby.synthesis.solids import HIGH, LOW, ORIGIN, Scene, Solid, hit, pack_shape, pack_solids, surface, to_local

unit = st.floats(-1, 1, allow_nan=False)


@st.composite
def solids(draw):
    start = tuple(draw(unit) for _ in range(3))
    end = tuple(s + draw(unit) for s in start)
    assume(math.dist(start, end) > 0.05)
    radii = draw(st.floats(0.1, 0.6)), draw(st.floats(0.1, 0.6))
    stretch = draw(st.floats(0.5, 2.0)), draw(st.floats(0.5, 2.0))
    return Solid(start, end, radii, 1, (0, 0, 1.0), front=(0.3, 0.2, 0.9), stretch=stretch)


def enter(packed, origin, direction):
    """Call `hit` as the renderer does."""
    local = to_local(packed, *(np.array(origin) - packed[ORIGIN : ORIGIN + 3]))
    return hit(pack_shape(packed), *local, *to_local(packed, *direction))


def row_of_spheres(packed, origin, direction):
    """Return t at the first of 3,000 spheres along the axis that the ray enters."""
    p = np.array(to_local(packed, *(np.array(origin) - packed[ORIGIN : ORIGIN + 3])))
    d = np.array(to_local(packed, *direction))
    fraction = np.linspace(0, 1, 3000)
    centers = np.zeros((3000, 3))
    centers[:, 1] = fraction * packed[12]
    radii = packed[LOW] + fraction * (packed[HIGH] - packed[LOW])
    away = p - centers
    b, c, square = away @ d, (away**2).sum(axis=1) - radii**2, d @ d
    root = b * b - square * c
    t = (-b - np.sqrt(np.where(root > 0, root, np.nan))) / square
    return np.nanmin(np.where(t > 1e-6, t, np.nan), initial=math.inf)


@settings(max_examples=150, derandomize=True)
@given(solids(), st.tuples(unit, unit, unit))
def test_a_ray_enters_at_the_row_of_spheres(solid, aim):
    packed = pack_solids([solid])[0]
    origin = np.array([0.4, 0.7, -9.0])
    direction = np.array(aim) * 1.5 - origin
    t, expected = enter(packed, origin, direction), row_of_spheres(packed, origin, direction)
    if math.isinf(expected):
        assert t > 0.5  # a ray that grazes the cone may pass between two spheres
    else:
        assert t == pytest.approx(expected, abs=2e-4)


@settings(max_examples=80, derandomize=True)
@given(solids(), st.tuples(unit, unit, unit))
def test_the_normal_is_perpendicular_to_the_surface(solid, aim):
    """Oracle: two more points of the surface, hit by neighboring rays."""
    packed = pack_solids([solid])[0]
    origin = np.array([0.4, 0.7, -9.0])
    direction = np.array(aim) * 0.3 + np.array(solid.start) - origin
    points = []
    for turn in (np.zeros(3), np.array([1e-5, 0, 0]), np.array([0, 1e-5, 0])):
        t = enter(packed, origin, direction + turn)
        points.append(origin + t * (direction + turn))
    if not np.isfinite(points).all() or np.ptp(points, axis=0).max() > 0.01:
        return  # beside the solid or at its edge
    *_, nx, ny, nz = surface(packed, *points[0])
    normal = np.array([nx, ny, nz])
    assert np.linalg.norm(normal) == pytest.approx(1.0)
    assert normal @ direction < 0.02  # toward the camera
    for point in points[1:]:
        step = (point - points[0]) / np.linalg.norm(point - points[0])
        assert abs(normal @ step) < 0.05


def test_a_hem_is_open_and_flat():
    """A ray from below enters a skirt; from the side, the skirt ends at its hem and not in a ball."""
    shape = {"start": (0, 1, 0), "end": (0, 0, 0), "radii": (0.2, 0.4), "part": 1, "covering": (0, 0, 1.0)}
    ball, skirt = (pack_solids([Solid(**shape, hem=hem)])[0] for hem in (False, True))
    below = (0.0, -0.1, -5.0), (0.0, 0.0, 1.0)
    assert math.isfinite(enter(ball, *below))
    assert math.isinf(enter(skirt, *below))
    above = (0.0, 0.1, -5.0), (0.0, 0.0, 1.0)
    assert enter(skirt, *above) == pytest.approx(enter(ball, *above))
    assert enter(skirt, (0.0, -5.0, 0.0), (0.0, 1.0, 0.0)) > 5.5  # the ball at its waist, through the hem


def test_an_ellipsoid_has_the_given_radii():
    solid = Solid((1, 2, 3), (1, 2, 3), (0.5, 0.5), 1, (0, 0, 1.0), front=(0, 0, 1), stretch=(2.0, 3.0))
    packed = pack_solids([solid])[0]
    for axis, radius in enumerate((1.0, 0.5, 1.5)):
        direction = np.eye(3)[axis]
        assert enter(packed, np.array([1, 2, 3]) - 10 * direction, direction) == pytest.approx(10 - radius)


def test_no_solids_and_no_materials_pack_to_empty_arrays():
    assert pack_solids([]).shape[0] == 0
    assert Scene().pack_materials().shape == (0, 20)
