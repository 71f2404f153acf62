import pytest
import safetensors.torch
import timm
import torch

from passerby.errors import RecipeError, WeightsError
from passerby.model.backbone import HalfInstanceNorm, build_backbone
from passerby.model.simam import SimAM

META = torch.device("meta")


def images(size=(64, 32), batch=2):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("convnext_atto", 320),
        ("convnext_zepto_rms_ols", 256),
        ("convnext_tiny_hnf", 768),
        ("convnext_large_mlp", 1536),
        ("convnext_xxlarge", 3072),
        ("convnextv2_atto", 320),
        ("convnextv2_huge", 2816),
    ],
)
def test_every_kind_of_convnext_makes_a_map_with_attention_in_every_block(name, channels):
    with META:
        backbone = build_backbone(name, drop_path=0.1)
        features = backbone(torch.empty(2, 3, 256, 128))
    assert features.shape == (2, channels, 8, 4)
    assert (backbone.channels, backbone.stride) == (channels, 32)
    assert sum(isinstance(module, SimAM) for module in backbone.modules()) == sum(
        len(stage.blocks) for stage in backbone.net.stages
    )


@pytest.mark.parametrize("name", ["convnext_atto", "convnext_tiny_hnf", "convnextv2_atto"])
def test_the_map_is_timms_with_its_final_norm(name):
    """Oracle: timm's own network; its classifier reads the norm of the pooled map, or pools the norm of the map."""
    net = timm.create_model(name, num_classes=0).eval()
    backbone = build_backbone(name, attention=False).eval()
    backbone.net.load_state_dict(net.state_dict())
    features = net.forward_features(images())
    expected = features if name.endswith("hnf") else net.head.norm(features)
    torch.testing.assert_close(backbone(images()), expected)


def test_attention_adds_no_parameter_and_changes_no_name():
    with META:
        keys = [
            {key: value.shape for key, value in build_backbone("convnext_base", **options).state_dict().items()}
            for options in (
                {"attention": False},
                {"attention": True},
                {"attention_position": "block"},
                {"last_stride": 1},
            )
        ]
    assert keys[0] == keys[1] == keys[2] == keys[3]
    assert sum(shape.numel() for shape in keys[0].values()) == 87_566_464


@pytest.mark.parametrize(("name", "channels"), [("convnext_atto", 320), ("resnet18", 512), ("resnet50d", 2048)])
def test_last_stride_1_keeps_the_map(name, channels):
    with META:
        backbone = build_backbone(name, attention=False, last_stride=1)
        assert backbone(torch.empty(1, 3, 128, 64)).shape == (1, channels, 8, 4)
    assert backbone.stride == 16


def test_last_stride_1_equals_stride_2_at_every_other_position():
    """The weights mean the same: with 1 x 1 depthwise kernels, every other position of the wider map is the same."""
    outputs = []
    for stride in (1, 2):
        torch.manual_seed(0)
        backbone = build_backbone("convnext_atto", attention=False, last_stride=stride).eval()
        backbone.net.stages[-1].blocks = torch.nn.Identity()
        outputs.append(backbone(images()))
    torch.testing.assert_close(outputs[0][:, :, ::2, ::2], outputs[1])


@pytest.mark.parametrize("name", ["resnet50", "efficientnet_b0"])
def test_other_networks_are_plain_baselines(name):
    with META:
        backbone = build_backbone(name, attention=False)
        features = backbone(torch.empty(1, 3, 256, 128))
    assert features.shape == (1, backbone.channels, 256 // backbone.stride, 128 // backbone.stride)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("convnext_bas", {}, "convnext_bas'.*no such network.*convnext_base"),
        ("qqqqqqqq", {}, "close names: none"),
        ("convnext_atto.nope", {}, "no such weights.*convnext_atto.d2_in1k"),
        ("convnext_atto_rms", {"pretrained": True}, "no such weights.*none"),
        ("resnet18", {}, "resnet18.*attention.*set attention: false"),
        ("efficientnet_b0", {"attention": False, "last_stride": 1}, "last_stride 1 works on"),
        ("beit_base_patch16_224", {"attention": False}, "not a map.*or one of timm's Swins"),
        ("vit_tiny_patch16_224", {"attention": False, "last_stride": 1}, "last_stride 1 works on"),
        ("swin_tiny_patch4_window7_224", {}, "swin_tiny.*attention.*set attention: false"),
        ("convnext_atto", {"pretrained": True, "layer_scale": None}, "layer_scale: null does not fit the pretrained"),
        ("vgg11", {"attention": False, "drop_path": 0.1}, "does not support drop_path 0.1"),
    ],
)
def test_unsupported_options_are_one_error(name, options, message):
    with META, pytest.raises(RecipeError, match=message):
        build_backbone(name, **options)


