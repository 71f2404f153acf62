"""The recipes for a GPU, whole, for four steps on small images from random weights. Oracle: the files of a run."""

import json

import pytest

from passerby.recipe import load_recipe
from passerby.runs.train import train
from passerby.training.log import read_log

FEW = "synth:identities=8,cameras=2,images=2,seed=3"
SMALL = (
    "model.pretrained=false",
    "images.size=[128, 64]",
    "batches.persons=2",
    "batches.images=2",
    "batches.workers=0",
    "schedule.epochs=1",
    "schedule.warmup_epochs=0",
    "schedule.lr_init=1e-5",
    "schedule.lr_max=1e-4",  # the paper's rates are for pretrained weights, after a warm-up
    "training.precision=fp32",
    "training.threads=1",
    "evaluation.bootstrap=0",
    "evaluation.flip=false",
    "evaluation.calibration=null",
)


@pytest.mark.parametrize(("name", "width"), [("convnext-ap", 6 * 256), ("convnext-ap-modern", 6 * 256 + 1024)])
def test_a_recipe_for_a_gpu_trains_and_is_scored(name, width, tmp_path):
    recipe = load_recipe(name, overrides=list(SMALL))
    (result,) = train(recipe, FEW, tmp_path / "run", device="cpu")
    assert result.query.vectors.shape[1] == width
    steps = read_log(tmp_path / "run" / "log.jsonl")
    assert len(steps) == 4
    assert {"identity", "circle"} <= steps[0]["losses"].keys()
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["model"]["backbone"].startswith("convnext_base.")
    assert manifest["recipe"]["name"] == name
