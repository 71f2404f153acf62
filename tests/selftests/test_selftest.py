"""The self-test on the CPU. Oracles: a failing check put in by hand, and what a CPU cannot do."""

import json
import warnings

import pytest
import torch

import passerby
from passerby.errors import PasserbyError
from passerby.selftests.check_table import CheckRow
from passerby.selftests.selftest import selftest
from passerby.selftests.setup import find_reason
from passerby.selftests.step_speed import _count_waits


@pytest.fixture(scope="module")
def result():
    return selftest(device="cpu", size="quick")


def test_every_check_is_one_row_with_a_reason_where_it_does_not_apply(result):
    status = {row.name: row.status for row in result.rows}
    assert list(status) == [
        "rates of the device",
        "training step, fp32",
        "training step, bf16",
        "training step, fp16",
        "training step, fp32, compiled",
        "training step, bf16, compiled",
        "input pipeline",
        "ranking",
        "embedding",
        "re-ranking",
        "DDP, one process",
        "resume",
        "whole run",
        "export",
    ]
    absent = {name for name, value in status.items() if value == "not applicable"}
    assert absent == {
        "training step, fp16",
        "training step, fp32, compiled",
        "training step, bf16, compiled",
        "ranking",
        "embedding",
        "re-ranking",
    }
    assert result.passed
    assert all(row.result for row in result.rows)


def test_the_result_is_a_table_and_json(result):
    lines = result.to_markdown().splitlines()
    assert len([line for line in lines if line.startswith("|")]) == 2 + len(result.rows)
    tree = json.loads(json.dumps(result.to_dict()))
    step = next(row for row in tree["rows"] if row["name"] == "training step, fp32")
    assert step["values"]["images_per_second"] > 0
    assert step["values"]["waits"] is None  # a CPU has no queue to wait for


def test_a_check_that_ends_in_an_error_is_a_failed_row_and_the_others_go_on(monkeypatch):
    def fail(*_args, **_options):
        raise RuntimeError("out of memory")

    monkeypatch.setattr("passerby.selftests.step_speed.start_steps", fail)
    monkeypatch.setattr(
        "passerby.selftests.continuity.train_and_export", lambda *_: CheckRow("whole run", "passed", "")
    )
    result = selftest(device="cpu", size="quick")
    failed = {row.name: row.result for row in result.rows if row.status == "failed"}
    assert failed["training step, fp32"] == "RuntimeError: out of memory"
    assert not result.passed
    assert result.rows[-1].status == "passed"


@pytest.mark.parametrize(
    ("size", "precision", "compiled", "device", "applies"),
    [
        ("full", "fp16", False, "cuda", True),
        ("full", "bf16", True, "cuda", True),
        ("small", "fp16", False, "cpu", False),
        ("small", "fp32", True, "cpu", True),
        ("quick", "fp32", True, "cpu", False),
    ],
)
def test_a_gpu_takes_every_precision(size, precision, compiled, device, applies):
    assert (find_reason(size, precision, compiled=compiled, device=device) is None) == applies


def test_an_unknown_size_or_device_is_refused():
    with pytest.raises(PasserbyError, match="size: got 'huge', expected one of full, small, quick"):
        passerby.selftest(device="cpu", size="huge")
    with pytest.raises(PasserbyError, match="device: got 'gpu', expected auto, cpu, cuda, cuda:0 or mps"):
        passerby.selftest(device="gpu")


def test_places_that_wait_for_a_gpu_are_counted_once_each(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    with _count_waits(torch.device("cuda")) as waits:
        for _ in range(3):
            warnings.warn("called a synchronizing CUDA operation", UserWarning, stacklevel=1)
        warnings.warn("called a synchronizing CUDA operation", UserWarning, stacklevel=1)
    assert waits() == 2
    assert modes == ["warn", "default"]
