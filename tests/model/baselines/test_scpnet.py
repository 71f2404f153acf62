"""SCPNet. Oracles: its vectors and its loss written out, parameters counted by hand, a loss that falls."""

import pytest
import torch

from conftest import SIMPLE
from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.distributed import Process
from passerby.errors import RecipeError
from passerby.losses.combine import Losses
from passerby.model.baselines.scpnet import scpnet
from passerby.model.info import model_info
from passerby.recipe import load_recipe
from passerby.runs.arguments import build_losses
from passerby.runs.assemble import training_loader, training_state

META = torch.device("meta")


def images(batch=3, size=(128, 64)):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


def test_parameters_are_those_of_resnet_50_and_four_square_convolutions():
    with META:
        info = model_info(scpnet(identities=751), size=(256, 128))
    assert info.map == (2048, 8, 4)
    assert info.parameters["backbone"] == 23_508_032
    assert info.parameters["parts"] == 4 * (2048 * 2048 + 2048 + 2 * 2048)
    assert info.parameters["classifiers"] == 4 * (2048 + 1) * 751
    assert info.embedding_width == 4 * 2048


def test_vectors_are_averages_of_whole_maps_with_a_batch_norm_before_the_average():
    network = scpnet("resnet18", identities=5).train()
    seen = []
    network.backbone.register_forward_hook(lambda _module, _given, made: seen.append(made))
    output = network(images())
    maps = [conv(seen[0]) for conv, _ in network.pooling.groups]
    units = [(each - each.mean((0, 2, 3), keepdim=True)) / (each.var((0, 2, 3), False, keepdim=True) + 1e-5).sqrt()
             for each in maps]  # fmt: skip
    expected = torch.stack([each.mean((2, 3)) for each in units], dim=1)
    torch.testing.assert_close(output.parts, expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(torch.stack(output.branches, dim=1), output.parts)
    neck = network.part_necks[1]
    torch.testing.assert_close(output.logits[1], neck.classifier(output.parts[:, 1]))


def test_the_spatial_channel_loss_is_the_distance_to_the_stripes_and_does_not_move_them():
    """Oracle: at 128 x 64 and stride 32 the map has four rows, so that a stripe is a row."""
    network = scpnet("resnet18", channel_parts=4, spatial_weight=3.0).train()
    features = torch.randn(2, 512, 4, 2, requires_grad=True)
    parts = torch.randn(2, 4, 512, requires_grad=True)
    loss = network.pooling.own_loss(features, parts)
    expected = sum(((parts[:, i] - features[:, :, i].mean(dim=2)) ** 2).mean() for i in range(4))
    torch.testing.assert_close(loss, 3 * expected)
    loss.backward()
    assert features.grad is None
    assert parts.grad.any()


def test_the_own_loss_is_added_in_training_and_absent_in_evaluation():
    network = scpnet("resnet18", identities=2)
    labels = torch.tensor([0, 0, 1])
    losses = Losses(identity={"weight": 2.0, "label_smoothing": 0.0})
    output = network.train()(images())
    total, named = losses(output, labels)
    torch.testing.assert_close(total, 2 * named["identity"] + output.own_loss)
    assert list(named) == ["identity", "own"]
    assert network.eval()(images()).own_loss is None


def test_the_losses_of_the_recipe_fall_on_a_fixed_batch_of_rendered_people():
    sizes = ["images.size=[64, 32]", "batches.persons=4", "batches.images=2", "batches.workers=0"]
    recipe = load_recipe(
        "scpnet", overrides=["model.pretrained=false", "model.backbone=resnet18", "training.precision=fp32", *sizes]
    )
    people, alone = join_training(load_data(SIMPLE)), Process(0, 1, torch.device("cpu"))
    network, _ = training_state(recipe, people.identities, alone)
    batch = next(training_loader(recipe, people, alone).epoch(0))
    optimizer = torch.optim.Adam(network.train().parameters(), lr=1e-3)
    values = []
    for _ in range(12):
        total, named = build_losses(recipe)(network(batch.images), batch.labels)
        values.append([total.item(), named["own"].item()])
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert torch.tensor(values).isfinite().all()
    assert values[-1][0] < 0.7 * values[0][0]
    assert values[-1][1] < values[0][1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channel_parts": 0}, "model.channel_parts: got 0, expected 1 or more"),
        ({"spatial_weight": -1.0}, "model.spatial_weight: got -1.0, expected 0 or more"),
    ],
)
def test_an_impossible_value_is_named(options, message):
    with META, pytest.raises(RecipeError, match=message):
        scpnet("resnet18", **options)
