"""Comparison of a device with the CPU. Oracle: torch's CPU in place of a GPU, right or with an error put in by hand."""

from copy import deepcopy

import pytest
import torch

from conftest import SIMPLE, tiny_recipe
from passerby.data.datasets import load_data
from passerby.distributed import Process
from passerby.ranking import distance
from passerby.runs.assemble import training_state
from passerby.selftests import agreement
from passerby.selftests.agreement import compare_distances, compare_vectors

CPU = torch.device("cpu")


@pytest.fixture
def fake_cuda(monkeypatch):
    """Compute distances `on cuda` by torch on the CPU."""
    monkeypatch.setattr(distance, "_choose_device", lambda name: None if name == "cpu" else CPU)
    return torch.device("cuda")


def test_equal_distances_pass(fake_cuda):
    row = compare_distances((40, 120, 32), fake_cuda)
    assert row.status == "passed"
    assert row.values["largest_difference"] <= 1e-6
    assert row.values["equal"]


def test_wrong_distances_fail(fake_cuda, monkeypatch):
    right = distance._to_float64
    half = lambda part, device: right(part, device) if device is None else right(part, device).half().double()  # noqa: E731
    monkeypatch.setattr(distance, "_to_float64", half)
    assert compare_distances((40, 120, 32), fake_cuda).status == "failed"


def test_vectors_of_one_network_agree_and_of_another_do_not(monkeypatch):
    recipe = tiny_recipe()
    (data,) = load_data(SIMPLE)
    network, _ = training_state(recipe, 0, Process(0, 1, CPU))
    rows = compare_vectors(network.eval(), recipe, data, CPU)
    assert [(row.name, row.status) for row in rows] == [("embedding", "passed"), ("re-ranking", "passed")]
    assert rows[0].values["least_cosine"] == pytest.approx(1, abs=1e-5)

    def shaken(same):
        other = deepcopy(same)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.add_(torch.randn_like(parameter))
        return other

    monkeypatch.setattr(agreement, "deepcopy", shaken)
    assert {row.status for row in compare_vectors(network, recipe, data, CPU)} == {"failed"}
