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


def test_training_calibration_is_marked_trained_on(tiny_run):
    calibration = package.load_calibration(tiny_run)
    assert calibration.method == "logistic"
    assert calibration.fitted_on.trained_on
    assert calibration.fitted_on.same > 0 < calibration.fitted_on.different
    near, far = calibration.probability([0.0, 2.0])
    assert 1 > near >= 0.5 >= far > 0
    assert calibration.probability(0.0, prior=0.001) < near


def test_other_data_and_method_replace_the_calibration(passerby, run):
    other = "synth:identities=20,cameras=2,images=2,seed=77"
    output = passerby("calibrate", run, "--data", other, "--method", "isotonic", "--device", "cpu", "--json")
    assert output.code == 0, output.err
    printed = json.loads(output.out)["calibration"]
    assert printed == json.loads((run / "calibration.json").read_text())
    assert (printed["method"], printed["fitted_on"]["data"]) == ("isotonic", other)


def test_output_states_the_data_of_the_fit(passerby, run):
    output = passerby("calibrate", run, "--device", "cpu")
    assert output.code == 0, output.err
    assert "calibration.json: logistic, fitted to" in output.out
    assert "over-confident" in output.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "platt"], "method: got 'platt', expected one of logistic, isotonic"),
        (["--data", "market1501:/no/where"], "/no/where"),
    ],
)
def test_failed_fit_keeps_the_old_calibration(passerby, run, words, message):
    before = (run / "calibration.json").read_bytes()
    assert message in passerby("calibrate", run, "--device", "cpu", *words).error
    assert (run / "calibration.json").read_bytes() == before


def test_a_spoiled_calibration_is_named(passerby, run):
    (run / "calibration.json").write_text('{"format": 99}')
    assert "calibration.json: calibration: file lacks" in passerby("evaluate", run, "--device", "cpu").error


def test_resuming_a_finished_run_keeps_a_later_calibration(passerby, run):
    other = "synth:identities=20,cameras=2,images=2,seed=77"
    assert passerby("calibrate", run, "--data", other, "--device", "cpu").code == 0
    content = (run / "calibration.json").read_bytes()
    output = passerby("train", "--resume", run, "--device", "cpu")
    assert output.code == 0, output.err
    assert (run / "calibration.json").read_bytes() == content
