"""Comparisons of tiny trainings. Oracles: the files of the runs, and arithmetic on the measured speed."""

import json

import pytest

from conftest import SIMPLE, TINY, logged
from passerby.errors import DataError, RecipeError, TrainingError
from passerby.experiments import grid, speed
from passerby.experiments.compare import compare
from passerby.recipe import load_recipe

TITLE = "synth (24 identities, 2 cameras, 2 images, seed 0)"
FEW = (*TINY, "evaluation.calibration=null")


@pytest.fixture
def recipes(tmp_path):
    """Files of two recipes: one with parts, one without."""
    paths = []
    for name, change in (("parts", "model.parts=2"), ("whole", "model.parts=0")):
        path = tmp_path / f"{name}.yaml"
        path.write_text(load_recipe("convnext-ap", overrides=[*FEW, change, f"name={name}"]).to_yaml())
        paths.append(str(path))
    return paths


def test_methods_get_the_same_epochs_and_are_not_trained_twice(recipes, tmp_path):
    with logged("passerby.experiments") as lines:
        result = compare(recipes, SIMPLE, out=tmp_path / "out", epochs=2, device="cpu")
    assert [line.split(": Rank-1")[0] for line in lines] == [
        f"[{number}/2] {recipe}, {TITLE}, seed 0" for number, recipe in enumerate(recipes, 1)
    ]
    assert [run.state for run in result.runs] == ["done", "done"]
    assert [row.epochs for row in result.rows] == [2, 2]
    assert result.failed == {}
    assert [row.method for row in result.rows] == recipes
    assert result.rows[0].parameters > result.rows[1].parameters
    assert all(row.minutes > 0 and row.trained_per_second > 0 and row.embedded_per_second > 0 for row in result.rows)
    (run,) = (tmp_path / "out" / "runs").glob("*/parts/seed-0")
    recorded = json.loads((run / "scores.json").read_text())["evaluations"][0]
    assert result.rows[0].scores.mAP == recorded["mAP"]
    before = (run / "model.safetensors").stat().st_mtime_ns
    table = (tmp_path / "out" / "comparison.md").read_text()
    again = compare(recipes, SIMPLE, out=tmp_path / "out", epochs=2, device="cpu")
    assert (run / "model.safetensors").stat().st_mtime_ns == before
    assert [row.scores.mAP for row in again.rows] == [row.scores.mAP for row in result.rows]
    assert (tmp_path / "out" / "comparison.md").read_text() == table
    assert table.count("[") >= 4
    assert (tmp_path / "out" / "comparison.csv").read_text().count("measured") == 2


def test_budget_becomes_whole_epochs(recipes, tmp_path, monkeypatch):
    """12 identities in batches of 4 x 2: 48 images an epoch, timed at 100 images per second."""
    monkeypatch.setattr(speed, "measure_training_speed", lambda *_args, **_more: (100.0, 48))
    result = compare(recipes[:1], SIMPLE, out=tmp_path / "out", minutes=2.1 * 48 / 100 / 60, device="cpu")
    assert result.rows[0].epochs == 2
    with pytest.raises(RecipeError, match="give epochs or minutes, or both for two tables"):
        compare(recipes, SIMPLE, out=tmp_path / "out", device="cpu")
    again = compare(recipes[:1], SIMPLE, out=tmp_path / "out", minutes=99, device="cpu")
    assert again.rows[0].epochs == 2  # a finished run is kept whatever the budget
    short = compare(recipes[:1], SIMPLE, out=tmp_path / "new", minutes=0.001, device="cpu")
    title = f"{recipes[0]}, {TITLE}, 0.001 minutes, seed 0"
    assert list(short.failed) == [title]
    assert "less than one epoch of 48 images at 100 images/s" in short.failed[title]


def test_failed_training_is_reported_and_the_others_go_on(recipes, tmp_path, monkeypatch):
    def broken(recipe, *arguments, **more):
        if recipe.name == "parts":
            raise RuntimeError("out of memory")
        return train(recipe, *arguments, **more)

    train = grid.train
    monkeypatch.setattr(grid, "train", broken)
    result = compare(recipes, SIMPLE, out=tmp_path / "out", epochs=1, device="cpu")
    assert result.failed == {f"{recipes[0]}, {TITLE}, seed 0": "out of memory"}
    assert [row.method for row in result.rows] == recipes[1:]


def test_folder_of_another_recipe_is_refused(recipes, tmp_path):
    compare(recipes[1:], SIMPLE, out=tmp_path / "out", epochs=1, device="cpu")
    with pytest.raises(TrainingError, match="seed-0: holds a run of another recipe"):
        compare(recipes[1:], SIMPLE, out=tmp_path / "out", epochs=2, device="cpu")


def test_run_interrupted_before_its_evaluation_is_evaluated(recipes, tmp_path):
    """Oracle: the row of the uninterrupted comparison."""
    before = compare(recipes[1:], SIMPLE, out=tmp_path / "out", epochs=1, device="cpu")
    for name in ("scores.json", "speed.json"):
        (before.runs[0].folder.root / name).unlink()
    after = compare(recipes[1:], SIMPLE, out=tmp_path / "out", epochs=1, device="cpu")
    assert after.failed == {}
    assert after.rows[0].scores.mAP == before.rows[0].scores.mAP


