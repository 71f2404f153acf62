"""Whole runs on drawn people. Oracles: the files promised in docs, and an unbroken run."""

import errno
import json
import logging
import os
import shutil
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

import passerby
from conftest import SIMPLE, STAGED, logged, tiny_recipe
from passerby.data.datasets import load_data
from passerby.errors import DataError, RecipeError, TrainingError, WriteError
from passerby.model.torch_encoder import TorchEncoder
from passerby.runs.evaluate import evaluate
from passerby.runs.train import resume, train
from passerby.training.log import read_log


@pytest.mark.usefixtures("plots")
def test_run_folder_holds_all_documented_files(tiny_run, tmp_path):
    shutil.copytree(tiny_run, tmp_path / "copy")
    evaluate(tmp_path / "copy", device="cpu")
    tiny_run = tmp_path / "copy"
    left = {str(path.relative_to(tiny_run)) for path in tiny_run.rglob("*") if path.is_file()}
    figures = next((tiny_run / "plots").glob("synth*")).relative_to(tiny_run)
    promised = {"model.safetensors", "manifest.json", "recipe.yaml", "scores.json", "log.jsonl"}
    promised |= {"checkpoints/last.safetensors", "plots/learning-rate.png", "plots/losses.png"}
    promised |= {str(figures / name) for name in ("cmc.png", "cmc.svg", "ranks-worst.png", "ranks-best.png")}
    assert promised <= left
    assert any(name.startswith("tensorboard/events") for name in left)

    scores = json.loads((tiny_run / "scores.json").read_text())["evaluations"]
    assert len(scores) == 1
    facts = {"data", "fingerprint", "protocol", "ap", "flip", "valid_queries", "queries", "gallery", "intervals", "mAP"}
    assert facts <= scores[0].keys()
    manifest = json.loads((tiny_run / "manifest.json").read_text())
    assert (manifest["identities"], manifest["trained_identities"]) == (12, 12)
    assert (manifest["seed"], manifest["data"]) == (0, SIMPLE)
    assert {"torch", "timm", "python"} <= manifest["versions"].keys()
    assert [record["step"] for record in read_log(tiny_run / "log.jsonl")] == list(range(1, 19))


def test_loaded_model_reproduces_the_evaluated_embeddings(tiny_run):
    result = evaluate(tiny_run, device="cpu")[0]
    vectors = passerby.load(tiny_run).embed(result.data.query[:5])
    np.testing.assert_allclose(vectors, result.query.vectors[:5], atol=1e-6)
    scores = passerby.score(result.query, result.gallery)
    assert (scores.rank1, scores.mAP) == (result.scores.rank1, result.scores.mAP)


def test_an_evaluation_after_the_training_computes_no_embedding(tmp_path, monkeypatch):
    """Oracle: the metrics at the end of the training, whose embeddings are in the user's cache."""
    monkeypatch.setenv("PASSERBY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PASSERBY_EMBEDDING_CACHE", "on")
    (trained,) = train(tiny_recipe(), SIMPLE, tmp_path / "m", device="cpu")
    monkeypatch.setattr(TorchEncoder, "encode", None)
    monkeypatch.setattr(TorchEncoder, "encode_mirrored", None)
    (result,) = evaluate(tmp_path / "m", device="cpu")
    assert result.scores.mAP == trained.scores.mAP


