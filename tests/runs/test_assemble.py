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
def test_network_has_classifiers_only_when_a_loss_uses_them(settings, classes):
    """Classifiers that no loss uses would waste memory."""
    network, _ = training_state(tiny_recipe(*settings), 7, ALONE)
    assert network.identities == classes
    assert any("classifier" in name for name, _ in network.named_parameters()) == (classes > 0)
