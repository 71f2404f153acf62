"""`passerby ablate`. Oracle: what a user should read, the exit code, and parseable JSON."""

import json

import pytest

from conftest import SIMPLE, TINY
from passerby.errors import TrainingError

pytestmark = pytest.mark.usefixtures("without_pictures")

QUICK = (*TINY, "schedule.epochs=1", "schedule.warmup_epochs=0", "evaluation.calibration=null")
SETTINGS = [word for override in QUICK for word in ("--set", override)]


def words(out, axes, *more):
    start = ["ablate", "--recipe", "convnext-ap", "--data", SIMPLE, "--axes", axes, "--out", out, "--device", "cpu"]
    return [*start, *SETTINGS, *more]


def test_a_dry_run_lists_the_trainings_and_leaves_nothing(passerby, tmp_path):
    said = passerby(*words(tmp_path / "out", "attention,embedding", "--dry-run"))
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].startswith("[1/6] Baseline, embedding reduced and Baseline, embedding full, synth")
    assert lines[0].endswith("seed 0: new")
    assert lines[-1] == "6 of 6 trainings to do"
    assert list(tmp_path.iterdir()) == []
    found = json.loads(passerby(*words(tmp_path / "out", "attention", "--dry-run", "--json", "--seeds", 1)).out)
    assert [each["cells"] for each in found] == [["Baseline"], ["A"]]


def test_tables_are_printed_and_a_failure_is_in_the_exit_code(passerby, tmp_path, monkeypatch):
    out = tmp_path / "out"
    said = passerby(*words(out, "attention=on", "--seeds", 1))
    assert said.code == 0, said.err
    assert "## Table 2: attention (A)" in said.out
    assert f"tables: {out}/tables.md" in said.out
    assert "[1/1] A, synth" in said.err

    def fail(*_args, **_settings):
        raise TrainingError("the disk is full")

    monkeypatch.setattr("passerby.experiments.ablate.train", fail)
    said = passerby(*words(out, "attention=on", "--seeds", 2, "--json"))
    assert said.code == 1
    assert list(json.loads(said.out)["failed"].values()) == ["the disk is full"]
    assert "1 failed: A, synth" in said.err
    assert said.err.endswith("The same command tries them again\n")


def test_an_unknown_axis_lists_the_known_ones(passerby, tmp_path):
    assert passerby(*words(tmp_path, "color")).complaint.startswith(
        "axis 'color': not known; expected some of attention, position, parts, stripes, refine, loss, erasing, warmup,"
    )
