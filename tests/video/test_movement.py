"""The limit on movement. Oracle: boxes of a person whose height, velocity and gap are given."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.video.movement import is_reachable

HEIGHT = 100
FRAME = 0.1


def walk(*, velocity=0.0, frames=21, left=0.0, top=0.0, height=HEIGHT, first=0):
    """The path of a person who walks to the right, `velocity` in pixels per second."""
    lefts = left + velocity * FRAME * np.arange(frames)
    tops = np.full(frames, top)
    numbers = first + np.arange(frames)
    return np.stack([numbers, lefts, tops, lefts + 40, tops + height, np.ones(frames)], axis=1)


@pytest.mark.parametrize(
    ("moved", "gap", "expected"),
    [(0, 1, True), (99, 1, True), (101, 1, False), (-99, 1, True), (-101, 1, False), (199, 3, True), (201, 3, False)],
)
def test_a_person_who_stood_still_moves_half_a_height_and_half_a_height_per_second(moved, gap, expected):
    assert is_reachable(walk(), walk(left=moved), gap=gap, frame=FRAME) is expected


@pytest.mark.parametrize(
    ("moved", "expected"), [(-101, False), (-99, True), (0, True), (160, True), (259, True), (261, False)]
)
def test_a_walking_person_stops_or_walks_on(moved, expected):
    """80 pixels per second for 2 s: 160 pixels ahead is predicted; the error is 1.5 heights, here of 66.7 pixels."""
    before = walk(velocity=80, height=HEIGHT / 1.5)
    end = before[-1, 1]
    assert is_reachable(before, walk(left=end + moved, height=HEIGHT / 1.5), gap=2.0, frame=FRAME) is expected


def test_the_velocity_is_that_of_the_last_second():
    """Two seconds to the left, then one to the right."""
    path = np.concatenate([walk(velocity=-100), walk(velocity=100, left=-200, frames=11, first=21)])
    end = path[-1, 1]
    assert is_reachable(path, walk(left=end + 300), gap=2.0, frame=FRAME)
    assert not is_reachable(path, walk(left=end - 200), gap=2.0, frame=FRAME)


@pytest.mark.parametrize(
    ("factor", "gap", "expected"), [(1.29, 0.01, True), (1.31, 0.01, False), (1.9, 3.0, True), (2.0, 3.0, False)]
)
def test_the_height_changes_by_a_factor_that_grows_with_the_gap(factor, gap, expected):
    tall = walk(height=HEIGHT * factor)
    assert is_reachable(walk(), tall, gap=gap, frame=FRAME) is expected
    assert is_reachable(tall, walk(), gap=gap, frame=FRAME) is expected


def test_a_path_of_one_box_has_no_velocity():
    assert is_reachable(walk(frames=1), walk(left=49), gap=0.0, frame=0.0)
    assert not is_reachable(walk(frames=1), walk(left=51), gap=0.0, frame=0.0)


@given(
    moved=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
    velocity=st.floats(-200, 200),
    gap=st.floats(0.05, 3),
    factor=st.floats(0.5, 2),
    scale=st.sampled_from([0.25, 0.5, 2.0, 4.0]),
)
def test_the_scale_of_the_image_does_not_matter(moved, velocity, gap, factor, scale):
    before = walk(velocity=velocity)
    after = walk(left=before[-1, 1] + moved[0], top=moved[1], height=HEIGHT * factor)
    expected = is_reachable(before, after, gap=gap, frame=FRAME)
    size = np.array([1, scale, scale, scale, scale, 1])
    assert is_reachable(before * size, after * size, gap=gap, frame=FRAME) == expected