def test_another_data_set_and_rule_are_added_to_the_scores(tiny_run, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(tiny_run, run)
    before = json.loads((run / "scores.json").read_text())["evaluations"]
    evaluate(run, "synth:identities=10,cameras=2,images=2,seed=5", ap="trapezoid", device="cpu")
    evaluate(run, protocol="single-gallery-shot", flip=False, device="cpu")
    evaluate(run, device="cpu")
    after = json.loads((run / "scores.json").read_text())["evaluations"]
    assert [(entry["ap"], entry["protocol"], entry["flip"]) for entry in after] == [
        ("step", "market", True),
        ("trapezoid", "market", True),
        ("step", "single-gallery-shot", False),
    ]
    assert after[0] == before[0]


def test_each_evaluation_has_its_own_plots(tiny_run, tmp_path, monkeypatch):
    folders = []
    monkeypatch.setattr("passerby.runs.run_plots.plot_evaluation", lambda _result, out: folders.append(out.name))
    shutil.copytree(tiny_run, tmp_path / "copy")
    for change in ({}, {"ap": "trapezoid"}, {"protocol": "single-gallery-shot", "flip": False}):
        evaluate(tmp_path / "copy", device="cpu", **change)
    words = [name.rsplit("-seed-0-", 1)[1] for name in folders]
    assert words == ["market-step", "market-trapezoid", "single-gallery-shot-step-no-flip"]


@pytest.mark.usefixtures("plots")
def test_without_matplotlib_a_run_is_scored_and_the_extra_is_named(tiny_run, tmp_path, monkeypatch):
    """Oracle: the metrics of the run that drew its plots."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    before = json.loads((tiny_run / "scores.json").read_text())["evaluations"]
    with logged() as lines:
        evaluate(tiny_run, out=tmp_path / "out", device="cpu")
    assert json.loads((tmp_path / "out" / "scores.json").read_text())["evaluations"] == before
    (line,) = lines
    assert line.startswith("no plots of the evaluation: ")
    assert 'pip install "passerby[report]"' in line


def test_multi_query_result_holds_the_ranked_vectors(tiny_run, monkeypatch):
    """Oracle: the mean of each query's identity and camera, by a loop."""
    recorded = []
    monkeypatch.setattr("passerby.runs.evaluate.record_evaluations", lambda _folder, results: recorded.extend(results))
    monkeypatch.setattr("passerby.runs.evaluate.plot_evaluations", lambda _folder, _results: None)
    single, multi = (evaluate(tiny_run, protocol=rule, device="cpu")[0].query for rule in ("market", "multi-query"))
    assert len(recorded) == 2
    for q, vector in enumerate(multi.vectors):
        same = (single.person_ids == single.person_ids[q]) & (single.camera_ids == single.camera_ids[q])
        np.testing.assert_allclose(vector, single.vectors[same].mean(axis=0), atol=1e-6)


def test_scores_during_training_are_logged(tmp_path):
    with logged() as lines:
        train(tiny_recipe("training.evaluate_every=2"), SIMPLE, tmp_path / "run", device="cpu")
    scored = [record for record in read_log(tmp_path / "run" / "log.jsonl") if "scores" in record]
    assert [record["epoch"] for record in scored] == [2]
    assert set(scored[0]["scores"]) == {"synth/rank1", "synth/mAP"}
    assert without_epochs(lines)[0].startswith("epoch 2: synth")


def test_stopped_run_keeps_the_scores_of_each_stage(tmp_path):
    """Oracle: the run that was not stopped, byte for byte; one that stops within the second stage loses nothing."""
    runs = [tmp_path / "unbroken", tmp_path / "stopped"]
    recipe = tiny_recipe(*STAGED, "training.evaluate_every=1")
    with logged() as lines:
        train(recipe, SIMPLE, runs[0], device="cpu")
    stop_at(9, SIMPLE, runs[1], recipe)
    with logged() as again:
        resume(runs[1], device="cpu")

    names = ("model.safetensors", "scores.json")
    assert [(runs[0] / name).read_bytes() for name in names] == [(runs[1] / name).read_bytes() for name in names]
    scores = json.loads((runs[0] / "scores.json").read_text())
    assert [(stage["stage"], stage["epochs"]) for stage in scores["stages"]] == [
        ("stripes", 1),
        ("parts", 2),
        ("together", 3),
    ]
    assert scores["stages"][-1]["evaluations"] == scores["evaluations"]
    assert scores["stages"][0]["evaluations"] != scores["evaluations"]
    assert without_epochs(lines)[0].startswith("end of stage stripes, epoch 1: synth")
    assert again[0] == f"resumed at step 6, stage stripes, from {runs[1] / 'checkpoints' / 'last.safetensors'}"
    records = read_log(runs[0] / "log.jsonl")
    assert [record["stage"] for record in records if "scores" in record] == ["stripes", "parts", "together"]
    assert {record["stage"] for record in records if "losses" in record} == {"stripes", "parts", "together"}
    evaluate(runs[0], ap="trapezoid", device="cpu")
    assert json.loads((runs[0] / "scores.json").read_text())["stages"] == scores["stages"]


@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ([], []),
        (
            ["model.attention=false", "model.instance_norm=1"],
            ["model.attention=true model.instance_norm=0"],
        ),
    ],
)
def test_weights_of_another_computation_are_named_in_a_warning(tiny_run, tmp_path, settings, lines):
    """SimAM and instance normalization have no tensor that would not fit. Oracle: the settings of the weights' run."""
    recipe = tiny_recipe(f"model.weights={tiny_run / 'model.safetensors'}", "schedule.warmup_epochs=0", *settings)
    with logged() as messages:
        train(recipe, SIMPLE, tmp_path / "run", device="cpu")
    about = [line for line in messages if line.startswith(f"weights {tiny_run}")]
    assert [line.split("expect lower accuracy. Set ")[1] for line in about] == lines


