"""Comparisons of tiny trainings. Oracles: the runs that they leave, and the clock's own arithmetic."""

import json

import pytest

from conftest import SIMPLE, TINY, logged
from passerby.errors import DataError, RecipeError
from passerby.experiments import compare as module
from passerby.experiments.compare import compare
from passerby.experiments.speed import measure_speed
from passerby.recipe import load_recipe

pytestmark = pytest.mark.usefixtures("without_pictures")

FEW = (*TINY, "evaluation.calibration=null")


@pytest.fixture
def recipes(tmp_path):
    """Two methods as files: one with parts, one without."""
    paths = []
    for name, change in (("parts", "model.parts=2"), ("whole", "model.parts=0")):
        path = tmp_path / f"{name}.yaml"
        path.write_text(load_recipe("convnext-ap", overrides=[*FEW, change, f"name={name}"]).to_yaml())
        paths.append(str(path))
    return paths


def test_every_method_gets_the_same_epochs_and_is_not_trained_twice(recipes, tmp_path):
    with logged("passerby.experiments") as said:
        found = compare(SIMPLE, tmp_path / "out", methods=recipes, epochs=2, device="cpu")
    assert [line.split(": Rank-1")[0] for line in said] == [f"{recipe}, seed 0" for recipe in recipes]
    assert [row.epochs for row in found.rows] == [2, 2]
    assert found.failed == {}
    assert [row.method for row in found.rows] == recipes
    assert found.rows[0].parameters > found.rows[1].parameters
    assert all(row.minutes > 0 and row.trained_per_second > 0 and row.embedded_per_second > 0 for row in found.rows)
    (run,) = (tmp_path / "out" / "runs").glob("*/parts/seed-0")
    recorded = json.loads((run / "scores.json").read_text())["evaluations"][0]
    assert found.rows[0].scores.mAP == recorded["mAP"]
    before = (run / "model.safetensors").stat().st_mtime_ns
    table = (tmp_path / "out" / "comparison.md").read_text()
    again = compare(SIMPLE, tmp_path / "out", methods=recipes, epochs=2, device="cpu")
    assert (run / "model.safetensors").stat().st_mtime_ns == before
    assert [row.scores.mAP for row in again.rows] == [row.scores.mAP for row in found.rows]
    assert (tmp_path / "out" / "comparison.md").read_text() == table
    assert table.count("[") >= 4
    assert (tmp_path / "out" / "comparison.csv").read_text().count("measured") == 2


def test_a_budget_becomes_whole_epochs(recipes, tmp_path, monkeypatch):
    """12 people in batches of 4 x 2: an epoch is what the loader says, timed at 100 images a second."""
    recipe = load_recipe(recipes[0])
    rate, images = measure_speed(recipe, SIMPLE, device="cpu", seconds=0)
    assert rate > 0
    assert images == 48
    monkeypatch.setattr(module, "measure_speed", lambda *_args, **_more: (100.0, 48))
    found = compare(SIMPLE, tmp_path / "out", methods=recipes[:1], budget_minutes=2.1 * 48 / 100 / 60, device="cpu")
    assert found.rows[0].epochs == 2
    with pytest.raises(RecipeError, match="give either epochs or budget_minutes"):
        compare(SIMPLE, tmp_path / "out", methods=recipes, device="cpu")
    again = compare(SIMPLE, tmp_path / "out", methods=recipes[:1], budget_minutes=99, device="cpu")
    assert again.rows[0].epochs == 2  # done is done, however long it may take now
    short = compare(SIMPLE, tmp_path / "new", methods=recipes[:1], budget_minutes=0.001, device="cpu")
    assert "less than one epoch of 48 images at 100 images/s" in short.failed[f"{recipes[0]}, seed 0"]


def test_one_that_fails_is_named_and_the_others_go_on(recipes, tmp_path, monkeypatch):
    def broken(recipe, *arguments, **more):
        if recipe.name == "parts":
            raise RuntimeError("out of memory")
        return train(recipe, *arguments, **more)

    train = module.train
    monkeypatch.setattr(module, "train", broken)
    found = compare(SIMPLE, tmp_path / "out", methods=recipes, epochs=1, device="cpu")
    assert found.failed == {f"{recipes[0]}, seed 0": "out of memory"}
    assert [row.method for row in found.rows] == recipes[1:]


def test_another_recipe_in_the_folder_is_refused(recipes, tmp_path):
    compare(SIMPLE, tmp_path / "out", methods=recipes[1:], epochs=1, device="cpu")
    found = compare(SIMPLE, tmp_path / "out", methods=recipes[1:], epochs=2, device="cpu")
    assert "holds a run of another recipe" in found.failed[f"{recipes[1]}, seed 0"]


def test_all_train_like_one_recipe(recipes, tmp_path):
    """Oracle: the two runs' recipes, which differ in their model alone."""
    like = tmp_path / "like.yaml"
    like.write_text(load_recipe(recipes[0], overrides=["schedule.lr_max=0.003", "name=like"]).to_yaml())
    compare(SIMPLE, tmp_path / "out", methods=recipes, epochs=1, like=str(like), device="cpu")
    first, second = (
        load_recipe(next((tmp_path / "out" / "runs").glob(f"*/{name}/seed-0")) / "recipe.yaml").model_dump()
        for name in ("parts", "whole")
    )
    assert first["schedule"]["lr_max"] == 0.003
    assert {key for key in first if first[key] != second[key]} == {"name", "model"}


def test_bad_input_is_named_before_anything_is_trained(recipes, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(RecipeError, match="one of them twice"):
        compare(SIMPLE, out, methods=[recipes[0]] * 2, epochs=1)
    with pytest.raises(RecipeError, match="got -1 minutes"):
        compare(SIMPLE, out, methods=recipes, budget_minutes=-1)
    with pytest.raises(RecipeError, match="0 methods"):
        compare(SIMPLE, out, methods=[], epochs=1)
    with pytest.raises(DataError, match="2 data sets; a comparison needs one"):
        compare(f"{SIMPLE}+synth:identities=8,cameras=2,images=2,seed=9", out, methods=recipes, epochs=1)
    with pytest.raises(RecipeError, match="neither a shipped recipe"):
        compare(SIMPLE, out, methods=["nothing"], epochs=1)
    assert not out.exists()
