"""Proxies of tracks. Oracles: a loop over images and tracks, and cases by hand."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from passerby.losses.camera_proxy import camera_proxy_loss, update_proxies


def test_loss_agrees_with_a_loop():
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(4, 6, generator=generator)
    proxies = F.normalize(torch.randn(5, 6, generator=generator))
    cameras, targets = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([1, 3, 4, 0])
    expected = []
    for vector, target in zip(embedding, targets.tolist(), strict=True):
        unit = vector / vector.norm()
        values = {
            track: np.exp(float(unit @ proxies[track]) / 0.5) for track in range(5) if cameras[track] == cameras[target]
        }
        expected.append(-np.log(values[target] / sum(values.values())))
    loss = camera_proxy_loss(embedding, targets, proxies, cameras, temperature=0.5)
    assert float(loss) == pytest.approx(np.mean(expected), rel=1e-5)


def test_tracks_that_may_show_one_person_are_no_negatives():
    """By hand: without the second track, the third one is the only negative of the first."""
    proxies = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 0.2], [0.0, 1.0]]))
    unsure = torch.tensor([[False, True, False], [True, False, False], [False, False, False]])
    targets, cameras = torch.tensor([0]), torch.zeros(3, dtype=torch.long)
    loss = camera_proxy_loss(proxies[:1], targets, proxies, cameras, temperature=1.0, unsure=unsure)
    assert float(loss) == pytest.approx(np.log(1 + np.exp(-1)), rel=1e-5)


def test_no_image_has_no_loss_and_a_gradient_of_zero():
    embedding = torch.zeros(0, 2, requires_grad=True)
    loss = camera_proxy_loss(
        embedding, torch.zeros(0, dtype=torch.long), torch.eye(2), torch.zeros(2, dtype=torch.long), temperature=0.1
    )
    loss.backward()
    assert float(loss.detach()) == 0
    assert embedding.grad.shape == (0, 2)


def test_proxies_move_to_the_mean_of_their_images():
    """By hand: the mean of both images is along the diagonal; a track without images stays."""
    proxies = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    update_proxies(proxies, torch.eye(2), torch.tensor([0, 0]), momentum=0.0)
    assert proxies[0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5])
    assert proxies[1].tolist() == [0.0, 1.0]
    update_proxies(proxies, torch.eye(2), torch.tensor([0, 0]), momentum=1.0)
    assert proxies[0].tolist() == pytest.approx([0.5**0.5, 0.5**0.5])
