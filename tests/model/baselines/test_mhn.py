"""MHN. Oracles: its polynomial and its loss in loops, parameters counted by hand, small steps, a loss that falls."""

import numpy as np
import pytest
import torch

from passerby.errors import RecipeError
from passerby.losses.combine import Losses
from passerby.model.baselines.mhn import HighOrderAttention, JoinStreams, MixedAttention, StreamStripes, mhn
from passerby.model.info import model_info
from training_checks import assert_gradient_reaches_all, assert_recipe_lowers_its_loss

META = torch.device("meta")
TINY = {"backbone": "test_resnet", "orders": 3, "parts": 2, "part_dim": 8}


def draw(shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_parameters_are_those_of_resnet_50_six_attentions_and_shared_reductions():
    """Order r has r (r + 1) / 2 factors and r expansions: 56 + 21 convolutions between 512 and 128 channels."""
    with META:
        info = model_info(mhn(identities=751, parts=3), size=(336, 168))
    assert info.map == (6 * 2048, 21, 11)
    assert info.parameters["backbone"] == 23_508_032
    attentions = (56 + 21) * 512 * 128
    reductions = 3 * ((2048 + 1) * 256 + 2 * 256)
    adversary = 256 * 128 + 2 * 128 + (128 + 1) * 128 + 2 * 128
    assert info.parameters["parts"] == attentions + reductions + adversary
    assert info.parameters["classifiers"] == 3 * 6 * (256 + 1) * 751
    assert info.embedding_width == 3 * 6 * 256


@pytest.mark.parametrize("order", [1, 2, 3])
def test_attention_is_the_polynomial_written_out(order):
    x = draw((2, 8, 2, 2))
    module = HighOrderAttention(8, order)
    factors = [block.numpy() for block in module.factors.weight.detach()[:, :, 0, 0].chunk(order * (order + 1) // 2)]
    expand = [conv.weight.detach()[:, :, 0, 0].numpy() for conv in module.expand]
    expected = np.empty(x.shape)
    for image, row, column in np.ndindex(2, 2, 2):
        column_vector, used, attention = x[image, :, row, column].numpy(), 0, np.zeros(8)
        for degree in range(1, order + 1):
            product = np.ones(2)
            for factor in factors[used : used + degree]:
                product *= factor @ column_vector
            used += degree
            attention += 1 / (1 + np.exp(-expand[degree - 1] @ np.maximum(product, 0)))
        expected[image, :, row, column] = column_vector * attention / order
    np.testing.assert_allclose(module(x).detach().numpy(), expected, atol=1e-5)


def test_streams_stay_with_their_images():
    """Oracle: image b, order r is in channels r C to (r + 1) C of row b."""
    x = draw((2, 8, 2, 2))
    mixed = MixedAttention(8, 3)
    joined = JoinStreams(3)(mixed(x))
    for order, attention in enumerate(mixed.attentions):
        torch.testing.assert_close(joined[:, 8 * order : 8 * (order + 1)], attention(x))


def test_vectors_of_a_stripe_share_a_reduction_over_all_streams_and_have_length_20():
    pooling = StreamStripes(5, orders=2, stripes=3, width=4, diversity_weight=1.0).train()
    features = draw((6, 2 * 5, 3, 2))  # a row for each stripe
    vectors = pooling(features)
    assert vectors.shape == (6, 3 * 2, 4)
    linear = pooling.reduce[1][0]
    rows = torch.cat([linear(features[:, :5, 1].mean(dim=2)), linear(features[:, 5:, 1].mean(dim=2))])
    rows = (rows - rows.mean(0)) / (rows.var(0, unbiased=False) + 1e-5).sqrt()
    rows = 20 * rows / rows.norm(dim=1, keepdim=True)
    torch.testing.assert_close(vectors[:, 2], rows[:6], atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(vectors[:, 3], rows[6:], atol=1e-3, rtol=1e-4)


def test_adversarial_loss_is_the_mean_distance_between_streams():
    pooling = StreamStripes(5, orders=3, stripes=2, width=4, diversity_weight=2.5).eval()
    parts = draw((4, 2 * 3, 4))
    values = []
    for stripe in range(2):
        for image in range(4):
            rows = torch.nn.functional.normalize(parts[image, 3 * stripe : 3 * stripe + 3])
            unit = torch.nn.functional.normalize(pooling.adversary(rows))
            values += [(unit[0] - unit[1]).norm(), (unit[0] - unit[2]).norm(), (unit[1] - unit[2]).norm()]
    torch.testing.assert_close(pooling.own_loss(None, parts), 2.5 * torch.stack(values).mean())


def test_the_adversary_descends_and_the_streams_ascend():
    """Oracle: small steps along the negative gradients change the distance down for one and up for the other."""
    torch.manual_seed(0)
    pooling = StreamStripes(5, orders=2, stripes=1, width=4, diversity_weight=1.0).eval()
    parts = draw((4, 2, 4)).requires_grad_()
    before = pooling.own_loss(None, parts)
    before.backward()
    with torch.no_grad():
        assert pooling.own_loss(None, parts - 0.01 * parts.grad) > before
        pooling.adversary[0].weight -= 0.01 * pooling.adversary[0].weight.grad
        assert pooling.own_loss(None, parts) < before


@pytest.mark.parametrize("backbone", ["test_resnet", "test_convnext"])
def test_gradient_reaches_every_parameter(backbone):
    losses = Losses(identity={"weight": 1.0, "label_smoothing": 0.0})
    network = mhn(**{**TINY, "backbone": backbone}, identities=4)
    assert_gradient_reaches_all(network, losses)
    output = network(draw((4, 3, 64, 32)))
    assert output.map.shape[:2] == (4, network.backbone.channels)
    assert [logits.shape for logits in output.logits] == [(4, 4)] * 6
    assert network.eval()(draw((4, 3, 64, 32))).own_loss is None


def test_the_recipe_lowers_its_loss_on_a_fixed_batch_of_rendered_people_while_the_streams_part():
    values = assert_recipe_lowers_its_loss("mhn", "model.orders=2", "model.part_dim=16", rate=3e-3)
    assert values[0].keys() == {"identity", "own", "loss"}
    assert values[-1]["identity"] < 0.5 * values[0]["identity"]
    assert values[-1]["own"] > 2 * values[0]["own"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"orders": 1}, "model.orders: got 1, expected 2 to 8"),
        ({"parts": 0}, "model.parts: got 0, expected 1 to 16"),
        ({"diversity_weight": -1.0}, "model.diversity_weight: got -1.0, expected 0 or more"),
    ],
)
def test_an_impossible_value_is_named(options, message):
    with META, pytest.raises(RecipeError, match=message):
        mhn(**{**TINY, **options})
