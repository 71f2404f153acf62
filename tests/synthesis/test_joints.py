"""Joints of rendered people. Oracles: spheres placed by hand, the part masks of the renderer, the pose."""

import numpy as np
import pytest

from passerby.synthesis.dataset import SynthSettings, render_image, render_shard
from passerby.synthesis.joints import JOINTS, find_joints
from passerby.synthesis.render import View
from passerby.synthesis.solids import PARTS, Solid, pack_solids

SETTINGS = SynthSettings(identities=12, cameras=8, images=2, seed=5)
VIEW = View(np.zeros(3), np.eye(3), (-0.5, 0.5, 1.0, -1.0))


@pytest.fixture(scope="module")
def photographs():
    return [render_image(SETTINGS, person, camera, 0) for person in range(12) for camera in range(8)]


def ball(x, y, z, radius):
    return pack_solids([Solid((x, y, z), (x, y, z), (radius, radius), 1, (0, 0, 1.0))])


def test_a_joint_is_projected_to_fractions_of_the_crop():
    positions, visible = find_joints(
        np.array([[0.0, 0.0, 2.0], [0.5, 1.0, 2.0], [2.0, 0.0, 2.0]]), ball(9, 9, 9, 1), VIEW, depth=0.1
    )
    np.testing.assert_allclose(positions, [[0.5, 0.5], [0.75, 0.25], [1.5, 0.5]])
    assert visible.tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("z", "radius", "visible"),
    [
        (4.0, 0.09, True),  # its own limb
        (4.0, 0.2, False),  # a trunk whose surface is 0.2 m in front of it
        (2.0, 0.1, False),  # another solid between the lens and the joint
        (6.0, 0.5, True),  # behind the joint
    ],
)
def test_a_solid_between_lens_and_joint_hides_it(z, radius, visible):
    assert find_joints(np.array([[0.0, 0.0, 4.0]]), ball(0, 0, z, radius), VIEW, depth=0.1)[1].tolist() == [visible]


def test_visible_joints_lie_on_the_person_and_wrists_on_arms(photographs):
    person = {PARTS.index(name) for name in ("head", "upper", "arms", "lower", "legs", "feet", "carried")}
    on_person, on_arms = [], []
    for photo in photographs:
        height, width = photo.mask.shape
        for name, (x, y), visible in zip(JOINTS, photo.joints, photo.visible, strict=True):
            label = photo.mask[min(int(y * height), height - 1), min(int(x * width), width - 1)] if visible else None
            if visible and name != "head top":  # on the border of the head
                on_person.append(label in person)
            if visible and "wrist" in name:
                on_arms.append(PARTS[label] in ("arms", "carried"))
    assert len(on_person) > 500
    assert np.mean(on_person) > 0.97
    assert np.mean(on_arms) > 0.85


def test_joints_outside_the_crop_are_not_visible(photographs):
    outside = np.stack([((photo.joints < 0) | (photo.joints > 1)).any(axis=1) for photo in photographs])
    assert outside.any()
    assert not np.stack([photo.visible for photo in photographs])[outside].any()


def test_the_left_shoulder_of_a_person_that_faces_the_camera_is_on_the_right(photographs):
    left, right = JOINTS.index("left shoulder"), JOINTS.index("right shoulder")
    for photo in photographs:
        if abs(photo.facing) < 45 or abs(photo.facing) > 135:
            assert (photo.joints[left, 0] > photo.joints[right, 0]) == (abs(photo.facing) < 45)


def test_the_head_is_above_the_neck_and_the_neck_above_hips_and_ankles(photographs):
    rows = {name: np.array([photo.joints[i, 1] for photo in photographs]) for i, name in enumerate(JOINTS)}
    for above, below in (
        ("head top", "neck"),
        ("neck", "left hip"),
        ("left hip", "left ankle"),
        ("right hip", "right ankle"),
    ):
        assert (rows[above] < rows[below]).all()


def test_a_false_detection_has_no_visible_joint():
    settings = SynthSettings(identities=2, cameras=2, images=2, seed=5, height=32)
    distractors = [photo for _, columns, photo in render_shard(settings, 1) if columns["person_id"] == 0]
    assert len(distractors) == 4
    assert not any(photo.visible.any() for photo in distractors)
