"""GLAD. Oracles: boxes worked by hand, crops by slices, each stream by the backbone alone, parameters by hand."""

import pytest
import torch

from passerby.errors import RecipeError
from passerby.losses.combine import Losses
from passerby.model.baselines.glad import MARGIN, glad, part_boxes
from passerby.model.body_estimator import KEY_POINTS, Body, crop_area
from passerby.model.info import model_info
from training_checks import assert_gradient_reaches_all, assert_recipe_lowers_its_loss

STANDING = {"head top": (0.5, 0.1), "neck": (0.5, 0.2), "right hip": (0.4, 0.5), "left hip": (0.6, 0.52)}


def body_at(points, scores=None):
    """A body whose heat maps are Gaussians at the given points, of height 1 or the given scores."""
    row, column = torch.arange(32) + 0.5, torch.arange(16) + 0.5
    heatmaps = torch.zeros(1, len(KEY_POINTS), 32, 16)
    for name, (x, y) in points.items():
        height = (scores or {}).get(name, 1.0)
        gauss = torch.exp(-((row[:, None] - 32 * y) ** 2 + (column - 16 * x) ** 2) / 2)
        heatmaps[0, KEY_POINTS.index(name)] = height * gauss
    return Body(heatmaps, torch.full((1, 7, 32, 16), 1 / 7))


def test_parameters_are_those_of_resnet_50_and_four_necks():
    with torch.device("meta"):
        info = model_info(glad(identities=751), size=(256, 128))
    assert info.parameters["backbone"] == 23_508_032
    assert info.parameters["parts"] == 4 * (2048 * 1024 + 2 * 1024)
    assert info.parameters["classifiers"] == 4 * (1024 + 1) * 751
    assert info.embedding_width == 4 * 1024


def test_boxes_of_a_standing_person():
    """Oracle: the equations of the module, by hand; an image of 256 x 128."""
    head, upper, lower = part_boxes(body_at(STANDING), aspect=2.0)[0]
    side = 0.1 + 2 * MARGIN
    torch.testing.assert_close(
        head, torch.tensor([0.5 - side, 0.15 - side / 2, 0.5 + side, 0.15 + side / 2]), atol=0.02, rtol=0
    )
    torch.testing.assert_close(upper, torch.tensor([0.0, 0.2 - MARGIN, 1.0, 0.51 + MARGIN]), atol=0.02, rtol=0)
    torch.testing.assert_close(lower, torch.tensor([0.0, 0.51 - MARGIN, 1.0, 1.0]), atol=0.02, rtol=0)


def test_a_hidden_hip_does_not_move_the_boxes():
    shifted = {**STANDING, "left hip": (0.6, 0.9)}
    _, upper, _ = part_boxes(body_at(shifted, {"left hip": 0.001}), aspect=2.0)[0]
    assert upper[3].item() == pytest.approx(0.5 + MARGIN, abs=0.02)


@pytest.mark.parametrize("order", [("head top", "neck"), ("neck", "right hip", "left hip")])
def test_key_points_in_a_wrong_order_give_boxes_with_an_area(order):
    points = dict(zip(STANDING, [(0.5, 0.9)] * 4, strict=True)) | dict.fromkeys(order, (0.5, 0.98))
    boxes = part_boxes(body_at(points), aspect=2.0)[0]
    assert (boxes[:, 2] > boxes[:, 0]).all()
    assert (boxes[:, 3] > boxes[:, 1] + MARGIN).all()


def test_each_stream_is_the_mean_of_the_backbones_map_of_its_crop():
    network = glad("test_resnet", part_dim=8).eval()
    images = torch.randn(2, 3, 128, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        parts = network(images).parts  # (B, P, C)
        boxes = part_boxes(network.pooling.body(images), aspect=2.0)
        streams = [images, *(crop_area(images, boxes[:, part], (64, 64)) for part in range(3))]
        expected = torch.stack([network.backbone(stream).mean(dim=(2, 3)) for stream in streams], dim=1)
    torch.testing.assert_close(parts, expected, atol=1e-4, rtol=1e-3)


def test_gradients_reach_every_parameter_and_the_backbone_is_held_once():
    network = glad("test_resnet", identities=4, part_dim=8)
    assert_gradient_reaches_all(network, Losses(identity={"weight": 1.0, "label_smoothing": 0.0}))
    assert not any(key.startswith("pooling._shared") or "pooling.backbone" in key for key in network.state_dict())


def test_the_loss_of_the_recipe_falls_on_a_fixed_batch_of_rendered_people():
    assert_recipe_lowers_its_loss("glad", "model.part_dim=16", rate=1e-2)


def test_an_impossible_width_is_named():
    with pytest.raises(RecipeError, match=r"model\.part_dim: got 0, expected 1 or more"):
        glad("test_resnet", part_dim=0)
