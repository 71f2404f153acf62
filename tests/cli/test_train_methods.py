"""The recipe of each method by `passerby train`. Oracles: the log, a second evaluation, and vectors after loading."""

import json

import numpy as np
import pytest

import passerby as library
from conftest import SIMPLE
from passerby.data.datasets import load_data
from passerby.training.log import read_log
from training_checks import SMALL

QUICK = (*SMALL, "schedule.epochs=1", "schedule.warmup_epochs=0", "training.threads=1", "evaluation.bootstrap=0")
METHODS = {"ianet": (), "cama": (), "mhn": ("model.orders=2", "model.part_dim=16")}
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
