"""SPReID. Oracles: its vector written out pixel by pixel, parameters counted by hand, a loss that falls."""

import torch

from passerby.losses.combine import Losses
from passerby.model.baselines.spreid import REGIONS, pool_regions, region_weights, spreid
from passerby.model.body_estimator import BODY_PARTS, Body
from passerby.model.info import model_info
from training_checks import assert_gradient_reaches_all, assert_recipe_lowers_its_loss


def bodies(batch, size, seed=1):
    generator = torch.Generator().manual_seed(seed)
    parts = torch.randn(batch, len(BODY_PARTS), *size, generator=generator).softmax(dim=1)
    return Body(torch.rand(batch, 14, *size, generator=generator), parts)


def test_parameters_are_those_of_resnet_50_and_one_classifier_of_three_vectors():
    with torch.device("meta"):
        info = model_info(spreid(identities=751), size=(256, 128))
    assert info.parameters["backbone"] == 23_508_032
    assert (info.parameters["parts"], info.parameters["classifiers"]) == (0, (3 * 2048 + 1) * 751)
    assert info.embedding_width == 3 * 2048


def test_regions_are_the_papers():
    body = bodies(2, (4, 2))
    weights = region_weights(body)
    at = {name: body.parts[:, index] for index, name in enumerate(BODY_PARTS)}
    assert list(REGIONS) == ["head", "upper", "lower", "shoes"]
    torch.testing.assert_close(weights[:, 0], 1 - at["background"])
    torch.testing.assert_close(weights[:, 2], at["upper"] + at["arms"])
    torch.testing.assert_close(weights[:, 4], at["feet"])


def test_a_region_is_the_mean_of_the_columns_weighted_by_its_probability():
    features, weights = torch.randn(2, 5, 4, 3), torch.rand(2, 4, 4, 3)
    pooled = pool_regions(features, weights)
    for image in range(2):
        for region in range(4):
            total, mass = torch.zeros(5), 0.0
            for y in range(4):
                for x in range(3):
                    total += weights[image, region, y, x] * features[image, :, y, x]
                    mass += weights[image, region, y, x]
            torch.testing.assert_close(pooled[image, region], total / mass, atol=1e-4, rtol=1e-4)


def test_the_vector_joins_person_strongest_part_and_image(monkeypatch):
    network = spreid("test_resnet", identities=3).eval()
    body = bodies(2, (32, 16))
    monkeypatch.setattr(network.pooling.body, "forward", lambda _images: body)
    features = torch.randn(2, 96, 4, 2)
    vector = network.pooling(features, torch.zeros(2, 3, 128, 64))[:, 0]
    regions = pool_regions(features, region_weights(body.resize((4, 2))))
    torch.testing.assert_close(vector[:, :96], regions[:, 0])
    torch.testing.assert_close(vector[:, 96:192], regions[:, 1:].amax(dim=1))
    torch.testing.assert_close(vector[:, 192:], features.mean(dim=(2, 3)))


def test_gradients_reach_every_parameter_and_not_the_estimator():
    network = spreid("test_resnet", identities=4)
    assert_gradient_reaches_all(network, Losses(identity={"weight": 1.0, "label_smoothing": 0.0}))
    assert not any(buffer.requires_grad for buffer in network.pooling.body.buffers())


def test_the_loss_of_the_recipe_falls_on_a_fixed_batch_of_rendered_people():
    assert_recipe_lowers_its_loss("spreid")
