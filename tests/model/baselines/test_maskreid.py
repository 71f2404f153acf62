"""MaskReID. Oracles: parameters by hand, the plain backbone, the masked image, its map level by level."""

import pytest
import torch

from passerby.errors import RecipeError
from passerby.losses.combine import Losses
from passerby.model.backbone import build_backbone
from passerby.model.baselines.maskreid import maskreid
from passerby.model.body_estimator import Body
from passerby.model.info import model_info
from training_checks import assert_gradient_reaches_all, assert_recipe_lowers_its_loss

RANKING = {"weight": 1.0, "margin": 0.15, "positive_weight": 2.0}


def images(batch=2):
    return torch.randn(batch, 3, 128, 64, generator=torch.Generator().manual_seed(0))


def test_parameters_are_those_of_resnet_50_a_masked_stream_three_levels_and_a_neck():
    with torch.device("meta"):
        info = model_info(maskreid(identities=751), size=(256, 128))
    assert info.parameters["backbone"] == 23_508_032
    stream = 9 * (3 * 32 + 32 * 32 + 32 * 64) + 2 * (32 + 32 + 64) + (128 * 64 + 64)
    levels = 256 * (512 + 1024 + 2048) + 3 * 2 * 256
    assert info.parameters["parts"] == stream + levels + (768 * 256 + 2 * 256)
    assert info.parameters["classifiers"] == 257 * 751
    assert info.embedding_width == 256


def test_tensors_of_the_backbone_have_the_names_of_the_plain_one():
    plain = build_backbone("test_resnet", attention=False)
    assert plain.state_dict().keys() == maskreid("test_resnet").backbone.state_dict().keys()


def test_background_does_not_reach_the_masked_stream(monkeypatch):
    """Oracle: two images that differ where the mask is 0 have one map of the masked stream."""
    network = maskreid("test_resnet").eval()
    stream = network.inserted["input"]
    parts = torch.zeros(2, 7, 32, 16)
    parts[:, 0, :, 8:], parts[:, 2, :, :8] = 1, 1  # background on the right, a person on the left
    monkeypatch.setattr(stream.body, "forward", lambda _images: Body(torch.zeros(2, 14, 32, 16), parts))
    pair = images()
    pair[1, ..., :32] = pair[0, ..., :32]
    seen = []
    stream.stream.register_forward_hook(lambda _module, _given, made: seen.append(made))
    network(pair)
    torch.testing.assert_close(seen[0][0], seen[0][1])
    pair[1, ..., :32] += 1
    network(pair)
    assert not torch.allclose(seen[1][0], seen[1][1])


@pytest.mark.parametrize("backbone", ["test_resnet", "test_convnext"])
def test_the_vector_joins_the_means_of_three_levels(backbone):
    network = maskreid(backbone).eval()
    levels = []
    for level in network.inserted["levels"]:
        level.register_forward_hook(lambda _module, _given, made: levels.append(made))
    with torch.no_grad():
        output = network(images())
    expected = torch.cat([level.mean(dim=(2, 3)) for level in levels], dim=1)
    torch.testing.assert_close(output.parts[:, 0], expected, atol=1e-5, rtol=1e-4)
    sizes = [tuple(level.shape[2:]) for level in levels]
    assert sizes == [(16, 8), (8, 4), (4, 2)]


@pytest.mark.parametrize("backbone", ["test_resnet", "test_convnext"])
def test_gradients_reach_every_parameter_and_not_the_estimator(backbone):
    network = maskreid(backbone, identities=4)
    losses = Losses(identity={"weight": 1.0, "label_smoothing": 0.0}, ranking=RANKING)
    assert_gradient_reaches_all(network, losses)
    assert not any(buffer.requires_grad for buffer in network.inserted["input"].body.buffers())


def test_the_loss_of_the_recipe_falls_on_a_fixed_batch_of_rendered_people():
    assert_recipe_lowers_its_loss("maskreid")


def test_a_backbone_without_stages_is_an_error():
    with pytest.raises(RecipeError, match="this method has modules between the stages of a ResNet or a ConvNeXt"):
        maskreid("osnet_x0_25")
