"""Transformers as maps. Oracle: timm's own tokens, in their order over the image."""

import pytest
import safetensors.torch
import timm
import torch

from passerby.errors import RecipeError
from passerby.model.backbone import build_backbone
from passerby.model.convnext_ap import convnext_ap
from passerby.model.heatmaps import activation_maps

META = torch.device("meta")
SWIN, VIT, REGISTERS = "swin_tiny_patch4_window7_224", "test_vit", "test_vit3"


def images(size=(96, 64), batch=2):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "channels", "stride"),
    [
        ("swin_tiny_patch4_window7_224", 768, 32),
        ("swinv2_tiny_window8_256", 768, 32),
        ("vit_small_patch16_224", 384, 16),
        ("vit_base_patch16_clip_224", 768, 16),
        ("vit_small_patch14_reg4_dinov2", 384, 14),
    ],
)
@pytest.mark.parametrize("times", [(16, 8), (24, 8), (7, 5)])
def test_any_size_that_divides_into_patches_makes_a_map(name, channels, stride, times):
    with META:
        backbone = build_backbone(name, attention=False)
        features = backbone(torch.empty(2, 3, times[0] * stride, times[1] * stride))
    assert (backbone.channels, backbone.stride, backbone.tokens) == (channels, stride, True)
    assert features.shape == (2, channels, *times)


@pytest.mark.parametrize("name", [VIT, REGISTERS])
def test_a_vits_map_is_its_patch_tokens_row_by_row(name):
    backbone = build_backbone(name, attention=False).eval()
    net = backbone.net
    found, tokens = backbone(images()), net.forward_features(images())
    patches = tokens[:, net.num_prefix_tokens :]
    rows, columns = 96 // 16, 64 // 16
    assert patches.shape[1] == rows * columns
    assert net.num_prefix_tokens > 0
    for row in range(rows):
        for column in range(columns):
            torch.testing.assert_close(found[:, :, row, column], patches[:, row * columns + column])


def test_a_swins_map_is_its_own_with_channels_first():
    backbone = build_backbone(SWIN, attention=False).eval()
    torch.testing.assert_close(backbone(images()), backbone.net.forward_features(images()).permute(0, 3, 1, 2))


@pytest.mark.parametrize("name", [SWIN, VIT])
def test_at_its_own_size_the_map_equals_timms(name):
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=0, global_pool="").eval()
    side = net.pretrained_cfg["input_size"][-1]
    backbone = build_backbone(name, attention=False).eval()
    backbone.net.load_state_dict(net.state_dict())
    tokens = net.forward_features(images((side, side), batch=1))
    flat = tokens[:, net.num_prefix_tokens :] if name == VIT else tokens.flatten(1, 2)
    torch.testing.assert_close(backbone(images((side, side), batch=1)).flatten(2).transpose(1, 2), flat)


@pytest.mark.parametrize("name", [SWIN, VIT])
def test_timms_own_file_loads_and_its_classifier_is_left_out(tmp_path, name):
    donor = timm.create_model(name)
    safetensors.torch.save_file(donor.state_dict(), tmp_path / "timm.safetensors")
    backbone = build_backbone(name, attention=False, weights=tmp_path / "timm.safetensors")
    for key, value in backbone.net.state_dict().items():
        assert torch.equal(value, donor.state_dict()[key]), key


def rates(backbone):
    return sorted(each.drop_prob for each in backbone.modules() if type(each).__name__ == "DropPath")


def test_swin_has_no_drop_path_by_default():
    """Its default in timm is 0.1, and the recipe's is 0."""
    with META:
        assert rates(build_backbone(SWIN, attention=False)) == []
        assert rates(build_backbone(SWIN, attention=False, drop_path=0.2))[-1] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (VIT, (100, 64), r"images.size: 100 x 64 .* patches of test_vit, 16 x 16 pixels; set images.size=\[96, 64\]"),
        (VIT, (96, 8), r"images.size=\[96, 16\]"),
        (SWIN, (96, 50), r"swin_tiny_patch4_window7_224, 4 x 4 pixels; set images.size=\[96, 48\]"),
    ],
)
def test_a_size_that_does_not_divide_into_patches_is_an_error_before_and_during_the_forward_pass(name, size, message):
    with META:
        backbone = build_backbone(name, attention=False)
        for ask in (lambda: backbone.require_size(size), lambda: backbone(torch.empty(1, 3, *size))):
            with pytest.raises(RecipeError, match=message):
                ask()
        backbone.require_size((96, 64))
        build_backbone("test_convnext").require_size((size[0], max(size[1], 32)))  # it needs no multiple, 32 at least


@pytest.mark.parametrize("name", [SWIN, VIT])
def test_it_is_a_plain_baseline_with_parts_whose_every_parameter_learns(name):
    network = convnext_ap(name, attention=False, identities=3, parts=2, part_dim=8, refine=True, global_branch=True)
    output = network(images(batch=3))
    (sum(each.logsumexp(1).sum() for each in output.logits) + output.embedding[:, 0].sum()).backward()
    without = [key for key, each in network.named_parameters() if each.grad is None or not each.grad.isfinite().all()]
    assert without == []
    assert output.assignment.shape == (3, 2, *output.map.shape[2:])


def test_activation_is_that_before_the_norm_that_makes_places_alike():
    network = convnext_ap(VIT, attention=False, parts=0, refine=False).eval()
    expected = network.backbone.net.forward_intermediates(images(), indices=1, intermediates_only=True)[-1]
    found = torch.from_numpy(activation_maps(network, images()))
    torch.testing.assert_close(found, expected.square().mean(dim=1))
    assert found.std() > 10 * network.backbone(images()).square().mean(dim=1).std()
