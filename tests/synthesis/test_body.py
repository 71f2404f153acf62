"""Bodies. Oracles: the ground, the stated height, symmetry, and all poses and clothes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.synthesis.body import build
from passerby.synthesis.body_frame import OCCLUDER
from passerby.synthesis.garments import BOTTOMS
from passerby.synthesis.persons import BAG_KINDS, HAIRCUTS, HATS, draw_person
from passerby.synthesis.pose import ARMS, Pose, draw_pose
from passerby.synthesis.solids import COVERING, END, ORIGIN, PARTS, REACH, Scene, pack_solids

STANDING = Pose(
    x=0.0, z=5.0, heading=math.pi, phase=0.0, stride=0.0, arms="swing", side=1.0, lean=0.0, twist=0.0
)  # fmt: skip


def packed(person, pose, **options):
    scene = Scene()
    build(scene, person, pose, **options)
    assert all(0 <= index < len(scene.materials) for solid in scene.solids for index in solid.covering[:2])
    return pack_solids(scene.solids)


def extent(body):
    """Bounds of the lowest and highest point, by the widest radius."""
    low = min((body[:, ORIGIN + 1] - body[:, REACH]).min(), (body[:, END + 1] - body[:, REACH + 1]).min())
    return low, max((body[:, ORIGIN + 1] + body[:, REACH]).max(), (body[:, END + 1] + body[:, REACH + 1]).max())


@settings(max_examples=60, derandomize=True)
@given(st.integers(0, 10_000))
def test_a_walking_body_is_on_the_ground_and_has_its_height(seed):
    rng = np.random.default_rng(seed)
    person = replace(draw_person(rng), hat="none", haircut="short")
    pose = draw_pose(rng, person, x=1.0, z=5.0, heading=float(rng.uniform(-3, 3)))
    body = packed(person, pose)
    assert np.isfinite(body).all()
    feet = body[body[:, 24] == PARTS.index("feet")]
    low = min((feet[:, ORIGIN + 1]).min(), feet[:, END + 1].min())
    assert -0.03 < low < 0.06  # the center of the lowest shoe
    _, high = extent(body)
    assert 0.86 * person.height < high < 1.06 * person.height
    assert np.hypot(body[:, ORIGIN] - 1.0, body[:, ORIGIN + 2] - 5.0).max() < 0.75 * person.height


@pytest.mark.parametrize("bottom", list(BOTTOMS))
@pytest.mark.parametrize("bag", list(BAG_KINDS))
def test_all_clothes_bags_and_arm_positions_can_be_built(bottom, bag):
    person = draw_person(np.random.default_rng(3))
    for haircut, hat, arms in zip([*HAIRCUTS], [*HATS, "none", "none"], [*ARMS, "swing"], strict=True):
        dressed = replace(
            person, bottom=replace(person.bottom, kind=bottom), bag=bag, haircut=haircut, hat=hat, scarf=True
        )
        body = packed(dressed, replace(STANDING, arms=arms))
        assert np.isfinite(body).all()
        carried = (body[:, 24] == PARTS.index("carried")).sum()
        assert (carried == 0) == (bag == "none")


def test_a_second_bag_hangs_from_the_other_hand():
    person = replace(draw_person(np.random.default_rng(3)), bag="hand", bag_side=1.0, second_bag=False)
    one, two = (packed(replace(person, second_bag=second), STANDING) for second in (False, True))
    bags = [body[body[:, 24] == PARTS.index("carried")] for body in (one, two)]
    assert len(bags[1]) == 2 * len(bags[0]) == 4
    assert bags[1][:, ORIGIN].min() < 0 < bags[1][:, ORIGIN].max()


def test_folds_differ_between_poses():
    person = draw_person(np.random.default_rng(3))
    first, second = (packed(person, replace(STANDING, phase=phase)) for phase in (0.0, 0.1))
    assert (first[:, COVERING + 3] != second[:, COVERING + 3]).all()


def test_half_a_turn_rotates_a_body_about_its_feet():
    """Oracle: a rotation of half a turn about the vertical through the feet."""
    person = draw_person(np.random.default_rng(5))
    front, back = (packed(person, replace(STANDING, heading=heading)) for heading in (0.4, 0.4 + math.pi))
    np.testing.assert_allclose(back[:, ORIGIN], -front[:, ORIGIN], atol=1e-9)
    np.testing.assert_allclose(back[:, ORIGIN + 2] - 5.0, 5.0 - front[:, ORIGIN + 2], atol=1e-9)
    np.testing.assert_allclose(back[:, ORIGIN + 1], front[:, ORIGIN + 1], atol=1e-9)


def test_a_longer_stride_lowers_the_hips_and_separates_the_feet():
    person = draw_person(np.random.default_rng(1))
    still, wide = (packed(person, replace(STANDING, phase=1.4, stride=stride)) for stride in (0.0, 0.6))
    assert extent(wide)[1] < extent(still)[1]
    feet = wide[:, 24] == PARTS.index("feet")
    assert np.ptp(wide[feet, ORIGIN + 2]) > 0.4 > 0.2 > np.ptp(still[feet, ORIGIN + 2])


def test_a_given_part_replaces_the_labels_of_a_body():
    body = packed(draw_person(np.random.default_rng(1)), STANDING, part=OCCLUDER)
    assert set(body[:, 24]) == {OCCLUDER}
