"""Data of a run from other folders. Oracle: the metrics that the run recorded, and the data set's own files."""

import json
import os
import shutil

import pytest

import passerby
from passerby.errors import DataError, RecipeError, TrainingError
from passerby.reporting.report import report
from passerby.runs.evaluate import evaluate
from passerby.runs.run_data import describe_data, load_run_data
from passerby.runs.train import resume
from passerby.runtime.model_manifest import DEFAULT_MODEL, read_manifest


def scores(run):
    return json.loads((run / "scores.json").read_text())["evaluations"]


def test_a_run_is_used_from_another_folder(workspace, tmp_path, monkeypatch):
    """The manifest names `market1501:people`, which is not in the working directory."""
    run, before = workspace / "runs" / "m", scores(workspace / "runs" / "m")
    manifest = json.loads((run / "manifest.json").read_text())
    assert (manifest["data"], manifest["data_from_run"]) == ("market1501:people", ["../../people"])
    monkeypatch.chdir(tmp_path)
    evaluate(run, device="cpu")
    resume(run, device="cpu")
    (run / "model.safetensors").unlink()
    resume(run, device="cpu")
    assert scores(run) == before
    after = json.loads((run / "manifest.json").read_text())
    assert {key: after[key] for key in manifest if "data" in key} == {k: manifest[k] for k in manifest if "data" in k}
    assert len(passerby.find_threshold(run, far=0.2, device="cpu")) == 1


def test_a_run_that_was_moved_alone_finds_its_data_by_the_absolute_path(workspace, tmp_path, monkeypatch):
    manifest = {"data": "market1501:people", **describe_data("market1501:people", workspace / "runs" / "m")}
    monkeypatch.chdir(tmp_path)
    (data,) = load_run_data(tmp_path / "far" / "away", manifest)
    assert (data.root, data.spec) == (workspace / "people", "market1501:people")
    shutil.move(workspace / "people", tmp_path / "other")
    with pytest.raises(DataError, match=r"data set market1501:people is at none of .*; restore it, or name it with"):
        load_run_data(workspace / "runs" / "m", manifest)


def test_resuming_takes_the_same_data_at_another_path(workspace, tmp_path):
    run = workspace / "runs" / "m"
    shutil.move(workspace / "people", tmp_path / "other")
    shutil.rmtree(run / "plots")
    (run / "model.safetensors").unlink()
    resume(run, f"market1501:{tmp_path / 'other'}", device="cpu")
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["data_absolute"] == [str(tmp_path / "other")]
    assert manifest["data_from_run"] == [os.path.relpath(tmp_path / "other", run)]
    next((tmp_path / "other" / "bounding_box_train").glob("*.jpg")).unlink()
    with pytest.raises(TrainingError, match="is not the one that the run started with"):
        resume(run, f"market1501:{tmp_path / 'other'}", device="cpu")


def test_data_without_a_path_have_no_place():
    assert describe_data("synth:identities=8", "run") == {"data": "synth:identities=8"}


def test_a_stale_calibration_is_not_taken_for_the_new_run(workspace):
    folder = workspace / "runs" / "new"
    folder.mkdir()
    shutil.copy(workspace / "runs" / "m" / "calibration.json", folder)
    recipe = passerby.load_recipe(workspace / "runs" / "m" / "recipe.yaml")
    with pytest.raises(TrainingError, match=r"calibration\.json: is in the way of a new run"):
        passerby.train(recipe, "market1501:people", folder, device="cpu")


