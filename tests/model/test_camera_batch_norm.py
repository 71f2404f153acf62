"""Camera-based batch norm. Oracle: torch's batch norm of the images of each camera alone, as in the authors' code."""

from copy import deepcopy

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import nn

from passerby.errors import RecipeError
from passerby.model.camera_batch_norm import CameraBatchNorm, CameraIds, camera_statistics, normalize_by_camera

DOUBLE = torch.float64


def draw_norm(dimensions, channels, **options):
    kind = nn.BatchNorm2d if dimensions == 2 else nn.BatchNorm1d
    norm = kind(channels, dtype=DOUBLE, **options)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    return norm


def by_camera(norm, values, cameras):
    """Each camera's images through a copy of the norm, those that are alone through one that has seen all images.

    Returns the output and the mean of the copies' running statistics.
    """
    output, means, variances = torch.empty_like(values), [], []
    counts = torch.bincount(cameras)
    whole = None
    for camera in cameras.unique():
        rows = cameras == camera
        copy = deepcopy(norm).train()
        if counts[camera] == 1:
            whole = copy(values) if whole is None else whole
            output[rows] = whole[rows]
        else:
            output[rows] = copy(values[rows])
        means.append(copy.running_mean)
        variances.append(copy.running_var)
    return output, torch.stack(means), torch.stack(variances)


@settings(max_examples=30)
@given(
    cameras=st.lists(st.integers(0, 3), min_size=2, max_size=8),
    dimensions=st.sampled_from([0, 2]),
    seed=st.integers(0, 10**6),
)
def test_each_camera_has_its_own_statistics(cameras, dimensions, seed):
    torch.manual_seed(seed)
    values = 5 + 2 * torch.randn(len(cameras), 3, *(4, 3)[:dimensions], dtype=DOUBLE)
    norm, ids = draw_norm(dimensions, 3), torch.tensor(cameras)
    expected_input, found_input = values.clone().requires_grad_(), values.clone().requires_grad_()
    expected, _, _ = by_camera(norm, expected_input, ids)
    shared = CameraIds()
    shared.ids = ids
    found = CameraBatchNorm(deepcopy(norm), shared).train()(found_input)
    torch.testing.assert_close(found, expected)
    upper = torch.randn(values.shape, dtype=DOUBLE)
    (expected * upper).sum().backward()
    (found * upper).sum().backward()
    torch.testing.assert_close(found_input.grad, expected_input.grad, atol=1e-8, rtol=1e-6)


def test_running_statistics_are_averages_over_cameras():
    values, ids = torch.randn(7, 3, 4, 2, dtype=DOUBLE), torch.tensor([0, 0, 0, 1, 1, 2, 2])
    norm = draw_norm(2, 3, momentum=0.3)
    _, means, variances = by_camera(norm, values, ids)
    shared = CameraIds()
    shared.ids = ids
    module = CameraBatchNorm(norm, shared).train()
    module(values)
    torch.testing.assert_close(module.running_mean, means.mean(0))
    torch.testing.assert_close(module.running_var, variances.mean(0))
    assert module.num_batches_tracked == 1


def test_one_camera_is_a_batch_norm():
    values = torch.randn(6, 3, dtype=DOUBLE)
    norm = draw_norm(0, 3)
    plain = deepcopy(norm).train()
    shared = CameraIds()
    shared.ids = torch.full((6,), 9)
    module = CameraBatchNorm(norm, shared).train()
    torch.testing.assert_close(module(values), plain(values))
    torch.testing.assert_close(module.running_var, plain.running_var)
    torch.testing.assert_close(module.eval()(values), plain.eval()(values))


def test_large_means_keep_their_variance():
    """A mean of 1000 in float32: the square of the mean would drown a variance of 1."""
    values = 1000 + torch.randn(16, 2, generator=torch.Generator().manual_seed(0))
    shared = CameraIds()
    shared.ids = torch.tensor([0, 1] * 8)
    found = CameraBatchNorm(nn.BatchNorm1d(2), shared).train()(values)
    expected, _, _ = by_camera(nn.BatchNorm1d(2), values, shared.ids)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_training_without_cameras_is_an_error():
    network = nn.Sequential(nn.BatchNorm1d(2))
    normalize_by_camera(network)
    with pytest.raises(RecipeError, match=r"model\.method: cbn was given images without their cameras"):
        network.train()(torch.randn(4, 2))


class Net(nn.Module):
    """Two batch norms, so that the statistics of the second depend on the first."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)
        )
        self.cameras = None

    def forward(self, images, cameras=None):
        if self.cameras is not None:
            self.cameras.ids = cameras
        return self.layers(images).mean(dim=(2, 3))


def test_statistics_of_a_camera_are_those_of_a_pass_in_training_mode():
    """Oracle: torch's cumulative average (momentum None) over the same batches; a second use gives the same."""
    torch.manual_seed(0)
    network = Net().eval()
    nn.init.normal_(network.layers[1].running_mean)
    plain = deepcopy(network)
    network.cameras = normalize_by_camera(network)
    batches = [3 + torch.randn(4, 3, 8, 6), torch.randn(2, 3, 8, 6)]
    images = torch.randn(3, 3, 8, 6)
    before = network(images)
    for norm in (plain.layers[1], plain.layers[4]):
        norm.momentum = None
        norm.reset_running_stats()
    plain.train()
    for batch in batches:
        plain(batch)
    for _ in range(2):
        with camera_statistics(network, batches):
            torch.testing.assert_close(network(images), plain.eval()(images), atol=1e-5, rtol=1e-4)
    assert torch.equal(network(images), before)
    assert not any(module.training for module in network.modules())


def test_a_failure_while_statistics_are_computed_restores_the_network():
    network = Net().eval()
    network.cameras = normalize_by_camera(network)
    state = {key: value.clone() for key, value in network.state_dict().items()}

    def batches():
        yield torch.randn(2, 3, 8, 6)
        raise RuntimeError("unreadable")

    with pytest.raises(RuntimeError, match="unreadable"), camera_statistics(network, batches()):
        pass
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
    assert not any(module.training for module in network.modules())
