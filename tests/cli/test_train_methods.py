"""The recipe of each method by `passerby train`. Oracles: the log, a second evaluation, and vectors after loading."""

import json
import shutil

import numpy as np
import pytest

import passerby as library
from conftest import SIMPLE
from passerby.data.datasets import load_data
from passerby.training.log import read_log
from training_checks import SMALL

QUICK = (*SMALL, "schedule.epochs=1", "schedule.warmup_epochs=0", "training.threads=1", "evaluation.bootstrap=0")
METHODS = {
    "dgnet": ("model.generator_width=4",),
    "ianet": (),
    "cbn": (),
    "cama": (),
    "mhn": ("model.orders=2", "model.part_dim=16"),
    "glad": ("model.part_dim=16",),
    "maskreid": (),
    "spreid": (),
    "horeid": (),
}
"""Recipes and further settings of each."""


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_is_trained_evaluated_and_loaded(name, passerby, tmp_path):
    run, (data,) = tmp_path / "run", load_data(SIMPLE)
    settings = [word for override in (*QUICK, *METHODS[name]) for word in ("--set", override)]
    words = ("--recipe", name, "--data", f"market1501:{data.root}", "--out", run, "--device", "cpu", *settings)
    output = passerby("train", *words)
    assert output.code == 0, output.err
    steps = [row for row in read_log(run / "log.jsonl") if "losses" in row]
    assert len(steps) == 6
    assert np.isfinite([step["losses"]["loss"] for step in steps]).all()

    trained = json.loads((run / "scores.json").read_text())["evaluations"]
    again = passerby("evaluate", run, "--out", tmp_path / "again", "--device", "cpu")
    assert again.code == 0, again.err
    assert json.loads((tmp_path / "again" / "scores.json").read_text())["evaluations"] == trained

    model = library.load(run)
    assert model.manifest["model"]["method"] == name
    vectors = model.embed(data.query)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("model.orders=3",), "recipe cbn: model: method cbn has no orders; it has method, backbone, pretrained"),
        (("model.method=mhn", "model.overlap_weight=1"), "model: method mhn has no overlap_weight"),
        (("model.method=cama", "model.activation_branches=1"), "activation_branches: expected an integer from 2 to 8"),
        (
            ("model.method=ianet", "model.backbone=osnet_x0_25", "model.last_stride=2"),
            "model.backbone: this method has",
        ),
    ],
)
def test_options_of_two_methods_and_impossible_ones_are_named(settings, message, passerby, tmp_path):
    words = [word for override in (*QUICK, *settings) for word in ("--set", override)]
    output = passerby("train", "--recipe", "cbn", "--data", SIMPLE, "--out", tmp_path / "run", *words)
    assert message in output.error
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_cbn_needs_known_cameras_and_two_of_them(passerby, tmp_path):
    words = [word for override in QUICK for word in ("--set", override)]
    (data,) = load_data(SIMPLE)

    def refuse(spec):
        return passerby("train", "--recipe", "cbn", "--data", spec, "--out", tmp_path / "run", *words).error

    assert "its cameras are unknown, and method cbn normalizes" in refuse(f"market1501:{data.root}?camera=none")
    for folder in ("bounding_box_train", "bounding_box_test", "query"):
        (tmp_path / "one" / folder).mkdir(parents=True)
    for sample in (*data.train, *data.query, *data.gallery):
        if sample.camera_id == 0:
            shutil.copy(sample.path, tmp_path / "one" / sample.path.parent.name)
    assert "from one camera only" in refuse(f"market1501:{tmp_path / 'one'}")
    assert not (tmp_path / "run").exists()
