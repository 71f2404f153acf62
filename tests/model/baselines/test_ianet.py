"""IANet. Oracles: its equations in NumPy loops, parameters counted by hand, a loss that falls."""

import numpy as np
import pytest
import torch

from passerby.errors import RecipeError
from passerby.losses.combine import Losses
from passerby.model.baselines.ianet import ChannelInteraction, SpatialInteraction, ianet, location_relation
from passerby.model.convnext_ap import convnext_ap
from passerby.model.info import model_info
from passerby.model.weights import save_model
from training_checks import assert_gradient_reaches_all, assert_recipe_lowers_its_loss

META = torch.device("meta")


def softmax(rows):
    powers = np.exp(rows - rows.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def standardize(maps):
    """Batch norm in training without weights: (B, C, H, W)."""
    return (maps - maps.mean((0, 2, 3), keepdims=True)) / np.sqrt(maps.var((0, 2, 3), keepdims=True) + 1e-5)


def draw(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_parameters_are_those_of_resnet_50_and_four_batch_norms():
    with META:
        info = model_info(ianet(identities=751), size=(256, 128))
    assert info.map == (2048, 16, 8)
    assert info.parameters["backbone"] == 23_508_032
    assert info.parameters["parts"] == 2 * (2 * 512) + 2 * (2 * 1024) + 2 * 2048
    assert info.parameters["classifiers"] == (2048 + 1) * 751
    assert info.embedding_width == 2048


def test_location_relation_is_a_gaussian_of_the_relative_distance():
    height, width = 4, 3
    expected = np.empty((12, 12))
    for i in range(12):
        for j in range(12):
            dy, dx = i // width - j // width, i % width - j % width
            expected[i, j] = -((dy / (0.625 * height)) ** 2) / 2 - (dx / (0.625 * width)) ** 2 / 2
    np.testing.assert_allclose(location_relation(height, width), softmax(expected), rtol=1e-5)


def test_spatial_interaction_equals_a_loop_over_positions():
    x = draw((2, 5, 4, 3))
    module = SpatialInteraction(5)
    torch.nn.init.ones_(module.norm.weight)
    taken = np.empty((2, 5, 12))
    location = location_relation(4, 3).numpy()
    for b, image in enumerate(x.flatten(2).double().numpy()):
        for i in range(12):
            appearance = softmax(np.array([image[:, i] @ image[:, j] / np.sqrt(5) for j in range(12)]))
            relation = softmax(appearance * location[i])
            taken[b, :, i] = sum(relation[j] * image[:, j] for j in range(12))
    np.testing.assert_allclose(module(x).detach(), x.numpy() + standardize(taken.reshape(2, 5, 4, 3)), atol=2e-4)


def test_channel_interaction_equals_a_loop_over_channels():
    x = draw((2, 5, 4, 3))
    module = ChannelInteraction(5)
    torch.nn.init.ones_(module.norm.weight)
    taken = np.empty((2, 5, 12))
    for b, image in enumerate(x.flatten(2).double().numpy()):
        for c in range(5):
            relation = softmax(np.array([image[c] @ image[d] for d in range(5)]))
            taken[b, c] = sum(relation[d] * image[d] for d in range(5))
    np.testing.assert_allclose(module(x).detach(), x.numpy() + standardize(taken.reshape(2, 5, 4, 3)), atol=1e-4)


@pytest.mark.parametrize("backbone", ["resnet18", "test_convnext"])
def test_new_blocks_change_nothing_and_are_in_stages_two_and_three(backbone):
    """Oracle: the plain network with the same weights; the norms of the blocks start at 0."""
    network, plain = ianet(backbone, last_stride=2).eval(), convnext_ap(
        backbone, attention=False, parts=0, refine=False
    ).eval()  # fmt: skip
    weights = network.state_dict()
    plain.load_state_dict({key: weights[key] for key in plain.state_dict()})
    images = draw((2, 3, 64, 32))
    torch.testing.assert_close(network(images).embedding, plain(images).embedding)
    shapes = []
    for block in network.inserted:
        block.register_forward_hook(lambda _module, given, _made: shapes.append(tuple(given[0].shape[2:])))
    network(images)
    assert shapes == [(8, 4), (4, 2)]
    torch.nn.init.ones_(network.inserted[1][1].norm.weight)
    assert not torch.allclose(network(images).embedding, plain(images).embedding)


def test_gradient_reaches_every_parameter():
    losses = Losses(identity={"weight": 1.0, "label_smoothing": 0.0})
    assert_gradient_reaches_all(ianet("resnet18", identities=4), losses)


def test_the_losses_of_the_recipe_fall_on_a_fixed_batch_of_rendered_people():
    assert_recipe_lowers_its_loss("ianet")


def test_weights_of_a_run_hold_the_blocks(tmp_path):
    network = ianet("resnet18", identities=4)
    torch.nn.init.ones_(network.inserted[0][0].norm.weight)
    save_model(tmp_path, network, {})
    again = ianet("resnet18", weights=tmp_path / "model.safetensors")
    assert torch.equal(again.inserted[0][0].norm.weight, network.inserted[0][0].norm.weight)


def test_a_backbone_without_stages_is_refused():
    with META, pytest.raises(RecipeError, match=r"model.backbone: this method has modules between the stages of a Res"):
        ianet("osnet_x0_25", last_stride=2)
