"""Rendered images: occlusion, light, projection, determinism. Oracles: geometry and image statistics."""

import math
from dataclasses import replace

import numpy as np
import pytest

from passerby.synthesis.cameras import draw_camera
from passerby.synthesis.develop import develop
from passerby.synthesis.persons import draw_person, draw_persons
from passerby.synthesis.photograph import photograph
from passerby.synthesis.render import Surroundings, View, project, render
from passerby.synthesis.solids import PATTERNS, Material, Scene, Solid, pack_solids
from passerby.synthesis.surfaces import PLANTS

SIZE = (64, 64)
VIEW = View(np.array([0.0, 1.0, 0.0]), np.eye(3), (-0.5, 0.5, 0.5, -0.5))
GROUND = np.array([0, 1.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.0])
NO_WALL = np.array([0.0, 1000.0, 0.0, -1.0, 0.1, 0.1, 0.9, 0.0, 5.0])
ABOVE = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
RED, BLUE = Material((0.9, 0.1, 0.1)), Material((0.1, 0.1, 0.9))
AROUND = Surroundings(GROUND, NO_WALL, np.empty((0, 8)), ABOVE)


def ball(x, y, z, radius, *, part, material=0):
    return Solid((x, y, z), (x, y, z), (radius, radius), part, (material, material, 1.0))


def render_solids(solids, *, person, around=AROUND, materials=(RED, BLUE)):
    scene = Scene(materials=list(materials))
    return render(pack_solids(solids), scene.pack_materials(), VIEW, around, size=SIZE, person=person)


def test_the_nearer_of_two_balls_occludes_the_other():
    """Oracle: two balls on the central ray; the far one is twice as wide in the image."""
    near, far = ball(0, 1, 3, 0.3, part=8, material=1), ball(0, 1, 6, 1.2, part=2)
    lit = replace(AROUND, light=np.concatenate([ABOVE[:6], np.ones(6)]))
    image, labels, counts = render_solids([far, near], person=1, around=lit)
    assert labels[32, 32] == 8
    assert labels[32, 24] == 2
    assert image[32, 32, 2] > image[32, 32, 0]
    fraction = (0.3 / 3) ** 2 / (1.2 / 6) ** 2
    assert 1 - counts[1, 2] / counts[0, 2] == pytest.approx(fraction, rel=0.1)
    _, labels, counts = render_solids([far], person=1)
    assert counts[0, 2] == counts[1, 2]
    radius = 64 * 1.2 / math.sqrt(36 - 1.2**2)  # of the ball's outline at that distance
    assert (labels == 2).sum() == pytest.approx(math.pi * radius**2, rel=0.05)


def test_a_lamp_above_lights_the_top_and_casts_a_shadow():
    image, labels, _ = render_solids([ball(0, 1, 4, 0.5, part=2)], person=1)
    rows = np.flatnonzero((labels == 2).any(axis=1))
    assert image[rows[1], 32, 0] > 5 * image[rows[-2], 32, 0]
    below = image[46:51, 32].max(axis=1), image[46:51, 2].max(axis=1)  # the ground under the ball, and far beside it
    assert below[0].min() < 0.1 * below[1].min()


def test_the_wall_and_its_panel_are_visible_and_do_not_occlude_solids():
    wall = np.array([0.0, 5.0, 0.0, -1.0, 0.2, 0.6, 0.2, 0.0, 9.0])
    panel = np.array([[-0.5, 0.5, 0.5, 1.5, 0.9, 0.0, 0.0, 0.0]])
    light = np.concatenate([ABOVE[:6], np.ones(6)])
    around = Surroundings(GROUND, wall, panel, light)
    image, labels, _ = render_solids([ball(0, 1, 9, 0.5, part=2)], person=1, around=around)
    assert labels[32, 32] == 2  # the wall does not occlude solids; scenes have none behind it
    image, _, _ = render_solids([ball(3, 1, 9, 0.1, part=2)], person=1, around=around)
    assert image[32, 32, 0] > image[32, 32, 1]  # the panel
    assert image[10, 10, 1] > image[10, 10, 0]  # the wall


