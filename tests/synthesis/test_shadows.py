"""Shadows. Oracle: a loop over all solids that intersects each with the ray to the lamp."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from passerby.synthesis.shadows import index_shadows, lamp_seen
from passerby.synthesis.solids import ORIGIN, Solid, hit, pack_shape, pack_solids, to_local

unit = st.floats(-1, 1, allow_nan=False)
points = st.tuples(unit, unit, unit)


@st.composite
def solids(draw):
    start, direction = draw(points), draw(points)
    end = start if draw(st.booleans()) else tuple(s + d for s, d in zip(start, direction, strict=True))
    radii = draw(st.floats(0.02, 0.4)), draw(st.floats(0.02, 0.4))
    stretch = draw(st.floats(0.5, 2.0)), draw(st.floats(0.5, 2.0))
    return Solid(start, end, radii, 1, (0, 0, 1.0), front=(0.3, 0.2, 0.9), stretch=stretch, hem=draw(st.booleans()))


def expected(packed, point, light):
    hits = []
    for solid in packed:
        local = to_local(solid, *(point - solid[ORIGIN : ORIGIN + 3]))
        hits.append(hit(pack_shape(solid), *local, *to_local(solid, *light[:3])) < math.inf)
    return 0.0 if any(hits) else 1.0


def towards(lamp):
    light = np.zeros(12)
    light[:3] = np.array(lamp) / np.linalg.norm(lamp)
    return light


@given(st.lists(solids(), min_size=1, max_size=8), points, st.tuples(unit, st.floats(0.2, 1), unit))
def test_the_candidates_include_every_occluder(scene, point, lamp):
    packed, light, point = pack_solids(scene), towards(lamp), 2 * np.array(point)
    seen = lamp_seen(packed, index_shadows(packed, light), *point, np.zeros(3), light)
    assert seen == expected(packed, point, light)


def test_a_wide_hem_casts_its_whole_shadow():
    """The hem is wider (0.44 m) than the sphere at its end (0.35 m)."""
    skirt = Solid((0, 1, 0), (0, 0.6, 0), (0.1, 0.35), 1, (0, 0, 1.0), hem=True)
    packed, light = pack_solids([skirt]), towards((0.0, 1.0, 0.3))
    index = index_shadows(packed, light)
    floor = [np.array([x, 0.1, z]) for x in np.linspace(-0.6, 0.6, 61) for z in np.linspace(-0.6, 0.6, 61)]
    seen = [lamp_seen(packed, index, *point, np.zeros(3), light) for point in floor]
    assert seen == [expected(packed, point, light) for point in floor]
    assert 0.05 < 1 - np.mean(seen) < 0.9