def test_a_run_is_not_overwritten(tiny_run):
    before = snapshot(tiny_run)
    with pytest.raises(TrainingError, match="already holds a run; continue it with `passerby train --resume"):
        train(tiny_recipe(), SIMPLE, tiny_run, device="cpu")
    assert snapshot(tiny_run) == before


def test_an_existing_run_is_continued_by_its_own_recipe_only(tiny_run, tmp_path):
    """The finished run is evaluated again, and its model stays."""
    shutil.copytree(tiny_run, tmp_path / "run")
    with pytest.raises(RecipeError, match=r"another recipe, without schedule.epochs=9, training.seed=4; give its"):
        train(tiny_recipe("schedule.epochs=9", "training.seed=4"), SIMPLE, tmp_path / "run", resume_existing=True)
    (result,) = train(tiny_recipe(), SIMPLE, tmp_path / "run", resume_existing=True, device="cpu")
    assert result.scores.valid_queries == 24
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (tiny_run / "model.safetensors").read_bytes()


def test_rules_between_sections_are_checked_after_assignments(tmp_path):
    """Assigning a setting checks its own section only; the training checks the rest."""
    recipe = tiny_recipe()
    recipe.batches.images = 1
    with pytest.raises(RecipeError, match="no pair of one identity"):
        train(recipe, SIMPLE, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_no_run_cannot_be_resumed(tmp_path):
    with pytest.raises(TrainingError, match=r"no run here \(no manifest\.json\)"):
        resume(tmp_path)


def test_one_test_camera_is_refused_before_training(tmp_path):
    """A folder with as many cameras in training as needed, but one in query and gallery."""
    from PIL import Image

    for split, cameras in (("train", (0, 1)), ("query", (0,)), ("gallery", (0,))):
        for person in range(4):
            for camera in cameras:
                for number in range(2):
                    path = (
                        tmp_path / "people" / split / f"p{person}{split == 'train'}" / f"c{camera}_{split}{number}.png"
                    )
                    path.parent.mkdir(parents=True, exist_ok=True)
                    color = (60 * person, 100 * camera, 20 * number + len(split))
                    Image.new("RGB", (32, 64), color).save(path)
    with pytest.raises(DataError, match=r"no query has its identity in the gallery in another camera.*1 camera\)"):
        train(tiny_recipe(), f"folder:{tmp_path / 'people'}", tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


def test_data_without_queries_is_trained_on_with_a_warning(tmp_path):
    """One of the people has a single image, which P x K repeats."""
    source = sorted((load_data(SIMPLE)[0].root / "bounding_box_train").glob("*.jpg"))
    for path in source[3:]:
        folder = tmp_path / "people" / "train" / path.name.split("_")[0]
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)
    run = tmp_path / "run"
    data = f"folder:{tmp_path / 'people'}?camera=market"
    with logged() as lines:
        assert train(tiny_recipe("schedule.epochs=2"), data, run, device="cpu") == []
    warning = "no data set has a query split: the model is saved and not evaluated"
    assert without_epochs(lines) == [warning]
    assert json.loads((run / "manifest.json").read_text())["images"] == 45
    assert json.loads((run / "scores.json").read_text()) == {"evaluations": []}
    assert passerby.load(run).embed(source[:2]).shape == (2, 32)
    with logged() as lines:
        assert resume(run, device="cpu") == []
    assert lines == [f"{run}: already finished; evaluating it", warning]


@pytest.mark.usefixtures("plots")
def test_two_data_sets_are_trained_on_together_and_evaluated_one_by_one(tmp_path):
    """Oracle: as many classes as both have training people."""
    other = "synth:identities=8,cameras=2,images=2,seed=3"
    results = train(tiny_recipe("schedule.epochs=2"), f"{SIMPLE}+{other}", tmp_path / "run", device="cpu")
    assert [result.data.spec for result in results] == [SIMPLE, other]
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert (manifest["identities"], manifest["images"]) == (12 + 4, 48 + 16)
    assert len(list((tmp_path / "run" / "plots").glob("synth*/cmc.png"))) == 2


def test_resuming_on_changed_data_is_refused(tmp_path):
    """Oracle: every file of the run as it was."""
    root, run = tmp_path / "market", tmp_path / "run"
    shutil.copytree(load_data(SIMPLE)[0].root, root)
    stop_at(7, f"market1501:{root}", run)
    before = snapshot(run)
    next((root / "bounding_box_train").glob("*.jpg")).unlink()
    with pytest.raises(TrainingError, match=r"is not the one that the run started with \(fingerprint .*restore it, or"):
        resume(run, device="cpu")
    assert snapshot(run) == before


def test_full_disk_loses_only_the_steps_after_the_last_checkpoint(tiny_run, tmp_path, monkeypatch):
    """Oracle: the checkpoint of the first epoch, byte for byte; and `tiny_run`, once there is free space again."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch:

        def fill_disk(task, done, total, _note=""):
            if task == "train":
                assert total == 18
            if (task, done) == ("train", 7):
                patch.setattr(os, "replace", full)

        with pytest.raises(WriteError, match=r"last\.safetensors: not saved \(No space left on device\)"):
            train(tiny_recipe(), SIMPLE, run, device="cpu", progress=fill_disk)
    assert load_file(run / "checkpoints" / "last.safetensors")
    resume(run, device="cpu")
    assert (run / "model.safetensors").read_bytes() == (tiny_run / "model.safetensors").read_bytes()
    assert [record["step"] for record in read_log(run / "log.jsonl")] == list(range(1, 19))


def test_every_step_is_reported_and_every_epoch_is_logged(tmp_path):
    """Oracle: the run's own log."""
    states = []
    with logged() as lines:
        train(tiny_recipe(), SIMPLE, tmp_path, device="cpu", progress=lambda *state: states.append(state))
    records = read_log(tmp_path / "log.jsonl")
    steps = [state for state in states if state[0] == "train"]
    assert [done for _, done, _, _ in steps] == [record["step"] for record in records]
    assert {total for _, _, total, _ in steps} == {18}
    notes = [note for _, done, _, note in steps if done % 6 == 0]
    assert [line for line in lines if line.endswith("images/s")] == notes
    for note, record in zip(notes, records[5::6], strict=True):
        words = f"epoch {record['epoch']}  loss {record['losses']['loss']:.3f}  lr {record['learning_rate']:.2e}  "
        assert note == f"{words}{record['images_per_second']:.0f} images/s"
    assert {state[0] for state in states} == {"decode", "train", "embed"}


def test_training_with_progress_logs_each_epoch(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    train(tiny_recipe("schedule.epochs=2"), SIMPLE, tmp_path / "shown", device="cpu", progress=True)
    shown = capfd.readouterr()
    assert shown.out == ""
    assert [line.split("  ")[0] for line in shown.err.splitlines()] == ["epoch 1", "epoch 2"]


def without_epochs(lines):
    """Log lines but those at the end of each epoch."""
    return [line for line in lines if not line.endswith("images/s")]


def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class StoppedError(Exception):
    pass


def stop_at(number, data, out, recipe=None):
    """A run that ends in the middle, by an exception of the progress callback."""

    def stop(task, done, _total, _note=""):
        if (task, done) == ("train", number):
            raise StoppedError

    with pytest.raises(StoppedError):
        train(recipe or tiny_recipe(), data, out, device="cpu", progress=stop)