def test_layer_scale_is_set_or_left_out_and_v2_stays_without():
    with META:
        assert build_backbone("convnext_atto", layer_scale=None).net.stages[0].blocks[0].gamma is None
        assert build_backbone("convnextv2_atto", layer_scale=1e-6).net.stages[0].blocks[0].gamma is None
    scaled = build_backbone("convnext_atto", layer_scale=0.5).net.stages[0].blocks[0].gamma
    assert torch.equal(scaled, torch.full_like(scaled, 0.5))


def test_pretrained_requests_timms_weights_of_that_name(monkeypatch):
    asked = []
    create = timm.create_model

    def spy(name, *, pretrained, **options):
        asked.append((name, pretrained))
        return create(name, **options)

    monkeypatch.setattr(timm, "create_model", spy)
    build_backbone("convnext_atto.d2_in1k", pretrained=True)
    assert asked == [("convnext_atto.d2_in1k", True)]


def test_a_failed_download_is_an_error_with_advice(monkeypatch):
    def offline(*_args, **_options):
        raise FileNotFoundError("cannot find the requested files in the local cache\nmore")

    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(WeightsError, match=r"huggingface.co/timm/convnext_atto.d2_in1k elsewhere.*model.weights=FILE"):
        build_backbone("convnext_atto", pretrained=True)


def test_an_error_of_timm_that_is_not_about_weights_is_not_hidden(monkeypatch):
    def broken(*_args, **_options):
        raise RuntimeError("ours to see")

    monkeypatch.setattr(timm, "create_model", broken)
    with pytest.raises(RuntimeError, match="ours to see"):
        build_backbone("convnext_atto")


@pytest.mark.parametrize(("name", "head"), [("convnext_atto", "head.fc.weight"), ("resnet18", "fc.weight")])
def test_timms_own_file_loads_and_its_classifier_is_left_out(tmp_path, name, head):
    donor = timm.create_model(name)
    assert head in donor.state_dict()
    safetensors.torch.save_file(donor.state_dict(), tmp_path / "timm.safetensors")
    backbone = build_backbone(name, attention=False, weights=tmp_path / "timm.safetensors")
    for key, value in backbone.net.state_dict().items():
        assert torch.equal(value, donor.state_dict()[key]), key


def test_weights_of_a_run_give_its_backbone(tmp_path):
    donor = build_backbone("convnext_atto", attention=True)
    tensors = {f"backbone.{key}": value for key, value in donor.state_dict().items()}
    safetensors.torch.save_file({**tensors, "refinement.w": torch.ones(1)}, tmp_path / "model.safetensors")
    backbone = build_backbone("convnext_atto", attention=False, weights=tmp_path / "model.safetensors")
    assert torch.equal(backbone.net.stem[0].weight, donor.net.stem[0].weight)


def test_weights_of_another_network_are_named(tmp_path):
    donor = timm.create_model("convnext_femto", num_classes=0)
    safetensors.torch.save_file(donor.state_dict(), tmp_path / "femto.safetensors")
    with pytest.raises(
        WeightsError, match=r"femto.safetensors.*mis-shaped: head.norm.bias is \(384,\), expected \(320,\)"
    ):
        build_backbone("convnext_atto", weights=tmp_path / "femto.safetensors")


def test_instance_norm_takes_the_first_two_moments_of_half_the_channels():
    features = 3 + 5 * torch.randn(2, 8, 4, 6, generator=torch.Generator().manual_seed(0))
    found = HalfInstanceNorm()(features)
    torch.testing.assert_close(found[:, 4:], features[:, 4:])
    torch.testing.assert_close(found[:, :4].mean(dim=(2, 3)), torch.zeros(2, 4), atol=1e-5, rtol=0)
    torch.testing.assert_close(found[:, :4].var(dim=(2, 3), unbiased=False), torch.ones(2, 4), atol=1e-4, rtol=0)


@pytest.mark.parametrize("stages", [1, 3])
def test_instance_norm_adds_no_parameter_and_ends_the_first_stages(stages):
    plain = build_backbone("test_convnext", attention=False)
    normed = build_backbone("test_convnext", attention=False, instance_norm=stages)
    assert plain.state_dict().keys() == normed.state_dict().keys()
    found = [isinstance(stage.blocks[-1], HalfInstanceNorm) for stage in normed.net.stages]
    assert found == [place < stages for place in range(4)]
    normed.load_state_dict(plain.state_dict())
    images = torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(plain.eval()(images), normed.eval()(images))


def test_instance_norm_is_for_convnext():
    with pytest.raises(RecipeError, match="instance_norm needs ConvNeXt stages"):
        build_backbone("resnet18", attention=False, instance_norm=1)


def test_an_image_smaller_than_the_first_map_is_refused():
    """Oracle: the networks, which accept [32, 16] where their convolutions pad the map."""
    build_backbone("test_convnext", last_stride=1).require_size((32, 16))
    build_backbone("resnet18", attention=False).require_size((32, 16))
    with pytest.raises(RecipeError, match=r"\[32, 16\] is too small .* smallest size is \[32, 32\]"):
        build_backbone("test_convnext").require_size((32, 16))
