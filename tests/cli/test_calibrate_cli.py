"""`passerby calibrate`. Oracle: `calibration.json`, and what the run was trained on."""

import json
import shutil

import pytest

import passerby as package


@pytest.fixture
def run(tiny_run, tmp_path):
    """A finished run that may be written to."""
    shutil.copytree(tiny_run, tmp_path / "run")
    return tmp_path / "run"


def test_training_leaves_a_calibration_that_says_it_is_over_confident(tiny_run):
    found = package.load_calibration(tiny_run)
    assert found.method == "logistic"
    assert found.fitted_on.trained_on
    assert found.fitted_on.same > 0 < found.fitted_on.different
    near, far = found.probability([0.0, 2.0])
    assert 1 > near >= 0.5 >= far > 0
    assert found.probability(0.0, prior=0.001) < near


def test_other_people_and_another_method_replace_it(passerby, run):
    other = "synth:identities=20,cameras=2,images=2,seed=77"
    said = passerby("calibrate", run, "--data", other, "--method", "isotonic", "--device", "cpu", "--json")
    assert said.code == 0, said.err
    made = json.loads(said.out)["calibration"]
    assert made == json.loads((run / "calibration.json").read_text())
    assert (made["method"], made["fitted_on"]["data"]) == ("isotonic", other)


def test_the_words_say_what_it_was_fitted_to(passerby, run):
    said = passerby("calibrate", run, "--device", "cpu")
    assert said.code == 0, said.err
    assert "calibration.json: logistic, fitted to" in said.out
    assert "over-confident" in said.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "platt"], "method: got 'platt', expected one of logistic, isotonic"),
        (["--data", "market1501:/no/where"], "/no/where"),
    ],
)
def test_what_cannot_be_fitted_leaves_the_old_one(passerby, run, words, message):
    before = (run / "calibration.json").read_bytes()
    assert message in passerby("calibrate", run, "--device", "cpu", *words).complaint
    assert (run / "calibration.json").read_bytes() == before


def test_a_spoiled_calibration_is_named(passerby, run):
    (run / "calibration.json").write_text('{"format": 99}')
    assert "calibration.json: calibration: file lacks" in passerby("evaluate", run, "--device", "cpu").complaint


def test_resuming_a_finished_run_keeps_the_calibration_that_was_made_since(passerby, run):
    other = "synth:identities=20,cameras=2,images=2,seed=77"
    assert passerby("calibrate", run, "--data", other, "--device", "cpu").code == 0
    made = (run / "calibration.json").read_bytes()
    said = passerby("train", "--resume", run, "--device", "cpu")
    assert said.code == 0, said.err
    assert (run / "calibration.json").read_bytes() == made
