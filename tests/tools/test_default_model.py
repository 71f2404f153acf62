"""Build of the default model. Oracles: the run's own network whitened here; the metrics of its evaluation."""

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from conftest import TINY, logged
from passerby import load
from passerby.data.datasets import load_data
from passerby.data.images import read_image
from passerby.errors import RecipeError, TrainingError
from passerby.recipe import load_recipe
from passerby.runs.evaluate import evaluate
from passerby.runs.train import train
from passerby.runtime.file_model import find_exported
from tools.default_model.build import build_continued, build_default_model, pack
from tools.default_model.card import ATTRIBUTES, group_queries
from tools.default_model.whitening import whiten_reductions

DATA = "synth:identities=44,cameras=2,images=2,seed=3,test=20,height=64"
OTHERS = "synth:identities=12,cameras=2,images=2,seed=4,test=1,height=64"
WHITENING = "synth:identities=16,cameras=2,images=2,seed=5,test=1,height=64"
SETS = {"data": DATA, "whitening": WHITENING, "calibration": OTHERS}
FEW = [setting for setting in TINY if not setting.startswith("model.pretrained")]


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    out = tmp_path_factory.mktemp("default") / "run"
    return out, build_default_model(out, **SETS, overrides=[*FEW, "model.last_stride=2"], device="cpu")


def test_the_shipped_model_returns_the_whitened_vectors_of_the_run_at_half_the_size(build):
    """Oracle: the run's own network, whitened here with the named data set."""
    run, shipped = build
    (data,), (others,) = load_data(DATA), load_data(WHITENING)
    whole = load(run)
    plain = whole.embed(data.query)
    pixels = torch.stack([torch.from_numpy(read_image(sample, size=(64, 32))) for sample in others.train])
    mean, std = (torch.tensor(getattr(whole.preprocessing, name)).view(3, 1, 1) for name in ("mean", "std"))
    whiten_reductions(
        whole.network, [(pixels.permute(0, 3, 1, 2) / 255 - mean) / std], [s.person_id for s in others.train]
    )
    expected, small = whole.embed(data.query), load(shipped).embed(data.query)
    np.testing.assert_allclose(small, expected, atol=5e-3)
    assert 0 < np.abs(small - expected).max() < 0.2 * np.abs(expected - plain).max()
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (run, shipped)]
    assert sizes[1] < 0.6 * sizes[0]
    manifest = json.loads((shipped / "manifest.json").read_text())
    assert (manifest["data"], manifest["identities"], manifest["trained_identities"]) == (DATA, 0, 24)
    assert manifest["whitening"] == WHITENING
    assert find_exported(shipped, manifest) == shipped / "model.onnx"
    fitted_on = json.loads((shipped / "calibration.json").read_text())["fitted_on"]
    assert (fitted_on["data"], fitted_on["identities"], fitted_on["trained_on"]) == (OTHERS, 11, False)


def test_the_card_counts_every_query_once_per_attribute(build, tmp_path):
    """Oracle: group sizes and means that add up to the metrics of the evaluation."""
    run, shipped = build
    (result,) = evaluate(shipped, out=tmp_path / "scores", device="cpu")
    groups = group_queries(result)
    card = (shipped / "MODEL_CARD.md").read_text()
    assert f"mAP {100 * result.scores.mAP:.1f} %" in card
    assert WHITENING in card
    assert "No image of a real person" in card
    (line,) = (line for line in card.splitlines() if line.startswith("Built by "))
    words = shlex.split(line.split("`")[1])
    changes = [words[index + 1] for index, word in enumerate(words) if word == "--set"]
    assert words[:7] == ["python", "-m", "tools.default_model", "--out", "RUN", "--data", DATA]
    assert load_recipe("default", overrides=changes) == load_recipe(run / "recipe.yaml")
    for group in groups:
        assert f"| {group.value} | {group.queries:,} | {group.identities:,} |" in card
        assert group.interval[0] <= group.mAP <= group.interval[1]
    by_attribute = {name: [group for group in groups if group.attribute == name] for name in ATTRIBUTES}
    valid = result.scores.valid_queries
    complete = [members for members in by_attribute.values() if sum(group.queries for group in members) == valid]
    assert complete  # the other attributes have groups that are too small for a row
    for members in complete:
        mean = sum(group.queries * group.mAP for group in members) / valid
        assert mean == pytest.approx(result.scores.mAP)


