"""`passerby train` under torchrun. Oracle: one process with the same global batch."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from conftest import SIMPLE, STAGED, TINY, tiny_recipe
from launch import launch
from passerby.runs.train import train
from passerby.training.log import read_log

SAME = (
    "model.drop_path=0",
    "optimizer.name=sgd",
    "schedule.epochs=2",
    "schedule.lr_max=1e-2",
    "loss.center.weight=0.01",
)
"""No chance inside the network; and no Adam, which divides by gradients and so blows up the rounding of small ones."""


@pytest.mark.timeout(600)
def test_two_processes_run_the_stages_of_one(tmp_path):
    """What is frozen has no gradient to share: 18 steps in three stages, losses within 1e-3 of one process's."""
    recipe = (*STAGED, "model.drop_path=0", "optimizer.name=sgd", "evaluation.calibration=null")
    one, two = tmp_path / "one", tmp_path / "two"
    train(tiny_recipe(*recipe), SIMPLE, one, device="cpu")
    settings = [word for override in (*TINY, *recipe) for word in ("--set", override)]
    words = ["--recipe", "convnext-ap", "--data", SIMPLE, "--out", two, "--device", "cpu", *settings]
    launch("-m", "passerby", "train", *words, processes=2)
    curves = [
        [record["losses"]["loss"] for record in read_log(run / "log.jsonl") if "losses" in record] for run in (one, two)
    ]
    assert len(curves[0]) == 18
    assert curves[1] == pytest.approx(curves[0], rel=1e-3)


@pytest.mark.timeout(600)
def test_two_processes_equal_one_and_only_the_first_writes(tmp_path):
    """Sums run in another order, no more: losses within 1e-3 of each other after twelve steps, weights near."""
    one, two = tmp_path / "one", tmp_path / "two"
    train(tiny_recipe(*SAME), SIMPLE, one, device="cpu")
    settings = [word for override in (*TINY, *SAME) for word in ("--set", override)]
    words = ["--recipe", "convnext-ap", "--data", SIMPLE, "--out", two, "--device", "cpu", "--json", *settings]
    printed = json.loads(launch("-m", "passerby", "train", *words, processes=2))
    assert printed["evaluations"][0]["valid_queries"] == 24

    logs = [read_log(run / "log.jsonl") for run in (one, two)]
    assert [record["step"] for record in logs[1]] == list(range(1, 13))
    for name in ("loss", "identity", "circle", "center"):
        curves = [[record["losses"][name] for record in log] for log in logs]
        assert curves[1] == pytest.approx(curves[0], rel=1e-3)
    weights = [load_file(run / "model.safetensors") for run in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    for key, value in weights[0].items():
        np.testing.assert_allclose(weights[1][key], value, rtol=1e-2, atol=1e-4, err_msg=key)
