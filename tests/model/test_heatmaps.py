"""Oracles: gradient times map by hand, the mean square of the map, sums that are known."""

import copy

import numpy as np
import pytest
import torch

import passerby
from passerby.model.heatmaps import activation_maps, part_assignments, part_similarities, similarity_maps


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = passerby.convnext_ap("test_convnext", parts=3, part_dim=8, refine=True, global_branch=True, last_stride=1)
    return network.eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 64, 32, generator=torch.Generator().manual_seed(1))


def unit(rows, width, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_similarity_maps_are_gradient_times_map(network, images):
    others = unit(2, network.embedding_width)
    maps = similarity_maps(network, images, others)
    features = network.backbone(images).detach().requires_grad_()
    parts, _ = network._pool(features, network.refinement(features), images)
    pooled = [*parts.unbind(dim=1), features.mean(dim=(2, 3))]
    vectors = [neck(each)[0] for neck, each in zip([*network.part_necks, network.global_neck], pooled, strict=True)]
    joined = torch.cat([torch.nn.functional.normalize(each) for each in vectors], dim=1)
    similarity = (torch.nn.functional.normalize(joined) * torch.from_numpy(others)).sum()
    (gradient,) = torch.autograd.grad(similarity, features)
    expected = (gradient * features).sum(dim=1).relu().detach().numpy()
    assert maps.shape == expected.shape == (2, 4, 2)
    assert expected.max() > 0
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_similarity_maps_do_not_need_trainable_weights(network, images):
    """Oracle: the same network with weights that require a gradient."""
    others = unit(2, network.embedding_width)
    expected = similarity_maps(network, images, others)
    frozen = copy.deepcopy(network).requires_grad_(False)
    with torch.no_grad():
        np.testing.assert_array_equal(similarity_maps(frozen, images, others), expected)


def test_maps_leave_the_network_as_it_was(network, images):
    before = {key: value.clone() for key, value in network.state_dict().items()}
    similarity_maps(network, images, unit(2, network.embedding_width))
    activation_maps(network, images)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks or module._backward_hooks for module in network.modules())


def test_activation_is_the_mean_square_before_the_norm(network, images):
    expected = network.backbone.net.forward_features(images).detach().pow(2).mean(dim=1).numpy()
    np.testing.assert_allclose(activation_maps(network, images), expected, rtol=1e-5)
    assert expected.std() > 0


def test_assignments_add_up_and_stripes_have_none(network, images):
    maps = part_assignments(network, images)
    assert maps.shape == (2, 3, 4, 2)
    np.testing.assert_allclose(maps.sum(axis=1), 1, atol=1e-6)
    plain = passerby.convnext_ap("test_convnext", parts=2, part_dim=8, refine=False).eval()
    assert part_assignments(plain, images) is None


def test_similarities_of_parts_add_up_to_the_similarity(network, images):
    first, second = network(images).embedding.detach().numpy()
    contributions = part_similarities(first, second, widths=network.embedding_parts)
    assert len(contributions) == 4
    assert contributions.sum() == pytest.approx(float(first @ second), abs=1e-6)
    begin = network.embedding_parts[0]
    np.testing.assert_allclose(contributions[1], first[begin : 2 * begin] @ second[begin : 2 * begin], atol=1e-6)
    np.testing.assert_allclose(part_similarities(first, first, widths=network.embedding_parts), 0.25, atol=1e-5)
