"""The body estimator. Oracles: rendered people, averages and slices, Gaussians at known points."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from passerby.errors import WeightsError
from passerby.model import body_estimator
from passerby.model.body_estimator import (
    BODY_PARTS,
    BODY_WEIGHTS,
    KEY_POINTS,
    Body,
    BodyEstimator,
    crop_area,
    load_body_estimator,
    resize_area,
)
from passerby.model.methods import build_model
from passerby.synthesis.dataset import SynthSettings, render_image
from passerby.synthesis.joints import JOINTS
from passerby.synthesis.solids import PARTS

METHODS = ("glad", "maskreid", "spreid", "horeid")
SETTINGS = SynthSettings(identities=30, cameras=30, seed=909, lookalikes=0)
"""People and cameras that were neither in its training nor in its test."""


@pytest.fixture(scope="module")
def estimator():
    return load_body_estimator()


@pytest.fixture(scope="module")
def people():
    return [render_image(SETTINGS, number, number, 0) for number in range(30)]


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_key_points_are_the_joints_of_the_renderer():
    assert KEY_POINTS == JOINTS
    assert set(BODY_PARTS) <= set(PARTS)


def test_the_shipped_weights_are_small_frozen_and_of_rendered_people():
    assert BODY_WEIGHTS.stat().st_size < 1_000_000
    network = load_body_estimator()
    assert list(network.parameters()) == []
    assert sum(buffer.numel() for buffer in network.buffers()) == 498_373
    manifest = json.loads((BODY_WEIGHTS.parent / "manifest.json").read_text())
    assert manifest["training"]["seed"] != manifest["test"]["seed"]
    card = (BODY_WEIGHTS.parent / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "No image of a real person was used." in card
    assert f"| all | {manifest['test']['pck']['all']} |" in card


def test_visible_key_points_and_persons_are_found_in_rendered_people(estimator, people):
    body = estimator(torch.from_numpy(np.stack([photo.pixels for photo in people])).permute(0, 3, 1, 2))
    points, _ = body.points()
    truth = torch.from_numpy(np.stack([photo.joints for photo in people])).float()
    visible = torch.from_numpy(np.stack([photo.visible for photo in people]))
    gaps = ((points - truth) * torch.tensor([0.5, 1.0])).norm(dim=2)  # in heights of the image
    assert (gaps[visible] < 0.1).float().mean() > 0.75  # 83 % on 1,000 others
    labels = np.stack([photo.mask for photo in people])
    person = torch.from_numpy((labels > 0) & (labels < PARTS.index("occluder")))
    found = F.interpolate(body.mask, size=(128, 64), mode="bilinear")[:, 0] > 0.5
    assert (found & person).sum() / (found | person).sum() > 0.75  # 85 %


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 10), st.floats(-5, 5)), min_size=3, max_size=3))
def test_the_output_does_not_depend_on_the_normalization_of_the_images(channels):
    estimator, images = load_body_estimator(), noise(2, 3, 128, 64)
    scale, shift = torch.tensor(channels).T[..., None, None]
    expected, body = estimator(images), estimator(images * scale + shift)
    torch.testing.assert_close(body.heatmaps, expected.heatmaps, atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(body.parts, expected.parts, atol=1e-3, rtol=1e-2)


def test_an_image_of_one_color_has_finite_output(estimator):
    body = estimator(torch.full((1, 3, 96, 50), 7.0))
    assert body.heatmaps.isfinite().all()
    assert body.heatmaps.shape == (1, len(KEY_POINTS), 32, 16)
    torch.testing.assert_close(body.parts.sum(dim=1), torch.ones(1, 32, 16))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(1, 12))
def test_areas_are_averaged(height, width, rows, columns):
    """Oracle: a fine grid, in which every old and every new position is a whole number of cells."""
    maps = noise(1, 2, height, width)
    fine = maps.repeat_interleave(rows, dim=2).repeat_interleave(columns, dim=3)
    expected = F.avg_pool2d(fine, (height, width))
    torch.testing.assert_close(resize_area(maps, (rows, columns)), expected, atol=1e-5, rtol=1e-4)


def test_a_box_of_the_whole_image_is_a_resize_and_a_box_of_whole_pixels_a_slice():
    images = noise(2, 3, 12, 8)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(2, 1)
    torch.testing.assert_close(crop_area(images, whole, (6, 4)), resize_area(images, (6, 4)))
    boxes = torch.tensor([[2 / 8, 3 / 12, 6 / 8, 9 / 12], [0.0, 6 / 12, 4 / 8, 1.0]])
    expected = torch.stack([images[0, :, 3:9, 2:6], images[1, :, 6:12, 0:4]])
    torch.testing.assert_close(crop_area(images, boxes, (6, 4)), expected, atol=1e-5, rtol=1e-4)


def test_a_box_outside_the_image_is_zero():
    crops = crop_area(torch.ones(1, 1, 8, 8), torch.tensor([[-0.5, 0.0, 0.5, 1.0]]), (8, 8))
    torch.testing.assert_close(crops, torch.tensor([0.0] * 4 + [1.0] * 4).expand(1, 1, 8, 8))


@pytest.mark.parametrize(("x", "y"), [(0.5, 0.5), (0.31, 0.77), (0.03, 0.02), (0.98, 0.99)])
def test_points_are_the_centers_of_their_heatmaps(x, y):
    row, column = torch.arange(32) + 0.5, torch.arange(16) + 0.5
    heatmap = 0.8 * torch.exp(-((row[:, None] - 32 * y) ** 2 + (column - 16 * x) ** 2) / 2)
    points, score = Body(heatmap[None, None], torch.zeros(1, 7, 32, 16)).points()
    assert (points[0, 0] - torch.tensor([x, y])).abs().max() < 0.04
    if 0.1 < x < 0.9:  # the centroid is finer than a position of the map
        assert (points[0, 0, 0] - x).abs() < 0.25 / 16
        assert (points[0, 0, 1] - y).abs() < 0.25 / 32
    assert 0.6 < score.item() <= 0.8


def test_an_empty_heatmap_has_a_point_inside_the_image():
    points, score = Body(torch.zeros(1, 1, 32, 16), torch.zeros(1, 7, 32, 16)).points()
    assert ((points >= 0) & (points <= 1)).all()
    assert score.item() == 0


@pytest.mark.parametrize("method", METHODS)
def test_a_method_without_the_estimator_is_an_error(method, monkeypatch, tmp_path):
    monkeypatch.setattr(body_estimator, "BODY_WEIGHTS", tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match=r"body estimator .*no such file; .*python -m tools\.body_estimator --out"):
        build_model(method=method, backbone="test_resnet")


def test_damaged_weights_are_an_error(monkeypatch, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(BODY_WEIGHTS.read_bytes()[:1000])
    monkeypatch.setattr(body_estimator, "BODY_WEIGHTS", path)
    with pytest.raises(WeightsError, match="not a complete safetensors file"):
        load_body_estimator()


def test_on_the_meta_device_only_shapes_are_built():
    with torch.device("meta"):
        network = load_body_estimator()
    assert all(buffer.is_meta for buffer in network.buffers())
    assert BodyEstimator()(noise(1, 3, 32, 16)).heatmaps.shape == (1, 14, 32, 16)
