"""`passerby compare`: what a user types and reads; the trainings are tested in tests/runs/test_compare.py."""

import json

import pytest

from conftest import SIMPLE, TINY
from passerby.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("without_pictures")


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "tiny.yaml"
    overrides = [*TINY, "schedule.epochs=1", "schedule.warmup_epochs=0", "evaluation.calibration=null"]
    path.write_text(load_recipe("convnext-ap", overrides=overrides).to_yaml())
    return path


def test_the_table_and_then_the_json(passerby, recipe, tmp_path):
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
    said = passerby(*words)
    assert said.code == 0, said.err
    assert "| Method | Seed | Rank-1 |" in said.out
    assert f"tables: {tmp_path / 'o'}/comparison.md, comparison.csv" in said.out
    tree = json.loads(passerby(*words, "--json").out)
    assert tree["rows"][0]["method"] == str(recipe)
    assert tree["rows"][0]["scores"]["protocol"] == "market"
    assert tree["failed"] == {}


def test_a_failure_is_told_and_is_no_success(passerby, recipe, tmp_path):
    words = ("compare", "--data", SIMPLE, "--methods", recipe, "--out", tmp_path / "o", "--device", "cpu")
    said = passerby(*words, "--budget-minutes", "0.00001")
    assert said.code == 1
    assert "1 failed: " in said.err
    assert "seed 0. The same command tries them again" in said.err


def test_neither_epochs_nor_minutes_is_one_line(passerby, tmp_path):
    said = passerby("compare", "--data", SIMPLE, "--methods", "lab-atto", "--out", tmp_path / "o")
    assert said.complaint == "compare: give either epochs or budget_minutes, so that every method gets the same"
