"""Shadows. Oracle: every solid asked, one after the other, whether the way to the lamp meets it."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from passerby.synthesis.shadows import lamp_seen, shadows_of
from passerby.synthesis.solids import ORIGIN, Solid, hit, pack_solids, shape_of, to_local

unit = st.floats(-1, 1, allow_nan=False)
places = st.tuples(unit, unit, unit)


@st.composite
def solids(draw):
    start, way = draw(places), draw(places)
    end = start if draw(st.booleans()) else tuple(s + w for s, w in zip(start, way, strict=True))
    radii = draw(st.floats(0.02, 0.4)), draw(st.floats(0.02, 0.4))
    stretch = draw(st.floats(0.5, 2.0)), draw(st.floats(0.5, 2.0))
    return Solid(start, end, radii, 1, (0, 0, 1.0), front=(0.3, 0.2, 0.9), stretch=stretch, hem=draw(st.booleans()))


def expected(packed, place, light):
    met = []
    for solid in packed:
        local = to_local(solid, *(place - solid[ORIGIN : ORIGIN + 3]))
        met.append(hit(shape_of(solid), *local, *to_local(solid, *light[:3])) < math.inf)
    return 0.0 if any(met) else 1.0


def towards(lamp):
    light = np.zeros(12)
    light[:3] = np.array(lamp) / np.linalg.norm(lamp)
    return light


@given(st.lists(solids(), min_size=1, max_size=8), places, st.tuples(unit, st.floats(0.2, 1), unit))
def test_the_few_that_are_asked_are_enough(some, place, lamp):
    packed, light, place = pack_solids(some), towards(lamp), 2 * np.array(place)
    seen = lamp_seen(packed, shadows_of(packed, light), *place, np.zeros(3), light)
    assert seen == expected(packed, place, light)


def test_a_wide_hem_throws_its_whole_shadow():
    """It is wider than the sphere at its end: 0.35 m there, 0.44 m at the hem."""
    skirt = Solid((0, 1, 0), (0, 0.6, 0), (0.1, 0.35), 1, (0, 0, 1.0), hem=True)
    packed, light = pack_solids([skirt]), towards((0.0, 1.0, 0.3))
    found = shadows_of(packed, light)
    floor = [np.array([x, 0.1, z]) for x in np.linspace(-0.6, 0.6, 61) for z in np.linspace(-0.6, 0.6, 61)]
    seen = [lamp_seen(packed, found, *place, np.zeros(3), light) for place in floor]
    assert seen == [expected(packed, place, light) for place in floor]
    assert 0.05 < 1 - np.mean(seen) < 0.9