def test_a_run_is_lengthened_and_its_first_model_kept(workspace):
    """Oracle: the schedule over the new length, by hand; the files of the shorter training, byte for byte."""
    run = workspace / "runs" / "m"
    first = {name: (run / name).read_bytes() for name in ("model.safetensors", "calibration.json", "scores.json")}
    recipe = passerby.load_recipe(run / "recipe.yaml")
    before = recipe.schedule.epochs
    (result,) = resume(run, epochs=before + 2, device="cpu")
    assert first == {name: (run / f"epochs-{before}" / name).read_bytes() for name in first}
    assert passerby.load(run / f"epochs-{before}").embed("a.jpg").shape == (1, 32)
    assert (run / "model.safetensors").read_bytes() != first["model.safetensors"]
    assert passerby.load_recipe(run / "recipe.yaml").schedule.epochs == before + 2
    assert scores(run)[0]["mAP"] == result.scores.mAP
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    steps = len(records) // (before + 2)
    assert [record["step"] for record in records] == list(range(1, steps * (before + 2) + 1))
    from passerby.training.schedule import learning_rate

    rates = recipe.schedule.model_dump() | {"epochs": before + 2}
    assert records[before * steps]["learning_rate"] == learning_rate(before, **rates)
    assert records[before * steps]["learning_rate"] > records[before * steps - 1]["learning_rate"]

    with pytest.raises(RecipeError, match=r"got 2, the run has 5; a resumed run can only be lengthened"):
        resume(run, epochs=2, device="cpu")
    shutil.rmtree(run / "checkpoints")
    with pytest.raises(TrainingError, match=r"last\.safetensors: no such file"):
        resume(run, epochs=9, device="cpu")


def test_a_folder_that_another_process_writes_is_refused(workspace):
    from passerby.runs.run_folder import RunFolder

    recipe = passerby.load_recipe(workspace / "runs" / "m" / "recipe.yaml")
    old, new = workspace / "runs" / "m", workspace / "runs" / "new"
    refused = "another process writes this run; wait for it to end"
    with RunFolder(old).lock(), pytest.raises(TrainingError, match=refused):
        resume(old, device="cpu")
    with RunFolder(new).lock(), pytest.raises(TrainingError, match=refused):
        passerby.train(recipe, "market1501:people", new, device="cpu")
    assert [*old.glob(".*"), *new.glob("*")] == []


def test_a_run_resumes_without_the_file_of_its_initial_weights(workspace, tmp_path):
    from conftest import tiny_recipe

    weights, run = tmp_path / "first.safetensors", tmp_path / "run"
    shutil.copy(workspace / "runs" / "m" / "model.safetensors", weights)
    recipe = tiny_recipe(f"model.weights={weights}", "schedule.epochs=2")
    passerby.train(recipe, "market1501:people", run, device="cpu")
    model = (run / "model.safetensors").read_bytes()
    weights.unlink()
    (run / "model.safetensors").unlink()
    resume(run, device="cpu")
    assert (run / "model.safetensors").read_bytes() == model


def test_a_folder_of_a_run_is_initial_weights(workspace, tmp_path):
    from conftest import tiny_recipe

    recipe = tiny_recipe(f"model.weights={workspace / 'runs' / 'm'}", "schedule.epochs=2")
    passerby.train(recipe, "market1501:people", tmp_path / "run", device="cpu")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["initial_weights"] == str(workspace / "runs" / "m")


def test_the_training_images_of_the_default_model_are_not_rendered_again(workspace, monkeypatch):
    """100,000 images, which take hours. A run that was adapted from it names the same."""
    default = read_manifest(DEFAULT_MODEL)
    monkeypatch.setattr("passerby.synthesis.write.synth", lambda *_: pytest.fail("rendered"))
    message = "its training images, synth:identities=12500.* are not rendered again .* such as folder:/data/ours"
    for call in (
        lambda: evaluate("default", out=workspace / "out"),
        lambda: passerby.find_threshold("default", far=0.1),
        lambda: report(["runs/m", "default"], workspace / "out" / "page.html"),
    ):
        with pytest.raises(DataError, match=f"default: {message}"):
            call()
    with pytest.raises(DataError, match=f"site: {message}"):
        load_run_data(workspace / "site", {**default, "adaptation": {}})
    assert not (workspace / "out").exists()
