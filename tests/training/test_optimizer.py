"""Oracle: a network of four parameters whose places are known."""

import pytest
import torch
from torch import nn

from passerby.model.convnext_ap import convnext_ap
from passerby.training.optimizer import build_optimizer, clip_gradients, set_learning_rate

SETTINGS = {"backbone_scale": 0.1, "weight_decay": 0.5, "momentum": 0.9, "nesterov": True, "betas": (0.8, 0.9)}


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(2, 3)
        self.head = nn.Linear(3, 4)


@pytest.mark.parametrize(("name", "kind"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_backbone_is_slower_and_vectors_are_not_decayed(name, kind):
    network = Network()
    optimizer = build_optimizer(network, name=name, **SETTINGS)
    assert isinstance(optimizer, kind)
    set_learning_rate(optimizer, 2.0)
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert found == {
        id(network.backbone.weight): (pytest.approx(0.2), 0.5),
        id(network.backbone.bias): (pytest.approx(0.2), 0.0),
        id(network.head.weight): (2.0, 0.5),
        id(network.head.bias): (2.0, 0.0),
    }


def test_settings_reach_the_optimizer():
    sgd = build_optimizer(Network(), name="sgd", **SETTINGS)
    assert (sgd.param_groups[0]["momentum"], sgd.param_groups[0]["nesterov"]) == (0.9, True)
    assert build_optimizer(Network(), name="adamw", **SETTINGS).param_groups[0]["betas"] == (0.8, 0.9)


def test_frozen_parameters_are_left_out():
    network = Network()
    network.backbone.requires_grad_(False)
    optimizer = build_optimizer(network, name="sgd", **SETTINGS)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == 2


def test_gradients_are_clipped_together():
    """Oracle: norms 3 and 4 make 5; a limit of 1 leaves 0.6 and 0.8."""
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    first.grad, second.grad = torch.tensor([3.0]), torch.tensor([4.0])
    unused = nn.Parameter(torch.zeros(1))
    assert clip_gradients([first, second, unused], None) == 5.0
    assert first.grad.item() == 3.0
    assert clip_gradients(iter([first, second, unused]), 1.0) == 5.0
    assert (first.grad.item(), second.grad.item()) == pytest.approx((0.6, 0.8), abs=1e-5)


def test_layers_of_the_backbone_are_slower_the_deeper_they_are():
    """Oracle: timm's twelve layers of this ConvNeXt, by hand: the stem is the lowest, the last norm the highest."""
    network = convnext_ap("test_convnext", identities=3, parts=2, part_dim=8, refine=False)
    optimizer = build_optimizer(network, name="adamw", **SETTINGS, layer_decay=0.5)
    set_learning_rate(optimizer, 1.0)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert rates.keys() == {id(parameter) for parameter in network.parameters()}
    net = network.backbone.net
    stem, last = rates[id(net.stem[0].weight)], rates[id(net.head["norm"].weight)]
    assert last == pytest.approx(0.1)
    first, second = (rates[id(block.conv_dw.weight)] for block in net.stages[2].blocks[:2])
    assert stem < first < second < last
    assert second == pytest.approx(2 * first)
    assert {rates[id(parameter)] for parameter in network.part_necks.parameters()} == {1.0}
    assert all(decays[id(parameter)] == (0.5 if parameter.ndim > 1 else 0.0) for parameter in network.parameters())
