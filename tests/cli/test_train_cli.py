"""`passerby train`. Oracle: the one sentence that a user should read, what is left on the disk, and parseable JSON."""

import json
import shutil

import pytest
from PIL import Image
from safetensors.numpy import load_file

from conftest import SIMPLE, TINY
from passerby.data.datasets import load_data

SETTINGS = [word for override in TINY for word in ("--set", override)]


@pytest.fixture
def market(tmp_path):
    """The drawn people in a folder that the test may damage."""
    root = tmp_path / "mark[et]"
    shutil.copytree(load_data(SIMPLE)[0].root, root)
    return root


def new_run(data, out, *more):
    return ["train", "--recipe", "convnext-ap", "--data", data, "--out", out, "--device", "cpu", *SETTINGS, *more]


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_json_and_nothing_else_on_stdout(passerby, tmp_path):
    out = tmp_path / "run"
    quick = ("--set", "schedule.epochs=2", "--set", "training.evaluate_every=1")
    output = passerby(*new_run(SIMPLE, out, *quick, "--json"))
    assert output.code == 0, output.err
    printed = json.loads(output.out)
    assert printed["run"] == str(out)
    assert printed["evaluations"] == json.loads((out / "scores.json").read_text())["evaluations"]
    assert printed["evaluations"][0]["data"] == SIMPLE
    assert "epoch 1: synth" in output.err
    assert "Traceback" not in output.err


def test_a_finished_run_is_evaluated_again_and_not_trained(passerby, tiny_run, tmp_path):
    """A resumed run that has ended: its weights and its log stay as they were; the table is printed."""
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    shutil.rmtree(run / "checkpoints")
    kept = {name: (run / name).read_bytes() for name in ("model.safetensors", "log.jsonl", "scores.json")}
    output = passerby("train", "--resume", run, "--device", "cpu")
    assert output.code == 0, output.err
    assert output.err == f"{run}: already finished; evaluating it\n"
    assert "Rank-1" in output.out
    assert output.out.endswith(f"run: {run}\n")
    assert kept == {name: (run / name).read_bytes() for name in kept}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "train: --recipe, --data, --out missing; a new run needs --recipe, --data and --out"),
        (["--recipe", "lab-atto", "--out", "x"], "train: --data missing"),
        (["--resume", "x", "--out", "y"], "--resume x: a run is resumed with its own settings; leave out --out"),
        (["--resume", "x", "--set", "name=y"], "--resume x: a run is resumed with its own settings; leave out --set"),
        (["--resume", "nowhere"], "nowhere: no run here (no manifest.json); start one with"),
    ],
)
def test_inconsistent_options_are_refused(passerby, words, message):
    assert passerby("train", *words).error.startswith(message)


@pytest.mark.parametrize(
    ("more", "messages"),
    [
        (["--recipe", "lab-ato"], ["recipe 'lab-ato': did you mean 'lab-atto'? neither a shipped recipe"]),
        (
            ["--set", "schedule.epoch=3"],
            ["unknown key 'schedule.epoch'; did you mean 'epochs'? schedule has the keys epochs"],
        ),
        (["--set", "model.parts=99"], ["model.parts: expected an integer from 0 to 16, got 99"]),
        (["--set", "model.backbone=convnext_bse"], ["backbone 'convnext_bse'", "convnext_base"]),
        (["--set", "model.weights=/no/where.safetensors"], ["/no/where.safetensors: no such file"]),
        (["--set", "batches.persons=100"], ["batches.persons: a batch takes 100 people", "12 identities"]),
        (["--set", "optimizer.accumulate=100"], ["accumulate: 100 batches make a step, but an epoch has 6"]),
        (["--data", "market:/x"], ["'market:/x'", "market1501"]),
        (["--data", "market1501:/no/where"], ["/no/where"]),
        (["--device", "gpu"], ["--device: got 'gpu'", "expected auto, cpu, cuda, cuda:0 or mps"]),
    ],
)
def test_untrainable_input_is_named_and_leaves_no_run(passerby, tmp_path, more, messages):
    error = passerby(*new_run(SIMPLE, tmp_path / "run"), *more).error
    assert all(message in error for message in messages), error
    assert snapshot(tmp_path) == {}


def test_folder_is_usable_after_a_refused_training(passerby, tmp_path):
    out = tmp_path / "run"
    assert "batches.persons" in passerby(*new_run(SIMPLE, out, "--set", "batches.persons=100")).error
    output = passerby(*new_run("synth:identities=8,cameras=2,images=2", out, "--set", "schedule.epochs=2"))
    assert output.code == 0, output.err
    assert "Rank-1" in output.out


