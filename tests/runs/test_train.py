"""Whole runs on drawn people. Oracles: the files promised in docs, an unbroken run, one process."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import passerby
from conftest import SIMPLE, TINY, tiny_recipe
from passerby.errors import DataError, TrainingError
from passerby.runs.evaluate import evaluate
from passerby.runs.train import resume, train
from passerby.training.log import read_log


def command(*arguments, processes=1):
    """The command line as a subprocess; several processes under torch's own launcher."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    return [sys.executable, *launcher, "-m", "passerby", "train", *arguments]


def start(out, *overrides):
    chosen = [word for override in (*TINY, *overrides) for word in ("--set", override)]
    return ["--recipe", "convnext-ap", "--data", SIMPLE, "--out", str(out), "--device", "cpu", *chosen]


def test_a_run_leaves_what_it_promises(tiny_run):
    left = {str(path.relative_to(tiny_run)) for path in tiny_run.rglob("*") if path.is_file()}
    figures = next((tiny_run / "figures").glob("simple*")).relative_to(tiny_run)
    promised = {"model.safetensors", "manifest.json", "recipe.yaml", "scores.json", "log.jsonl"}
    promised |= {"checkpoints/last.safetensors", "figures/learning-rate.png", "figures/losses.png"}
    promised |= {str(figures / name) for name in ("cmc.png", "cmc.svg", "ranks-worst.png", "ranks-best.png")}
    assert promised <= left
    assert any(name.startswith("tensorboard/events") for name in left)

    scores = json.loads((tiny_run / "scores.json").read_text())["evaluations"]
    assert len(scores) == 1
    facts = {"data", "fingerprint", "protocol", "ap", "flip", "valid_queries", "queries", "gallery", "intervals", "mAP"}
    assert facts <= scores[0].keys()
    manifest = json.loads((tiny_run / "manifest.json").read_text())
    assert (manifest["identities"], manifest["seed"], manifest["data"]) == (12, 0, SIMPLE)
    assert {"torch", "timm", "python"} <= manifest["versions"].keys()
    assert [record["step"] for record in read_log(tiny_run / "log.jsonl")] == list(range(1, 19))


def test_the_loaded_model_embeds_what_was_evaluated(tiny_run):
    result = evaluate(tiny_run, device="cpu")[0]
    vectors = passerby.load(tiny_run).embed(result.data.query[:5])
    np.testing.assert_allclose(vectors, result.query.vectors[:5], atol=1e-6)
    scores = passerby.score(result.query, result.gallery)
    assert (scores.rank1, scores.mAP) == (result.scores.rank1, result.scores.mAP)


def test_another_data_set_and_rule_are_added_to_the_scores(tiny_run, tmp_path):
    run = tmp_path / "copy"
    subprocess.run(["cp", "-r", str(tiny_run), str(run)], check=True)
    before = json.loads((run / "scores.json").read_text())["evaluations"]
    evaluate(run, "simple:identities=10,cameras=2,images=2,seed=5", ap="trapezoid", device="cpu")
    evaluate(run, protocol="single-gallery-shot", flip=False, device="cpu")
    evaluate(run, device="cpu")
    after = json.loads((run / "scores.json").read_text())["evaluations"]
    assert [(entry["ap"], entry["protocol"], entry["flip"]) for entry in after] == [
        ("step", "market", True),
        ("trapezoid", "market", True),
        ("step", "single-gallery-shot", False),
    ]
    assert after[0] == before[0]


def test_scores_on_the_way_are_logged(tmp_path):
    said = []
    train(tiny_recipe("training.evaluate_every=2"), SIMPLE, tmp_path / "run", device="cpu", say=said.append)
    scored = [record for record in read_log(tmp_path / "run" / "log.jsonl") if "scores" in record]
    assert [record["epoch"] for record in scored] == [1]
    assert set(scored[0]["scores"]) == {"simple/rank1", "simple/mAP"}
    assert said[0].startswith("epoch 2: simple")


def test_a_run_is_not_overwritten(tiny_run):
    before = {path: path.read_bytes() for path in tiny_run.rglob("*") if path.is_file()}
    with pytest.raises(TrainingError, match="already holds a run; continue it with --resume"):
        train(tiny_recipe(), SIMPLE, tiny_run, device="cpu")
    assert before == {path: path.read_bytes() for path in tiny_run.rglob("*") if path.is_file()}


def test_no_run_cannot_be_resumed(tmp_path):
    with pytest.raises(TrainingError, match=r"no run here \(no manifest\.json\)"):
        resume(tmp_path)


def test_one_camera_is_found_out_before_the_training(tmp_path):
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
                    colour = (60 * person, 100 * camera, 20 * number + len(split))
                    Image.new("RGB", (32, 64), colour).save(path)
    with pytest.raises(DataError, match=r"no query has its person in the gallery in another camera.*1 camera\)"):
        train(tiny_recipe(), f"folder:{tmp_path / 'people'}", tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()


@pytest.mark.timeout(600)
def test_kill_9_at_any_moment_costs_nothing(tiny_run, tmp_path):
    """Oracle: `tiny_run`, which nobody killed: the same weights to the bit, and every step logged once."""
    moments = random.Random(0)
    out = tmp_path / "killed"
    arguments, kills = start(out, "training.checkpoint_minutes=1e-9"), 0
    while not (out / "model.safetensors").exists():
        process = subprocess.Popen(command(*arguments), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        goal = _steps(out) + moments.randint(1, 7)
        while kills < 3 and process.poll() is None and _steps(out) < goal:
            time.sleep(0.01)
        if kills < 3 and process.poll() is None:
            time.sleep(moments.random() * 0.2)  # anywhere in a step, or in the writing of a checkpoint
            process.send_signal(signal.SIGKILL)
            kills += 1
        _, complaint = process.communicate()
        assert process.returncode in {0, -signal.SIGKILL}, complaint
        arguments = ["--resume", str(out), "--device", "cpu"]
    assert kills == 3
    unbroken, killed = load_file(tiny_run / "model.safetensors"), load_file(out / "model.safetensors")
    assert unbroken.keys() == killed.keys()
    assert all(np.array_equal(value, killed[key]) for key, value in unbroken.items())
    assert [record["step"] for record in read_log(out / "log.jsonl")] == list(range(1, 19))


def _steps(out: Path) -> int:
    return len(read_log(out / "log.jsonl"))


@pytest.mark.timeout(600)
def test_two_processes_learn_what_one_learns(tmp_path):
    """Oracle: one process with the same global batch. Sums run in another order: 1e-3 relative after nine steps."""
    # Plain SGD: Adam divides by gradients' size, which blows rounding up where a gradient is almost zero.
    same = ("model.drop_path=0", "optimiser.name=sgd", "optimiser.backbone_scale=1", "schedule.lr_max=1e-2")
    curves, weights = [], []
    for processes in (1, 2):
        out = tmp_path / f"on{processes}"
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            command(*start(out, *same), "--json", processes=processes),
            capture_output=True, text=True, env=environment, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["evaluations"][0]["valid_queries"] > 0
        curves.append([record["losses"]["circle"] for record in read_log(out / "log.jsonl")])
        weights.append(load_file(out / "model.safetensors"))
    assert len(curves[0]) == 18
    assert curves[1] == pytest.approx(curves[0], rel=1e-3)
    for key, value in weights[0].items():
        np.testing.assert_allclose(weights[1][key], value, rtol=1e-2, atol=1e-4, err_msg=key)
