import pytest
import torch
from torch.nn import functional as F

from passerby.errors import RecipeError
from passerby.model.convnext_ap import convnext_ap
from passerby.model.info import variants
from passerby.model.methods import MODELS
from passerby.model.weights import save_model

META = torch.device("meta")


def images(batch=3, size=(64, 32)):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("parts", range(2, 9))
@pytest.mark.parametrize("refine", [False, True])
def test_every_size_and_number_of_parts_works(parts, refine):
    with META:
        network = convnext_ap("convnext_zepto_rms", identities=11, parts=parts, refine=refine, part_dim=16)
    for height, width in ((256, 128), (384, 128), (128, 64)):
        output = network(torch.empty(2, 3, height, width, device=META))
        h, w = height // 32, width // 32
        assert output.embedding.shape == (2, 16 * parts)
        assert [each.shape for each in output.logits] == [(2, 11)] * parts
        assert output.parts.shape == (2, parts, 256)
        assert output.map.shape == (2, 256, h, w)
        assert output.assignment is None if not refine else output.assignment.shape == (2, parts, h, w)


@pytest.mark.parametrize(
    ("options", "width", "classifiers"),
    [
        ({"parts": 4}, 4 * 16, 4),
        ({"parts": 4, "embedding": "full"}, 4 * 256, 4),
        ({"parts": 4, "global_branch": True}, 4 * 16 + 256, 5),
        ({"parts": 4, "global_branch": True, "embedding": "full"}, 5 * 256, 5),
        ({"parts": 0, "refine": False}, 256, 1),
        ({"parts": 0, "refine": False, "embedding": "full", "global_branch": True}, 256, 1),
        ({"parts": 4, "identities": 0}, 4 * 16, 0),
    ],
)
def test_embedding_and_classifiers_follow_the_settings_in_both_modes(options, width, classifiers):
    network = convnext_ap("convnext_zepto_rms", **{"identities": 5, "part_dim": 16, **options})
    assert network.embedding_width == width
    for mode in (True, False):
        output = network.train(mode)(images())
        assert output.embedding.shape == (3, width)
        torch.testing.assert_close(output.embedding.norm(dim=1), torch.ones(3))
        assert [each.shape for each in output.logits] == [(3, 5)] * classifiers
        assert output.parts.shape == (3, options["parts"], 256)


@pytest.mark.parametrize("embedding", ["reduced", "full"])
def test_each_part_then_the_embedding_is_scaled_to_unit_length(embedding):
    """Oracle: the same steps, written out over the network's own pieces."""
    network = convnext_ap(
        "convnext_zepto_rms", parts=3, part_dim=16, refine=False, global_branch=True, embedding=embedding
    ).eval()
    output = network(images())
    features = network.backbone(images())
    vectors = [features[:, :, :1].mean((2, 3)), features.mean((2, 3)), features[:, :, 1:].mean((2, 3))]  # 3 of 2 rows
    vectors.append(features.mean((2, 3)))
    if embedding == "reduced":
        necks = [*network.part_necks, network.global_neck]
        vectors = [neck(vector)[0] for neck, vector in zip(necks, vectors, strict=True)]
    units = torch.cat([vector / vector.norm(dim=1, keepdim=True) for vector in vectors], dim=1)
    torch.testing.assert_close(output.embedding, units / 2, atol=1e-5, rtol=1e-5)  # four unit vectors: length 2


def test_every_parameter_learns_refinement_included():
    network = convnext_ap("convnext_zepto_rms", identities=5, parts=3, part_dim=16, global_branch=True)
    output = network(images(batch=4))
    labels = torch.arange(4)
    (sum(F.cross_entropy(each, labels) for each in output.logits) + output.embedding[:, 0].sum()).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
    assert network.refinement.classifier.weight.grad.abs().max() > 0


def test_autocast_gives_a_finite_float32_embedding():
    network = convnext_ap("convnext_zepto_rms", identities=5, parts=3, part_dim=16)
    with torch.autocast("cpu", torch.bfloat16):
        output = network(images())
    assert output.embedding.dtype == torch.float32
    assert output.embedding.isfinite().all()


def test_channels_last_gives_the_same_embedding():
    network = convnext_ap("convnext_zepto_rms", parts=3, part_dim=16).eval()
    expected = network(images()).embedding
    network = network.to(memory_format=torch.channels_last)
    actual = network(images().contiguous(memory_format=torch.channels_last)).embedding
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=1e-5)


def test_variants_share_a_checkpoint_with_and_without_attention():
    with META:
        plain, attended = (convnext_ap("convnext_atto", identities=5, attention=each) for each in (False, True))
    assert plain.state_dict().keys() == attended.state_dict().keys()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": -1}, "model.parts: got -1, expected 0 or more"),
        ({"part_dim": 0}, "model.part_dim"),
        ({"identities": -1}, "model.identities"),
        ({"parts": 1}, "model.refine: got True, expected false, as parts is 1"),
        ({"embedding": "both"}, "model.embedding: got 'both', expected reduced or full"),
        ({"attention_position": "head"}, "model.attention_position"),
        ({"last_stride": 3}, "model.last_stride: got 3, expected 1 or 2"),
        ({"instance_norm": 4}, "model.instance_norm: got 4, expected 0 to 3 stages"),
        ({"drop_path": 1.0}, "model.drop_path"),
        ({"pretrained": True, "weights": "x.safetensors"}, "model.weights: .* keep one"),
    ],
)
def test_an_impossible_value_is_named(options, message):
    with META, pytest.raises(RecipeError, match=message):
        convnext_ap("convnext_atto", **options)


def test_variants_are_the_papers_ablation():
    found = variants({"backbone": "convnext_atto", "parts": 4, "refine": True, "global_branch": True})
    assert {name: (each["attention"], each["parts"]) for name, each in found.items()} == {
        "Baseline": (False, 0),
        "A": (True, 0),
        "P": (False, 4),
        "AP": (True, 4),
    }
    assert not found["A"]["global_branch"]
    assert found["AP"]["global_branch"]


def test_variants_of_a_network_without_parts_or_convnext_blocks():
    assert variants({"parts": 0, "refine": False})["AP"]["parts"] == 6
    assert list(variants({"backbone": "resnet50"})) == ["Baseline", "P"]


def test_models_are_listed():
    assert MODELS["convnext_ap"] is convnext_ap


def test_weights_of_a_run_give_its_necks_but_never_its_classifiers(tmp_path):
    """Oracle: the tensors of the run, one by one."""
    settings = {"backbone": "test_convnext", "parts": 2, "part_dim": 16, "refine": False}
    run = convnext_ap(**settings, identities=5)
    save_model(tmp_path, run, {})
    path = tmp_path / "model.safetensors"
    begun = convnext_ap(**settings, identities=7, weights=path)
    given, taken = run.state_dict(), begun.state_dict()
    for key in taken:
        if ".classifier." not in key:
            assert torch.equal(taken[key], given[key]), key
    assert taken["part_necks.0.classifier.weight"].shape[0] == 7
    other = convnext_ap(**{**settings, "part_dim": 8}, weights=path)  # other necks begin anew, the backbone does not
    assert torch.equal(other.state_dict()["backbone.net.stem.0.weight"], given["backbone.net.stem.0.weight"])
    assert other.state_dict()["part_necks.0.reduce.weight"].shape[0] == 8
