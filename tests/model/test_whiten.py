"""Oracle: the definition, computed from what the network put out before; the algebra of a two-dimensional case."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from passerby import convnext_ap
from passerby.errors import TrainingError
from passerby.model.whiten import whiten, whitening

PEOPLE = np.repeat(np.arange(1, 9), 3)


def network(**settings):
    torch.manual_seed(0)
    made = convnext_ap("convnext_atto", parts=2, part_dim=6, refine=False, attention=False, **settings)
    for neck in made.part_necks:  # as if it had learned something
        for values in (neck.norm.weight, neck.norm.bias, neck.norm.running_mean):
            torch.nn.init.normal_(values, 0.5, 0.3)
        torch.nn.init.uniform_(neck.norm.running_var, 0.5, 2)
    return made.eval()


def reduced(net, images):
    with torch.no_grad():
        parts = net(images).parts
        return [neck(parts[:, place])[0].numpy() for place, neck in enumerate(net.part_necks)]


def within(vectors, people):
    """The covariance within people, by a loop."""
    rest = np.concatenate([vectors[people == who] - vectors[people == who].mean(axis=0) for who in np.unique(people)])
    return rest.T @ rest / len(rest)


def test_the_network_puts_out_the_whitened_vectors():
    net, images = network(), torch.randn(len(PEOPLE), 3, 64, 32)
    before = reduced(net, images)
    whiten(net, images.split(5), PEOPLE, ridge=0.2)
    for plain, found in zip(before, reduced(net, images), strict=True):
        matrix = whitening(plain.astype(np.float64), PEOPLE, ridge=0.2)
        np.testing.assert_allclose(found, plain @ matrix.T, rtol=1e-3, atol=1e-4)


def test_without_a_ridge_people_vary_alike_in_every_direction():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(PEOPLE), 5)) @ rng.normal(size=(5, 5)) + 3 * rng.normal(size=(9, 5))[PEOPLE]
    matrix = whitening(vectors, PEOPLE, ridge=1e-9)
    spread = within(vectors @ matrix.T, PEOPLE)
    np.testing.assert_allclose(spread, np.eye(5) * spread[0, 0], atol=1e-6 * spread[0, 0])
    np.testing.assert_allclose(matrix, matrix.T)


def test_the_direction_that_one_person_varies_in_shrinks():
    """Worked by hand: W = diag(2, 0), mean variance 1, so 1 / sqrt(2 + 0.25) and 1 / sqrt(0.25)."""
    vectors = np.array([[2.0, 1], [2 + 2 * 2**0.5, 1], [-5, 4], [-5 + 2 * 2**0.5, 4]])
    found = whitening(vectors, np.array([1, 1, 2, 2]), ridge=0.25)
    np.testing.assert_allclose(found, np.diag([1 / 1.5, 2]), atol=1e-12)


@pytest.mark.parametrize("settings", [{"parts": 0}, {"embedding": "full"}])
def test_a_network_without_reduced_parts_is_refused(settings):
    net = convnext_ap("convnext_atto", **{"parts": 2, "refine": False, "attention": False, **settings})
    with pytest.raises(TrainingError, match="whitening: needs reduced parts without a ReLU"):
        whiten(net, [torch.randn(2, 3, 64, 32)], [1, 1])


def test_one_image_of_each_says_nothing():
    net, images = network(), torch.randn(3, 3, 64, 32)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(TrainingError, match=r"got 3 people in 3 images, expected two images of some"):
        whiten(net, [images], [1, 2, 3])
    torch.testing.assert_close(dict(net.state_dict()), before)
