"""Whitening of the reductions. Oracles: the definition, applied to the vectors before whitening; a case by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from passerby import convnext_ap
from passerby.errors import TrainingError
from tools.default_model.whitening import whiten_reductions, whitening_matrix

PERSON_IDS = np.repeat(np.arange(1, 9), 3)


def network(**settings):
    torch.manual_seed(0)
    model = convnext_ap("convnext_atto", parts=2, part_dim=6, refine=False, attention=False, **settings)
    for neck in model.part_necks:  # statistics of a trained network
        for values in (neck.norm.weight, neck.norm.bias, neck.norm.running_mean):
            torch.nn.init.normal_(values, 0.5, 0.3)
        torch.nn.init.uniform_(neck.norm.running_var, 0.5, 2)
    return model.eval()


def reduced(net, images):
    with torch.no_grad():
        parts = net(images).parts
        return [neck(parts[:, part])[0].numpy() for part, neck in enumerate(net.part_necks)]


def within_class_covariance(vectors, person_ids):
    """The covariance within identities, by a loop."""
    groups = [vectors[person_ids == identity] for identity in np.unique(person_ids)]
    residuals = np.concatenate([group - group.mean(axis=0) for group in groups])
    return residuals.T @ residuals / len(residuals)


def test_the_network_returns_whitened_vectors():
    net, images = network(), torch.randn(len(PERSON_IDS), 3, 64, 32)
    before = reduced(net, images)
    whiten_reductions(net, images.split(5), PERSON_IDS, ridge=0.2)
    for plain, whitened in zip(before, reduced(net, images), strict=True):
        matrix = whitening_matrix(plain.astype(np.float64), PERSON_IDS, ridge=0.2)
        np.testing.assert_allclose(whitened, plain @ matrix.T, rtol=1e-3, atol=1e-4)


def test_without_a_ridge_the_variance_within_identities_is_equal_in_every_direction():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(len(PERSON_IDS), 5)) @ rng.normal(size=(5, 5)) + 3 * rng.normal(size=(9, 5))[PERSON_IDS]
    matrix = whitening_matrix(vectors, PERSON_IDS, ridge=1e-9)
    spread = within_class_covariance(vectors @ matrix.T, PERSON_IDS)
    np.testing.assert_allclose(spread, np.eye(5) * spread[0, 0], atol=1e-6 * spread[0, 0])
    np.testing.assert_allclose(matrix, matrix.T)


def test_a_direction_of_variance_within_an_identity_shrinks():
    """Worked by hand: W = diag(2, 0), mean variance 1, so 1 / sqrt(2 + 0.25) and 1 / sqrt(0.25)."""
    vectors = np.array([[2.0, 1], [2 + 2 * 2**0.5, 1], [-5, 4], [-5 + 2 * 2**0.5, 4]])
    matrix = whitening_matrix(vectors, np.array([1, 1, 2, 2]), ridge=0.25)
    np.testing.assert_allclose(matrix, np.diag([1 / 1.5, 2]), atol=1e-12)


@pytest.mark.parametrize("settings", [{"parts": 0}, {"embedding": "full"}])
def test_a_network_without_reduced_parts_is_refused(settings):
    net = convnext_ap("convnext_atto", **{"parts": 2, "refine": False, "attention": False, **settings})
    with pytest.raises(TrainingError, match="whitening: expected reduced parts without ReLU"):
        whiten_reductions(net, [torch.randn(2, 3, 64, 32)], [1, 1])


def test_one_image_of_each_identity_is_refused():
    net, images = network(), torch.randn(3, 3, 64, 32)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(TrainingError, match=r"got 3 identities in 3 images, expected two images of some"):
        whiten_reductions(net, [images], [1, 2, 3])
    torch.testing.assert_close(dict(net.state_dict()), before)
