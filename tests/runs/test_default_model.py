"""The default model: made by one call, whitened, half the size, and a card that counts every query once."""

import json
import shlex

import numpy as np
import pytest
import torch

from conftest import TINY
from passerby import load
from passerby.data.datasets import load_data
from passerby.data.images import read_image
from passerby.errors import RecipeError, TrainingError
from passerby.model.whiten import whiten
from passerby.recipe import load_recipe
from passerby.runs.default_model import pack, train_default
from passerby.runs.evaluate import evaluate
from passerby.runs.model_card import FACTS, groups

DATA = "synth:identities=44,cameras=2,images=2,seed=3,test=20,height=64"
OTHERS = "synth:identities=12,cameras=2,images=2,seed=4,test=1,height=64"
WHITENING = "synth:identities=16,cameras=2,images=2,seed=5,test=1,height=64"
SETS = {"data": DATA, "whitening": WHITENING, "calibration": OTHERS}
FEW = [setting for setting in TINY if not setting.startswith("model.pretrained")]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("default") / "run"
    return out, train_default(out, **SETS, overrides=[*FEW, "model.last_stride=2"], device="cpu")


def test_the_shipped_model_makes_the_runs_vectors_whitened_and_is_half_as_large(made):
    """Oracle: the run's own network, whitened here by the images of the people that are named."""
    run, shipped = made
    (data,), (others,) = load_data(DATA), load_data(WHITENING)
    whole = load(run)
    plain = whole.embed(data.query)
    pixels = torch.stack([torch.from_numpy(read_image(sample, size=(64, 32))) for sample in others.train])
    mean, std = (torch.tensor(getattr(whole.preprocessing, name)).view(3, 1, 1) for name in ("mean", "std"))
    whiten(whole.network, [(pixels.permute(0, 3, 1, 2) / 255 - mean) / std], [s.person_id for s in others.train])
    expected, small = whole.embed(data.query), load(shipped).embed(data.query)
    np.testing.assert_allclose(small, expected, atol=5e-3)
    assert 0 < np.abs(small - expected).max() < 0.2 * np.abs(expected - plain).max()
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (run, shipped)]
    assert sizes[1] < 0.6 * sizes[0]
    manifest = json.loads((shipped / "manifest.json").read_text())
    assert (manifest["data"], manifest["identities"], manifest["trained_identities"]) == (DATA, 0, 24)
    assert manifest["whitening"] == WHITENING
    fitted_on = json.loads((shipped / "calibration.json").read_text())["fitted_on"]
    assert (fitted_on["data"], fitted_on["identities"], fitted_on["trained_on"]) == (OTHERS, 11, False)


def test_the_card_tells_every_query_once_for_each_fact(made, tmp_path):
    """Oracle: group sizes and means that add up to the evaluation's own figures."""
    run, shipped = made
    (result,) = evaluate(shipped, out=tmp_path / "scores", device="cpu")
    found = groups(result)
    card = (shipped / "MODEL_CARD.md").read_text()
    assert f"mAP {100 * result.scores.mAP:.1f} %" in card
    assert WHITENING in card
    assert "no picture of a real person" in card
    (line,) = (line for line in card.splitlines() if line.startswith("Made by "))
    words = shlex.split(line.split("`")[1])
    changes = [words[place + 1] for place, word in enumerate(words) if word == "--set"]
    assert words[:7] == ["passerby", "synth", "train-default", "--out", "RUN", "--data", DATA]
    assert load_recipe("default", overrides=changes) == load_recipe(run / "recipe.yaml")
    for group in found:
        assert f"| {group.name} | {group.queries:,} | {group.people:,} |" in card
        assert group.interval[0] <= group.mAP <= group.interval[1]
    whole = [fact for fact in FACTS if sum(g.queries for g in found if g.fact == fact) == result.scores.valid_queries]
    assert whole  # other facts have groups too small for a line
    for fact in whole:
        mine = [group for group in found if group.fact == fact]
        mean = sum(group.queries * group.mAP for group in mine) / result.scores.valid_queries
        assert mean == pytest.approx(result.scores.mAP)


def test_a_run_on_other_people_is_not_packed(made, tiny_run, tmp_path):
    with pytest.raises(TrainingError, match=r"was trained on synth:.*, not on .*; only rendered people are shipped"):
        pack(tiny_run, tmp_path / "out", data=DATA)
    assert not (tmp_path / "out").exists()


def test_a_finished_one_is_only_packed_again(made):
    run, shipped = made
    before = (shipped / "model.safetensors").read_bytes()
    lines = []
    assert train_default(run, **SETS, device="cpu", say=lines.append) == shipped
    assert any("already finished" in line for line in lines)
    assert (shipped / "model.safetensors").read_bytes() == before
    with pytest.raises(RecipeError, match=r"holds a run already, which goes on as it was started; leave out --set"):
        train_default(run, data=DATA, overrides=["schedule.epochs=9"], device="cpu")