def render_cloth(material, *, hem=False, front=(0, 0, -1)):
    """Values of the red channel on an upright solid, under light from all sides; by default it faces the camera."""
    lit = replace(AROUND, light=np.concatenate([ABOVE[:6], np.ones(6)]))
    body = Solid((0, 0.7, 3), (0, 1.3, 3), (0.5, 0.5), 2, (0, 0, 1.0), front=front, hem=hem)
    image, labels, _ = render_solids([body], person=1, around=lit, materials=[material])
    assert np.isfinite(image).all()
    return image[labels == 2][:, 0]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_pattern_covers_a_solid(pattern):
    """Oracle: the range of the plain color under this light is 0.8, of both colors above 1."""
    scales = {"stripes": 4.0, "pinstripes": 12.0, "plaid": 4.0, "open": 0.1, "dots": 10.0, "camouflage": 10.0}
    scales |= {"print": 0.2, "text": 0.3, "band": 0.15, "yoke": -0.2, "two-tone": 0.0}
    material = Material((0.9, 0.9, 0.9), (0.1, 0.1, 0.1), pattern, scales.get(pattern, 1.0), level=1.1)
    values = render_cloth(material)
    assert len(values) > 500
    if pattern in ("denim", "worn", "heather", "hair"):  # brightness only
        assert np.ptp(values) > np.ptp(render_cloth(Material((0.9, 0.9, 0.9))))
    elif pattern not in ("face", "glasses", "two-tone"):
        assert (np.ptp(values) < 1.0) == (pattern == "plain")


def test_a_print_depends_on_the_seed_of_the_garment():
    def render_print(seed):
        return render_cloth(Material((0.9, 0.9, 0.9), (0.1, 0.1, 0.1), "print", 0.3, level=1.0, seed=seed))

    np.testing.assert_array_equal(render_print(3.0), render_print(3.0))
    assert (render_print(3.0) != render_print(8.5)).mean() > 0.02


@pytest.mark.parametrize(
    ("trim", "share"),
    [({"closure": 0.05}, 0.07), ({"stripe": 0.05}, 0.07), ({"emblem": 0.05}, 0.004), ({"band": 0.2}, 0.15)],
)
def test_trims_have_the_color_of_the_trim(trim, share):
    """Oracle: the trim is black, the garment is not; least share of the pixels. A stripe is seen from the side."""
    front = (1, 0, 0) if "stripe" in trim else (0, 0, -1)
    black = render_cloth(Material((0.9, 0.9, 0.9), **trim, level=1.0), hem="band" in trim, front=front)
    plain = render_cloth(Material((0.9, 0.9, 0.9)), hem="band" in trim)
    assert (plain > 0).all()
    dark = (black < 0.3 * plain).mean()
    assert share < dark < share + 0.3


def test_a_washed_front_is_lighter():
    faded, plain = (render_cloth(Material((0.5, 0.5, 0.5), fade=fade)) for fade in (0.8, 0.0))
    assert (faded >= plain - 1e-6).all()
    assert faded.mean() > 1.1 * plain.mean()


def test_folds_change_the_light_and_differ_between_images():
    def render_folds(creases):
        body = Solid((0, 0.7, 3), (0, 1.3, 3), (0.5, 0.5), 2, (0, 0, 1.0), front=(0, 0, -1), creases=creases)
        image, labels, _ = render_solids([body], person=1, materials=[Material((0.9, 0.9, 0.9), folds=1.0)])
        return image[labels == 2][:, 0]

    first, second, plain = render_folds(0.0), render_folds(7.0), render_cloth(Material((0.9, 0.9, 0.9)))
    assert np.abs(np.diff(first)).mean() > 2 * np.abs(np.diff(plain)).mean()
    assert np.abs(first - second).mean() > 0.02
    np.testing.assert_array_equal(first, render_folds(0.0))


@pytest.mark.parametrize("panes", [3.0, -3.0, PLANTS])
def test_tiles_railings_and_plants_have_light_and_dark_places(panes):
    wall = np.array([0.0, 5.0, 0.0, -1.0, 0.5, 0.5, 0.5, 0.0, 9.0])
    panel = np.array([[-2.0, 2.0, 0.0, 3.0, 0.1, 0.2, 0.1, panes]])
    around = Surroundings(GROUND, wall, panel, np.concatenate([ABOVE[:6], np.ones(6)]))
    image, *_ = render_solids([ball(3, 1, 9, 0.1, part=2)], person=1, around=around)
    greens = image[20:40, 10:48, 1]
    assert greens.max() > 1.5 * greens.min()
    assert ((image[20:40, 10:48, 0] > 0.45).any()) == (panes == -3.0)  # the wall shows between the bars


@pytest.mark.parametrize("metering", [0.0, 0.5, 1.0])
def test_metering_brings_the_exposure_toward_middle_gray(metering):
    """Oracle: a scene of half the light; without metering it is darker, with full metering equal."""
    camera = replace(draw_camera(np.random.default_rng(2)), noise=0.0, quality=98, contrast=1.0, haze=0.0, gamma=1.0)
    camera = replace(camera, metering=metering, gains=np.ones(3, np.float32))
    scene = np.random.default_rng(0).uniform(0.1, 0.3, (64, 32, 1)).repeat(3, axis=2).astype(np.float32)
    bright, dark = (
        develop(light * scene, camera, np.random.default_rng(1), rows=64, blur=0.3).mean() for light in (1.0, 0.5)
    )
    assert dark / bright == pytest.approx(0.5 ** ((1 - metering) / 2.2), abs=0.02)


