"""Checks of a method's training that the tests of baselines share: on people rendered here, in seconds."""

import torch

from conftest import SIMPLE
from passerby.data.datasets import load_data
from passerby.data.training_set import join_training
from passerby.distributed import Process
from passerby.recipe import load_recipe
from passerby.runs.arguments import build_losses
from passerby.runs.assemble import training_loader, training_state

SMALL = (
    "model.pretrained=false",
    "model.backbone=test_resnet",
    "training.precision=fp32",
    "images.size=[64, 32]",
    "images.pad=0",
    "batches.persons=4",
    "batches.images=2",
    "batches.workers=0",
)


def assert_gradient_reaches_all(network, losses, *, size=(64, 32), **given):
    """Assert that one backward pass of 8 random images gives every parameter a gradient that is not zero.

    Weights of norms that start at 0, as the last ones of ResNet's blocks, stop the gradient of the layers before them;
    they are set to 1.
    """
    for key, value in network.named_parameters():
        if key.endswith("weight") and value.ndim == 1:
            torch.nn.init.ones_(value)
    given.setdefault("cameras", torch.tensor([0, 1, 0, 1, 0, 1, 0, 1]))
    images = torch.randn(8, 3, *size, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    total, _ = losses(network.train()(images, labels, **given), labels)
    total.backward()
    without = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert without == []


def assert_recipe_lowers_its_loss(name, *overrides, steps=12, rate=1e-3, factor=0.7):
    """Assert that the recipe's loss on one batch falls below `factor` times its start; return the values by step."""
    recipe = load_recipe(name, overrides=[*SMALL, *overrides])
    people, alone = join_training(load_data(SIMPLE)), Process(0, 1, torch.device("cpu"))
    network, _ = training_state(recipe, people.identities, alone)
    batch = next(training_loader(recipe, people, alone).epoch(0))
    optimizer = torch.optim.Adam(network.train().parameters(), lr=rate)
    values = []
    for _ in range(steps):
        total, named = build_losses(recipe)(network(batch.images, batch.labels, batch.camera_ids), batch.labels)
        values.append({key: value.item() for key, value in named.items()} | {"loss": total.item()})
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    assert torch.tensor([[*step.values()] for step in values]).isfinite().all()
    assert values[-1]["loss"] < factor * values[0]["loss"]
    return values
