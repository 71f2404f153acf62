"""OSNet. Oracles: the paper's table 1, counted by hand, and what the field's toolkit prints for its own."""

import pytest
import safetensors.torch
import torch

from passerby.errors import RecipeError
from passerby.model.backbone import build_backbone
from passerby.model.baselines.osnet import WIDTHS, Gate, OmniScaleBlock, OSNet
from passerby.model.convnext_ap import convnext_ap
from passerby.model.info import model_info

META = torch.device("meta")
PUBLISHED = {
    "osnet_x1_0": (2.2, 978.9),
    "osnet_x0_75": (1.3, 571.8),
    "osnet_x0_5": (0.6, 272.9),
    "osnet_x0_25": (0.2, 82.3),
}
"""Millions of parameters and of multiply-adds at 256 x 128, without the classifier, as the authors give them."""


def by_hand(width):
    """Weights of every layer of the paper's table 1, those of batch norms and gates beside the convolutions'."""
    stem, *stages = (int(each * width) for each in (64, 256, 384, 512))
    total = 3 * stem * 7 * 7 + 2 * stem
    inputs = stem
    for outputs in stages:
        middle = outputs // 4
        hidden = max(1, middle // 16)
        lite = middle * middle + 9 * middle + 2 * middle
        gate = (middle * hidden + hidden) + (hidden * middle + middle)
        for first in (True, False):
            before = inputs if first else outputs
            total += before * middle + 2 * middle + 10 * lite + gate + middle * outputs + 2 * outputs
            total += (inputs * outputs + 2 * outputs) if first else 0
        total += outputs * outputs + 2 * outputs  # the transition, or conv5 at the end
        inputs = outputs
    return total


@pytest.mark.parametrize("name", WIDTHS)
def test_parameters_and_multiply_adds_are_the_published_ones(name):
    """With the paper's 512-d layer, which is the only part of the network: a linear map and a batch norm."""
    with META:
        network = convnext_ap(name, attention=False, parts=1, part_dim=512, refine=False)
    info = model_info(network, size=(256, 128))
    millions, multiply_adds = PUBLISHED[name]
    channels = int(512 * WIDTHS[name])
    assert info.map == (channels, 16, 8)
    assert info.parameters["backbone"] == by_hand(WIDTHS[name])
    assert info.parameters["total"] == by_hand(WIDTHS[name]) + channels * 512 + 2 * 512
    assert round(info.parameters["total"] / 1e6, 1) == millions
    assert round(info.multiply_adds["total"] / 1e6, 1) == multiply_adds


def test_the_toolkits_own_count_comes_out_to_the_last_digit():
    """Torchreid prints 2,193,616 and 978,878,352: it counts the gate at each of its four uses, and adds biases."""
    with META:
        net = OSNet(1.0)
        info = model_info(
            convnext_ap("osnet_x1_0", attention=False, parts=1, part_dim=512, refine=False), size=(256, 128)
        )
    gates = [gate for gate in net.modules() if isinstance(gate, Gate)]
    weights = sum(each.numel() for gate in gates for each in gate.parameters())
    biases = sum(each.numel() for gate in gates for each in gate.parameters() if each.ndim == 1)
    assert info.parameters["total"] + 512 + 3 * weights == 2_193_616
    assert info.multiply_adds["total"] + 512 + 4 * biases == 978_878_352


@pytest.mark.parametrize(("depth", "sees"), [(1, 3), (2, 5), (3, 7), (4, 9)])
def test_each_stream_has_its_own_receptive_field(depth, sees):
    """Oracle: which places of the input move the middle of the output."""
    stream = OmniScaleBlock(8, 32).double().eval().streams[depth - 1]
    for module in stream.modules():  # no ReLU stops a gradient: every weight and so every value is above 0
        if isinstance(module, torch.nn.Conv2d):
            module.weight.data.abs_()
    x = torch.rand(1, 8, 11, 11, dtype=torch.float64, requires_grad=True)
    stream(x)[:, :, 5, 5].sum().backward()
    seen = x.grad[0].abs().sum(dim=0) > 0
    assert seen.sum() == sees**2
    assert seen[5 - depth : 6 + depth, 5 - depth : 6 + depth].all()


def test_one_gate_weighs_the_channels_of_all_streams():
    """Oracle: equation 3 written out, F(x) as the sum of G(x^t) * x^t."""
    torch.manual_seed(0)
    block = OmniScaleBlock(16, 128).eval()
    x = torch.randn(2, 16, 6, 4)
    first, _, third, _ = block.gate.mlp
    total = 0
    for stream in block.streams:
        made = stream(block.reduce(x))
        pooled = made.flatten(2).mean(dim=2)
        hidden = torch.relu(pooled @ first.weight.T + first.bias)
        total = total + made * torch.sigmoid(hidden @ third.weight.T + third.bias)[..., None, None]
    torch.testing.assert_close(block(x), torch.relu(block.expand(total) + block.shortcut(x)))
    assert first.out_features == 128 // 4 // 16


def test_every_parameter_of_the_backbone_learns():
    backbone = build_backbone("osnet_x0_25", attention=False)
    backbone(torch.randn(4, 3, 64, 32, generator=torch.Generator().manual_seed(0))).square().mean().backward()
    assert [name for name, each in backbone.named_parameters() if each.grad is None] == []


def test_it_trains_and_embeds_as_part_of_the_network():
    network = convnext_ap("osnet_x0_25", attention=False, identities=3, parts=1, part_dim=64, refine=False)
    output = network(torch.randn(4, 3, 64, 32))
    assert output.map.shape == (4, 128, 4, 2)
    assert output.embedding.shape == (4, 64)


def test_weights_of_a_run_give_its_backbone(tmp_path):
    donor = build_backbone("osnet_x0_25", attention=False)
    tensors = {f"backbone.{key}": value for key, value in donor.state_dict().items()}
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    backbone = build_backbone("osnet_x0_25", attention=False, weights=tmp_path / "model.safetensors")
    assert all(torch.equal(value, donor.state_dict()[key]) for key, value in backbone.state_dict().items())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("osnet_x1_0", {"pretrained": True}, "osnet_x1_0'.*no weights to download; set pretrained: false"),
        ("osnet_x1_0", {"drop_path": 0.1}, "osnet_x1_0'.*does not support drop_path 0.1; set drop_path: 0"),
        ("osnet_x1_0", {"attention": True}, "osnet_x1_0'.*attention needs ConvNeXt blocks"),
        ("osnet_x1_0", {"last_stride": 1}, "osnet_x1_0'.*last_stride 1 works on ConvNeXt and plain ResNet"),
        ("osnet_x1_0", {"instance_norm": 1}, "osnet_x1_0'.*instance_norm needs ConvNeXt stages"),
        ("osnet_x2_0", {}, "no such network; close names: .*osnet_x1_0"),
    ],
)
def test_unsupported_options_are_named(name, options, message):
    with META, pytest.raises(RecipeError, match=message):
        build_backbone(name, **{"attention": False, **options})