def test_projection_agrees_with_the_renderer():
    point = np.array([[0.4, 1.3, 4.0]])
    (u, v), *_ = project(point, VIEW)
    _, labels, _ = render_solids([ball(*point[0], 0.05, part=3)], person=1)
    row, column = np.argwhere(labels == 3).mean(axis=0)
    assert (0.5 - v) * 64 == pytest.approx(row + 0.5, abs=0.7)
    assert (u + 0.5) * 64 == pytest.approx(column + 0.5, abs=0.7)


@pytest.mark.parametrize("size", [(16, 8), (128, 64), (200, 90)])
def test_equal_seeds_give_equal_photographs_at_any_size(size):
    persons = tuple(draw_persons(3, seed=0, stream=0, lookalikes=0.0))
    camera = draw_camera(np.random.default_rng(0))
    first, second, other = (
        photograph(persons[0], camera, np.random.default_rng(seed), size=size, passersby=persons) for seed in (1, 1, 2)
    )
    assert first.pixels.shape == (*size, 3)
    assert first.mask.shape == size
    np.testing.assert_array_equal(first.pixels, second.pixels)
    assert first.columns() == second.columns()
    assert not np.array_equal(first.pixels, other.pixels)
    assert sum(first.seen) == pytest.approx(1.0)


def test_fractions_of_occluded_truncated_and_empty_boxes():
    """300 photographs: most persons are whole, some are occluded; a false detection has no person."""
    rng = np.random.default_rng(0)
    persons = tuple(draw_persons(4, seed=0, stream=0, lookalikes=0.0))
    cameras = [draw_camera(rng) for _ in range(10)]
    photographs = [
        photograph(persons[i % 4], cameras[i % 10], np.random.default_rng(i), size=(32, 16), passersby=persons)
        for i in range(300)
    ]
    hidden = np.array([image.hidden for image in photographs])
    assert hidden.min() == 0.0
    assert hidden.max() <= 1.0
    assert 0.05 < (hidden > 0.05).mean() < 0.5
    body = np.array([sum(image.seen[1:8]) for image in photographs])
    assert np.median(body) > 0.25
    truncated = np.array([image.box[3] < -0.05 for image in photographs])
    assert 0.03 < truncated.mean() < 0.3
    facing = np.array([image.facing for image in photographs])
    assert facing.min() < -90 < 90 < facing.max()
    empty = photograph(None, cameras[0], np.random.default_rng(0), size=(32, 16), passersby=persons)
    assert sum(empty.seen[1:8]) == 0.0
    assert empty.hidden == 0.0


def test_facing_distinguishes_front_and_back():
    """Oracle: the pixels of the head show skin from the front and dark hair from the back."""
    person = replace(
        draw_person(np.random.default_rng(0)), haircut="long", hat="none", hair=(0.1, 0.1, 0.1), skin=(0.9, 0.7, 0.6)
    )
    camera = replace(draw_camera(np.random.default_rng(4)), objects=(), height=1.7, blur=0.2, noise=0.5, haze=0.0)
    camera = replace(camera, lane=(0.0, 6.0, 0.0), length=0.5, pixels=250.0, contrast=1.0, gamma=1.0)
    faces = {}
    for forward in (0.0, 1.0):
        photographs = [
            photograph(person, replace(camera, forward=forward), np.random.default_rng(seed), size=(128, 64))
            for seed in range(12)
        ]
        assert all((abs(image.facing) < 90) == (forward == 0.0) for image in photographs)
        faces[forward] = np.mean([image.pixels[image.mask == 1].mean() for image in photographs])
    assert faces[0.0] > 1.2 * faces[1.0]


def test_facing_is_positive_toward_the_right_of_the_image():
    """The person walks along +x, which is projected to the right."""
    assert project(np.array([[1.0, 1.0, 4.0]]), VIEW)[0, 0] > 0
    camera = replace(draw_camera(np.random.default_rng(4)), lane=(0.0, 6.0, math.pi / 2), length=0.1, forward=1.0)
    person = draw_person(np.random.default_rng(0))
    facing = [photograph(person, camera, np.random.default_rng(seed), size=(32, 16)).facing for seed in range(20)]
    assert np.mean(facing) == pytest.approx(90, abs=15)