def test_a_wrong_layout_is_named(passerby, tmp_path, market):
    shutil.rmtree(market / "query")
    error = passerby(*new_run(f"market1501:{market}", tmp_path / "run")).error
    assert str(market) in error
    assert "query" in error


def test_one_camera_is_refused_before_training(passerby, tmp_path, market):
    for path in market.glob("*/*_c2s*.jpg"):
        path.unlink()
    error = passerby(*new_run(f"market1501:{market}", tmp_path / "run")).error
    assert "one camera" in error
    assert not (tmp_path / "run").exists()


def test_one_image_per_identity_is_refused_before_training(passerby, tmp_path, market):
    """Two cameras, each person in one of them."""
    for number, path in enumerate(sorted((market / "bounding_box_train").glob("*_01.jpg"))):
        if number % 4 != (number // 4) % 4:
            path.unlink()
    error = passerby(*new_run(f"market1501:{market}", tmp_path / "run")).error
    assert "each of 12 training identities has one image" in error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("cache", ["always", "never"])
@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("keep", [0, 200])
def test_a_truncated_image_stops_the_training_and_is_named(passerby, tmp_path, market, cache, workers, keep):
    damaged = sorted((market / "bounding_box_train").glob("*.jpg"))[5]
    damaged.write_bytes(damaged.read_bytes()[:keep])
    more = ("--set", f"batches.cache={cache}", "--set", f"batches.workers={workers}")
    output = passerby(*new_run(f"market1501:{market}", tmp_path / "run", *more))
    error = output.err.splitlines()[-1]
    assert (output.code, output.out) == (1, "")
    assert error.startswith("error ")
    assert str(damaged) in error
    assert "Traceback" not in output.err


def test_an_image_that_is_far_too_large_is_named(passerby, tmp_path, market):
    """A bomb: a few kilobytes that would become 2.7 gigabytes."""
    damaged = sorted((market / "bounding_box_train").glob("*.jpg"))[5]
    Image.new("1", (30_000, 30_000)).save(damaged, format="png")
    assert str(damaged) in passerby(*new_run(f"market1501:{market}", tmp_path / "run")).error


def test_an_existing_run_is_not_touched(passerby, tiny_run):
    before = snapshot(tiny_run)
    assert (
        "already holds a run; continue it with `passerby train --resume" in passerby(*new_run(SIMPLE, tiny_run)).error
    )
    assert snapshot(tiny_run) == before


def test_a_file_that_a_run_would_overwrite_is_not_touched(passerby, tmp_path):
    (tmp_path / "recipe.yaml").write_text("mine")
    assert "recipe.yaml: is in the way of a new run" in passerby(*new_run(SIMPLE, tmp_path)).error
    assert (tmp_path / "recipe.yaml").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(passerby, tmp_path):
    (tmp_path / "file").write_text("in the way")
    error = passerby(*new_run(SIMPLE, tmp_path / "file" / "run")).error
    assert error == f"{tmp_path}/file/run: cannot be created ({tmp_path}/file is no folder); name another folder"


def test_a_spoilt_checkpoint_is_named_and_kept(passerby, tiny_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "model.safetensors").unlink()
    checkpoint = run / "checkpoints" / "last.safetensors"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    before = snapshot(run)
    error = passerby("train", "--resume", run, "--device", "cpu").error
    assert error.startswith(f"checkpoint {checkpoint}: not a checkpoint of passerby")
    assert snapshot(run) == before


def test_run_stopped_while_saving_ends_with_the_same_model(passerby, tiny_run, tmp_path):
    """What a kill in the middle of saving leaves is swept out."""
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "model.safetensors").rename(run / ".model.safetensors.4711.part")
    output = passerby("train", "--resume", run, "--device", "cpu")
    assert output.code == 0, output.err
    assert "resumed at step 18" in output.err
    assert list(run.rglob(".*")) == []
    kept, again = load_file(tiny_run / "model.safetensors"), load_file(run / "model.safetensors")
    assert kept.keys() == again.keys()
    assert all((kept[key] == again[key]).all() for key in kept)


def test_a_folder_with_other_files_is_refused_and_stays_as_it_was(passerby, tmp_path):
    (tmp_path / "query").mkdir()
    assert passerby(*new_run(SIMPLE, tmp_path)).error == (
        f"{tmp_path}: holds other files, such as query; a run needs a new or empty folder: give another --out"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["query"]
