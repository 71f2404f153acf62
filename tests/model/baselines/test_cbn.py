"""CBN. Oracles: the plain network, one network for each camera, parameters counted by hand, a loss that falls."""

import pytest
import torch

from passerby.losses.combine import Losses
from passerby.model.baselines.cbn import cbn
from passerby.model.camera_batch_norm import CameraBatchNorm
from passerby.model.convnext_ap import convnext_ap
from passerby.model.info import model_info
from training_checks import assert_gradient_reaches_all, assert_recipe_lowers_its_loss

PLAIN = {"attention": False, "parts": 0, "refine": False}


def draw(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def count_norms(network):
    return sum(isinstance(module, CameraBatchNorm) for module in network.modules())


def test_parameters_are_those_of_resnet_50_and_its_neck():
    with torch.device("meta"):
        network = cbn(identities=751)
        info = model_info(network, size=(256, 128))
    assert info.map == (2048, 16, 8)
    assert info.parameters["backbone"] == 23_508_032
    assert info.parameters["parts"] == 2 * 2048
    assert info.parameters["classifiers"] == (2048 + 1) * 751
    assert count_norms(network) == 53 + 1  # a ResNet-50 has 53 batch norms


@pytest.mark.parametrize(
    ("backbone", "norms"),
    [("test_resnet", None), ("test_efficientnet", None), ("osnet_x0_25", None), ("test_convnext", 1)],
)
def test_any_backbone_computes_in_evaluation_what_the_plain_network_computes(backbone, norms):
    """Batch norms with an activation inside (EfficientNet) are replaced, too; a ConvNeXt has that of the neck only."""
    network, plain = cbn(backbone, last_stride=2).eval(), convnext_ap(backbone, **PLAIN).eval()
    plain.load_state_dict(network.state_dict())
    images = draw(2, 3, 64, 32)
    torch.testing.assert_close(network(images).embedding, plain(images).embedding)
    assert count_norms(network) == norms or (norms is None and count_norms(network) > 1)


def test_in_training_each_camera_is_a_batch_of_its_own():
    """Oracle: the plain network in training mode on the images of one camera after the other."""
    network, plain = cbn("test_resnet", identities=3), convnext_ap("test_resnet", identities=3, last_stride=1, **PLAIN)
    plain.load_state_dict(network.state_dict())
    images, cameras = draw(6, 3, 64, 32), torch.tensor([4, 0, 4, 0, 0, 4])
    found = network.train()(images, cameras=cameras)
    for camera in (0, 4):
        rows = cameras == camera
        expected = plain.train()(images[rows])
        torch.testing.assert_close(found.embedding[rows], expected.embedding, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(found.logits[0][rows], expected.logits[0], atol=1e-4, rtol=1e-3)


def test_gradient_reaches_every_parameter():
    losses = Losses(identity={"weight": 1.0, "label_smoothing": 0.0})
    assert_gradient_reaches_all(cbn("test_resnet", identities=4), losses)


def test_the_losses_of_the_recipe_fall_on_a_fixed_batch_of_rendered_people():
    assert_recipe_lowers_its_loss("cbn")
