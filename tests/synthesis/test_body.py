"""Bodies: on the ground, as tall as they are, whole in every pose and in all clothes."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from passerby.synthesis.body import ARMS, OCCLUDER, Pose, build, random_pose
from passerby.synthesis.people import BAG_KINDS, BOTTOMS, HAIRCUTS, HATS, random_person
from passerby.synthesis.solids import END, ORIGIN, PARTS, REACH, Scene, pack_solids

STANDING = Pose(
    x=0.0, z=5.0, heading=math.pi, phase=0.0, stride=0.0, arms="swing", side=1.0, lean=0.0, twist=0.0
)  # fmt: skip


def packed(person, pose, **options):
    scene = Scene()
    build(scene, person, pose, **options)
    assert all(0 <= look < len(scene.materials) for solid in scene.solids for look in solid.look[:2])
    return pack_solids(scene.solids)


def extent(body):
    """Lowest and highest point, a little too far out: by the widest radius."""
    low = min((body[:, ORIGIN + 1] - body[:, REACH]).min(), (body[:, END + 1] - body[:, REACH + 1]).min())
    return low, max((body[:, ORIGIN + 1] + body[:, REACH]).max(), (body[:, END + 1] + body[:, REACH + 1]).max())


@settings(max_examples=60, derandomize=True)
@given(st.integers(0, 10_000))
def test_a_walking_body_stands_on_the_ground_and_is_as_tall_as_it_says(seed):
    rng = np.random.default_rng(seed)
    person = replace(random_person(rng), hat="none", haircut="short")
    pose = random_pose(rng, person, x=1.0, z=5.0, heading=float(rng.uniform(-3, 3)))
    body = packed(person, pose)
    assert np.isfinite(body).all()
    feet = body[body[:, 24] == PARTS.index("feet")]
    low = min((feet[:, ORIGIN + 1]).min(), feet[:, END + 1].min())
    assert -0.03 < low < 0.06  # the middle of the lowest shoe
    _, high = extent(body)
    assert 0.86 * person.height < high < 1.06 * person.height
    assert np.hypot(body[:, ORIGIN] - 1.0, body[:, ORIGIN + 2] - 5.0).max() < 0.75 * person.height


@pytest.mark.parametrize("bottom", list(BOTTOMS))
@pytest.mark.parametrize("bag", list(BAG_KINDS))
def test_everything_that_can_be_worn_can_be_built(bottom, bag):
    person = random_person(np.random.default_rng(3))
    for haircut, hat, arms in zip([*HAIRCUTS], [*HATS, "none", "none"], [*ARMS, "swing"], strict=True):
        dressed = replace(
            person, bottom=replace(person.bottom, kind=bottom), bag=bag, haircut=haircut, hat=hat, scarf=True
        )
        body = packed(dressed, replace(STANDING, arms=arms))
        assert np.isfinite(body).all()
        carried = (body[:, 24] == PARTS.index("carried")).sum()
        assert (carried == 0) == (bag == "none")


def test_turning_around_mirrors_a_body_about_its_feet():
    """Oracle: a rotation of half a turn about the vertical through the feet."""
    person = random_person(np.random.default_rng(5))
    there, back = (packed(person, replace(STANDING, heading=heading)) for heading in (0.4, 0.4 + math.pi))
    np.testing.assert_allclose(back[:, ORIGIN], -there[:, ORIGIN], atol=1e-9)
    np.testing.assert_allclose(back[:, ORIGIN + 2] - 5.0, 5.0 - there[:, ORIGIN + 2], atol=1e-9)
    np.testing.assert_allclose(back[:, ORIGIN + 1], there[:, ORIGIN + 1], atol=1e-9)


def test_a_longer_stride_takes_the_hips_down_and_the_feet_apart():
    person = random_person(np.random.default_rng(1))
    still, wide = (packed(person, replace(STANDING, phase=1.4, stride=stride)) for stride in (0.0, 0.6))
    assert extent(wide)[1] < extent(still)[1]
    feet = wide[:, 24] == PARTS.index("feet")
    assert np.ptp(wide[feet, ORIGIN + 2]) > 0.4 > 0.2 > np.ptp(still[feet, ORIGIN + 2])


def test_a_bystander_is_labeled_as_one():
    body = packed(random_person(np.random.default_rng(1)), STANDING, part=OCCLUDER)
    assert set(body[:, 24]) == {OCCLUDER}
