"""CAMA. Oracles: its maps and its penalty in loops, parameters by hand, where gradients go, a loss that falls."""

import numpy as np
import pytest
import torch

from passerby.errors import RecipeError
from passerby.losses.combine import Losses
from passerby.model.baselines.cama import BranchAverages, activation_map, cama, soft_mask
from passerby.model.convnext_ap import convnext_ap
from passerby.model.info import model_info
from passerby.model.weights import save_model
from training_checks import assert_gradient_reaches_all, assert_recipe_lowers_its_loss

META = torch.device("meta")
IDENTITY = {"weight": 1.0, "label_smoothing": 0.0}


def draw(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_parameters_are_those_of_resnet_50_with_three_last_stages():
    """The last stage of ResNet-50: three blocks of 512, 512 and 2048 channels and a shortcut from 1024."""

    def block(inputs, shortcut):
        convolutions = inputs * 512 + 9 * 512 * 512 + 512 * 2048 + (inputs * 2048 if shortcut else 0)
        return convolutions + 2 * (512 + 512 + 2048) + (2 * 2048 if shortcut else 0)

    last = block(1024, True) + 2 * block(2048, False)
    with META:
        info = model_info(cama(identities=751), size=(256, 128))
    assert info.map == (3 * 2048, 16, 8)
    assert info.parameters["backbone"] == 23_508_032 + 2 * last
    assert info.parameters["parts"] == 0
    assert info.parameters["classifiers"] == 3 * (2048 + 1) * 751
    assert info.embedding_width == 3 * 2048


def test_soft_mask_is_half_at_the_value_of_rank_k():
    """Oracle: of 4 x 5 positions, 6 are active."""
    maps = draw(3, 4, 5)
    mask = soft_mask(maps)
    for image in range(3):
        kth = np.sort(maps[image].numpy().ravel())[-6]
        np.testing.assert_allclose(mask[image], 1 / (1 + np.exp(kth - maps[image].numpy())), rtol=1e-5)
        assert (mask[image] >= 0.5).sum() == 6


def test_penalty_equals_a_loop_over_pairs_images_and_positions():
    features, labels = draw(4, 3 * 5, 4, 2), torch.tensor([0, 1, 1, 2])
    classifiers = [torch.nn.Linear(5, 3) for _ in range(3)]
    masks = np.empty((3, 4, 8))
    for n in range(3):
        for image in range(4):
            weights = classifiers[n].weight.detach()[labels[image]].numpy()
            values = np.einsum("c,cp->p", weights, features[image, 5 * n : 5 * n + 5].flatten(1).numpy())
            masks[n, image] = 1 / (1 + np.exp(np.sort(values)[-2] - values))  # 0.3 of 8 positions is 2
    overlaps = [
        masks[m, image, position] * masks[n, image, position]
        for m, n in ((0, 1), (0, 2), (1, 2))
        for image in range(4)
        for position in range(8)
    ]
    pooling = BranchAverages(3, overlap_weight=2.0)
    loss = pooling.labeled_loss(features, labels, classifiers)
    assert loss.item() == pytest.approx(2 * np.mean(overlaps), rel=1e-5)


def test_only_later_branches_learn_from_the_penalty():
    features = draw(4, 3 * 5, 4, 2).requires_grad_()
    classifiers = [torch.nn.Linear(5, 3) for _ in range(3)]
    BranchAverages(3, overlap_weight=1.0).labeled_loss(features, torch.tensor([0, 1, 1, 2]), classifiers).backward()
    assert [bool(part.any()) for part in features.grad.chunk(3, dim=1)] == [False, True, True]
    assert classifiers[0].weight.grad is None
    assert classifiers[2].weight.grad.any()


def test_descending_the_penalty_moves_a_branch_away_from_the_regions_of_the_one_before():
    """Oracle: the first branch is active above, the second follows the gradient from an even map."""
    first = torch.tensor([5.0, 5, -5, -5, -5, -5, -5, -5]).reshape(1, 1, 8, 1)
    second = torch.nn.Parameter(0.01 * draw(1, 1, 8, 1))
    classifier = torch.nn.Linear(1, 1)
    torch.nn.init.ones_(classifier.weight)
    pooling = BranchAverages(2, overlap_weight=1.0)
    for _ in range(50):
        loss = pooling.labeled_loss(torch.cat([first, second], dim=1), torch.tensor([0]), [classifier] * 2)
        (gradient,) = torch.autograd.grad(loss, second)
        second.data -= 5 * gradient
    assert second[0, 0, :2].max() < second[0, 0, 2:].min()


@pytest.mark.parametrize("backbone", ["test_resnet", "convnext_atto"])
def test_each_branch_starts_with_the_weights_of_the_last_stage(backbone, tmp_path):
    plain = convnext_ap(backbone, attention=False, parts=0, refine=False, embedding="full").eval()
    save_model(tmp_path, plain, {})
    network = cama(backbone, weights=tmp_path / "model.safetensors", last_stride=2).eval()
    images = draw(2, 3, 64, 32)
    for vectors in network(images).parts.unbind(dim=1):
        torch.testing.assert_close(torch.nn.functional.normalize(vectors), plain(images).embedding)


@pytest.mark.parametrize("backbone", ["test_resnet", "test_convnext"])
def test_gradient_reaches_every_parameter(backbone):
    assert_gradient_reaches_all(cama(backbone, identities=4, last_stride=2), Losses(identity=IDENTITY))


def test_the_penalty_needs_labels_and_classifiers():
    images, labels = draw(2, 3, 64, 32), torch.tensor([0, 1])
    network = cama("test_resnet", identities=2).train()
    assert network(images).own_loss is None
    assert network(images, labels).own_loss > 0
    assert network.eval()(images, labels).own_loss is None
    with pytest.raises(RecipeError, match=r"loss\.identity: cama finds its maps by classifiers"):
        cama("test_resnet").train()(images, labels)


def test_the_losses_of_the_recipe_fall_on_a_fixed_batch_of_rendered_people():
    values = assert_recipe_lowers_its_loss("cama", rate=3e-3)
    assert values[0].keys() == {"identity", "own", "loss"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation_branches": 1}, "model.activation_branches: got 1, expected 2 to 8"),
        ({"overlap_weight": -1.0}, "model.overlap_weight: got -1.0, expected 0 or more"),
    ],
)
def test_an_impossible_value_is_named(options, message):
    with META, pytest.raises(RecipeError, match=message):
        cama("test_resnet", **options)


def test_maps_are_weighted_sums_of_channels():
    features, weights = draw(2, 3, 2, 2), draw(2, 3, seed=1)
    expected = [
        [sum(weights[b, c] * features[b, c, p // 2, p % 2] for c in range(3)) for p in range(4)] for b in range(2)
    ]
    torch.testing.assert_close(activation_map(features, weights).flatten(1), torch.tensor(expected))
