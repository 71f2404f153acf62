"""`passerby compare`. Oracle: the documented output, the exit code, and parseable JSON."""

import json

import pytest

from conftest import SIMPLE, TINY
from passerby.recipe import load_recipe


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.yaml"
    overrides = [*TINY, "schedule.epochs=1", "schedule.warmup_epochs=0", "evaluation.calibration=null"]
    path.write_text(load_recipe("convnext-ap", overrides=overrides).to_yaml())
    return path


def test_table_and_json_are_printed(passerby, recipe, tmp_path):
    words = (
        "compare",
        "--data",
        SIMPLE,
        "--methods",
        recipe,
        "--epochs",
        "1",
        "--out",
        tmp_path / "o",
        "--device",
        "cpu",
    )
    plan = passerby(*words, "--dry-run")
    assert plan.out.splitlines()[-1] == "1 of 1 training to do"
    assert not (tmp_path / "o").exists()
    output = passerby(*words)
    assert output.code == 0, output.err
    assert "| Method | Seed | Rank-1 |" in output.out
    assert f"tables: {tmp_path / 'o'}/comparison.md, comparison.csv" in output.out
    tree = json.loads(passerby(*words, "--json").out)
    assert tree["rows"][0]["method"] == str(recipe)
    assert tree["rows"][0]["scores"]["protocol"] == "market"
    assert tree["failed"] == {}


def test_failed_training_is_named_and_exits_with_1(passerby, recipe, tmp_path):
    words = ("compare", "--data", SIMPLE, "--methods", recipe, "--out", tmp_path / "o", "--device", "cpu")
    output = passerby(*words, "--minutes", "0.00001")
    assert output.code == 1
    assert "1 failed: " in output.err
    assert "seed 0. Repeat the command to try them again" in output.err


def test_missing_budget_is_one_line(passerby, tmp_path):
    output = passerby("compare", "--data", SIMPLE, "--methods", "lab-atto", "--out", tmp_path / "o")
    assert (
        output.error
        == "compare: give --epochs or --minutes, or both for two tables, so that every method gets the same"
    )