def test_a_run_on_other_data_is_refused(build, tiny_run, tmp_path):
    with pytest.raises(
        TrainingError, match=r"was trained on synth:.*, not on .*; only models of rendered images are shipped"
    ):
        pack(tiny_run, tmp_path / "out", data=DATA)
    assert not (tmp_path / "out").exists()


def test_the_weights_of_the_last_training_that_continues_a_model_are_built(build, tmp_path):
    """Oracle: the tensors of the run in half precision, and the scores of the evaluation on the card."""
    _, first = build
    recipe = load_recipe("default", overrides=[*FEW, "model.last_stride=2", f"model.weights={first}"])
    train(recipe, OTHERS, tmp_path / "more", device="cpu")
    sets = {"data": DATA, "calibration": OTHERS}
    shipped = build_continued(tmp_path / "built", first, [tmp_path / "more"], **sets, device="cpu")
    one, two, built = (load_file(folder / "model.safetensors") for folder in (first, tmp_path / "more", shipped))
    assert set(built) == set(one)
    for key, value in built.items():
        np.testing.assert_allclose(value.double(), two[key].double(), rtol=1e-3, atol=1e-7)
    assert not all(torch.equal(one[key], built[key]) for key in one)
    manifest = json.loads((shipped / "manifest.json").read_text())
    (run,) = manifest["continued_on"]
    assert (run["data"], run["trained_identities"]) == (OTHERS, 11)
    assert str(tmp_path) not in (shipped / "manifest.json").read_text()
    card = (shipped / "MODEL_CARD.md").read_text()
    (result,) = evaluate(shipped, DATA, out=tmp_path / "scores", device="cpu")
    assert f"mAP {100 * result.scores.mAP:.1f} %" in card
    assert "The training was continued, not whitened again, on" in card
    assert f"--first FIRST/shipped --data {DATA} --continued RUN1" in card
    assert find_exported(shipped, manifest) == shipped / "model.onnx"
    toned = build_continued(tmp_path / "toned", shipped, [], overrides=["model.tone_gamma=0.9"], **sets, device="cpu")
    changed = json.loads((toned / "manifest.json").read_text())
    assert changed["continued_on"] == [run]
    assert changed["model"] == manifest["model"] | {"tone_gamma": 0.9}
    assert (toned / "model.safetensors").read_bytes() == (shipped / "model.safetensors").read_bytes()
    assert "--set model.tone_gamma=0.9`" in (toned / "MODEL_CARD.md").read_text()


def test_a_continued_model_needs_runs_of_the_same_network_on_rendered_people(build, tiny_run, tmp_path):
    _, first = build
    with pytest.raises(TrainingError, match=r"expected a run of the network of .* on synth: data, which continues it"):
        build_continued(tmp_path / "out", first, [tiny_run])
    with pytest.raises(TrainingError, match=r"continued: no run and no setting; give one that continues"):
        build_continued(tmp_path / "out", first, [])
    with pytest.raises(RecipeError, match=r"overrides: got model.parts=2; expected .* model.attention, .*model.tone_"):
        build_continued(tmp_path / "out", first, [], overrides=["model.parts=2"])
    assert not (tmp_path / "out").exists()


def test_a_finished_run_is_only_packed_again(build):
    run, shipped = build
    before = (shipped / "model.safetensors").read_bytes()
    with logged() as lines:
        assert build_default_model(run, **SETS, device="cpu") == shipped
    assert any("already finished" in line for line in lines)
    assert (shipped / "model.safetensors").read_bytes() == before
    with pytest.raises(RecipeError, match=r"holds a run already, which is resumed unchanged; leave out --set"):
        build_default_model(run, data=DATA, overrides=["schedule.epochs=9"], device="cpu")


def test_the_command_refuses_an_unknown_setting_before_it_renders(tmp_path):
    command = [sys.executable, "-m", "tools.default_model", "--out", tmp_path / "run", "--set", "schedule.epoch=1"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 1
    assert "epochs" in process.stderr
    assert not (tmp_path / "run").exists()
