"""`passerby ablate`. Oracle: the documented output, the exit code, and parseable JSON."""

import json

from conftest import SIMPLE, TINY
from passerby.errors import TrainingError

QUICK = (*TINY, "schedule.epochs=1", "schedule.warmup_epochs=0", "evaluation.calibration=null")
SETTINGS = [word for override in QUICK for word in ("--set", override)]


def words(out, axes, *more):
    start = ["ablate", "--recipe", "convnext-ap", "--data", SIMPLE, "--axes", axes, "--out", out, "--device", "cpu"]
    return [*start, *SETTINGS, *more]


def test_dry_run_lists_the_trainings_and_writes_nothing(passerby, tmp_path):
    output = passerby(*words(tmp_path / "out", "attention,embedding", "--dry-run"))
    assert output.code == 0, output.err
    lines = output.out.splitlines()
    assert lines[0].startswith("[1/6] Baseline, embedding reduced and Baseline, embedding full, synth")
    assert lines[0].endswith("seed 0: new")
    assert lines[-1] == "6 of 6 trainings to do"
    assert list(tmp_path.iterdir()) == []
    runs = json.loads(passerby(*words(tmp_path / "out", "attention", "--dry-run", "--json", "--seeds", 1)).out)
    assert [run["cells"] for run in runs] == [["Baseline"], ["A"]]


def test_tables_are_printed_and_a_failure_is_in_the_exit_code(passerby, tmp_path, monkeypatch):
    out = tmp_path / "out"
    output = passerby(*words(out, "attention=on", "--seeds", 1))
    assert output.code == 0, output.err
    assert "## Table 2: attention (A)" in output.out
    assert f"tables: {out}/tables.md" in output.out
    assert "[1/1] A, synth" in output.err

    def fail(*_args, **_settings):
        raise TrainingError("the disk is full")

    monkeypatch.setattr("passerby.experiments.grid.train", fail)
    output = passerby(*words(out, "attention=on", "--seeds", 2, "--json"))
    assert output.code == 1
    assert list(json.loads(output.out)["failed"].values()) == ["the disk is full"]
    assert "1 failed: A, synth" in output.err
    assert output.err.endswith("Repeat the command to try them again\n")


def test_unknown_axis_is_refused_with_the_valid_ones(passerby, tmp_path):
    assert passerby(*words(tmp_path, "color")).error.startswith(
        "axis 'color': unknown; expected some of attention, position, parts, stripes, refine, loss, erasing, warmup,"
    )
