"""Surfaces. Oracles: the math library; range and smoothness of the noise."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.synthesis.surfaces import _angle, _sine, noise

coordinate = st.floats(-1e3, 1e3, allow_nan=False)


def test_noise_is_smooth_and_between_zero_and_one():
    values = np.array([[noise(0.01 * x, 0.3 + 0.01 * y) for x in range(-200, 200)] for y in range(50)])
    assert 0 <= values.min() < 0.2
    assert 0.8 < values.max() <= 1
    assert np.abs(np.diff(values, axis=1)).max() < 0.05


@given(coordinate)
def test_the_approximate_sine_is_within_a_thousandth(x):
    assert _sine(x) == pytest.approx(math.sin(x), abs=1.2e-3)


@given(coordinate, coordinate)
def test_the_approximate_angle_is_that_of_atan2(x, z):
    if math.hypot(x, z) < 1e-20:  # the angle is undefined
        assert abs(_angle(x, z)) <= math.pi
    else:
        error = abs(_angle(x, z) - math.atan2(x, z))
        assert min(error, 2 * math.pi - error) < 1.5e-4
