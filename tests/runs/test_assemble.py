"""What a recipe becomes before the first step."""

import pytest
import torch

from conftest import tiny_recipe
from passerby.distributed import Process
from passerby.runs.assemble import training_state

ALONE = Process(0, 1, torch.device("cpu"))


@pytest.mark.parametrize(
    ("settings", "classes"),
    [
        ([], 7),
        (["loss.identity=null"], 0),
        (["loss.identity.weight=0"], 0),
        (["loss.identity=null", "loss.center={weight: 5e-4, alpha: 0.5}"], 7),
    ],
)
def test_there_are_classifiers_only_where_a_loss_asks_of_which_class_an_image_is(settings, classes):
    """Weights of 12,000 classes that no loss looks at would only be carried along."""
    network, _ = training_state(tiny_recipe(*settings), 7, ALONE)
    assert network.identities == classes
    assert any("classifier" in name for name, _ in network.named_parameters()) == (classes > 0)