def test_methods_train_under_one_harness(recipes, tmp_path):
    """Oracle: the recipes of the two runs, which differ in their model alone."""
    like = tmp_path / "like.yaml"
    like.write_text(load_recipe(recipes[0], overrides=["schedule.lr_max=0.003", "name=like"]).to_yaml())
    compare(recipes, SIMPLE, out=tmp_path / "out", epochs=1, like=str(like), device="cpu")
    first, second = (
        load_recipe(next((tmp_path / "out" / "runs").glob(f"*/{name}/seed-0")) / "recipe.yaml").model_dump()
        for name in ("parts", "whole")
    )
    assert first["schedule"]["lr_max"] == 0.003
    assert {key for key in first if first[key] != second[key]} == {"name", "model"}


def test_invalid_input_is_refused_before_any_training(recipes, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(RecipeError, match=r"parts\.yaml, .*parts\.yaml; expected one or more, each file name once"):
        compare([recipes[0]] * 2, SIMPLE, out=out, epochs=1)
    with pytest.raises(RecipeError, match="minutes: got -1, expected a number above 0"):
        compare(recipes, SIMPLE, out=out, minutes=-1)
    with pytest.raises(RecipeError, match="seeds: got 0, expected 1 or more"):
        compare(recipes, SIMPLE, out=out, epochs=1, seeds=0)
    with pytest.raises(RecipeError, match="methods: got none"):
        compare([], SIMPLE, out=out, epochs=1)
    with pytest.raises(DataError, match="2 data sets joined; expected one"):
        compare(recipes, f"{SIMPLE}+synth:identities=8,cameras=2,images=2,seed=9", out=out, epochs=1)
    with pytest.raises(RecipeError, match="neither a shipped recipe"):
        compare(["nothing"], SIMPLE, out=out, epochs=1)
    assert not out.exists()


def test_settings_are_chosen_on_training_people_and_the_best_row_gets_more_seeds(recipes, tmp_path):
    """Oracles: the recipes and data of the runs, and Holm's correction of a single test."""
    options = {"epochs": 1, "tune": ["lr=0.0001,0.003"], "tune_epochs": 1, "best": 1, "best_seeds": 2, "device": "cpu"}
    result = compare(recipes, SIMPLE, out=tmp_path / "out", **options)
    assert result.failed == {}
    tuning = [run for run in result.runs if "held out" in run.label]
    assert len(tuning) == 4
    test_people = {sample.person_id for sample in result.runs[-1].data.query}
    for run in tuning:
        assert not {s.person_id for s in (*run.data.train, *run.data.query, *run.data.gallery)} & test_people
    for row, chosen in zip(result.rows[:1], result.tuned[:1], strict=True):
        assert row.tuned == f"lr={chosen.chosen:g}"
        assert chosen.metrics[chosen.chosen] == max(chosen.metrics.values())
    first = {row.method: row.scores.mAP for row in result.rows if row.seed == 0}
    more = {max(first, key=first.get), result.reference}
    assert [row.method for row in result.rows if row.seed == 1] == [name for name in recipes if name in more]
    (difference,) = result.differences
    assert result.reference == recipes[0]
    assert difference.method == recipes[1]
    assert difference.corrected["mAP"] == difference.tests["mAP"].p
    assert difference.tests["mAP"].difference == pytest.approx(first[recipes[1]] - first[recipes[0]])
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert "Differences from" in text
    assert "Settings chosen on held-out training people: 1 epoch each, 3 identities held out" in text
    assert (tmp_path / "out" / "differences.csv").read_text().count(",mAP,") == 1
    before = {run.folder.root: (run.folder.model).stat().st_mtime_ns for run in result.runs}
    again = compare(recipes, SIMPLE, out=tmp_path / "out", **options)
    assert {run.folder.root: (run.folder.model).stat().st_mtime_ns for run in again.runs} == before
    assert again.to_markdown() == result.to_markdown()
    worst = min(first, key=first.get)
    more = compare(recipes, SIMPLE, out=tmp_path / "out", **options, reference=worst)
    assert [row.method for row in more.rows if row.seed == 1] == recipes, "the reference has the seeds of the best row"
    (difference,) = more.differences
    scores = {(row.method, row.seed): row.scores.mAP for row in more.rows}
    mean = sum(scores[difference.method, seed] - scores[worst, seed] for seed in (0, 1)) / 2
    assert difference.tests["mAP"].difference == pytest.approx(mean)


def test_equal_epochs_and_equal_minutes_are_two_tables(recipes, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "measure_training_speed", lambda *_args, **_more: (100.0, 48))
    metric = tmp_path / "metric.yaml"
    metric.write_text(load_recipe(recipes[0], overrides=["metric.method=xqda", "name=metric"]).to_yaml())
    result = compare(
        [recipes[0], str(metric)], SIMPLE, out=tmp_path / "out", epochs=1, minutes=2.1 * 48 / 6000, device="cpu"
    )
    assert [(row.budget, row.epochs) for row in result.rows] == [
        ("1 epoch each", 1),
        ("1 epoch each", 0),
        (result.budgets[1], 2),
        (result.budgets[1], 0),
    ]
    assert result.rows[1].trained_per_second > 0
    assert (tmp_path / "out" / "comparison.md").read_text().count("## Comparison on") == 2


def test_an_unknown_reference_is_refused(recipes, tmp_path):
    with pytest.raises(RecipeError, match="reference: got 'osnet', expected one of"):
        compare(recipes, SIMPLE, out=tmp_path / "out", epochs=1, reference="osnet")
