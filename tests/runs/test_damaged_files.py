"""Files of a run with wrong content. Oracle: an error of passerby, whatever the value."""

import contextlib

import pytest

import passerby
from mutation import damage_json
from passerby.errors import DataError, PasserbyError, WeightsError
from passerby.runs.evaluate import evaluate


@pytest.mark.timeout(120)
def test_mutated_manifests_are_loaded_or_refused(workspace):
    path = workspace / "runs" / "m" / "manifest.json"
    for text in damage_json(path.read_text(), 60, skip=("recipe", "versions", "titles")):
        path.write_text(text)
        with contextlib.suppress(WeightsError):
            passerby.load("runs/m")


@pytest.mark.timeout(120)
def test_mutated_calibrations_are_loaded_or_refused(workspace):
    path = workspace / "runs" / "m" / "calibration.json"
    for text in damage_json(path.read_text(), 80):
        path.write_text(text)
        with contextlib.suppress(DataError):
            passerby.load_calibration("runs/m").probability([0.0, 1.0])


@pytest.mark.parametrize("text", ["[]", "{}", '{"evaluations": 3}', '{"evaluations": [1]}', "{cut", '{"Rank-1": 0.9}'])
def test_a_foreign_scores_file_is_refused_before_the_work(workspace, text):
    (workspace / "out").mkdir()
    (workspace / "out" / "scores.json").write_text(text)
    with pytest.raises(DataError, match=r"out/scores\.json: (no metrics of passerby|cannot be read)"):
        evaluate("runs/m", out="out", device="cpu")
    assert (workspace / "out" / "scores.json").read_text() == text


def test_a_network_file_in_place_of_a_run_is_named(workspace):
    """Its recipe is missing, and it has no folder for the results."""
    (workspace / "m.onnx").touch()
    for command in (
        lambda: evaluate("m.onnx"),
        lambda: passerby.calibrate("m.onnx"),
        lambda: passerby.find_threshold("m.onnx", far=0.1),
        lambda: passerby.report(["m.onnx"], "report.html"),
    ):
        with pytest.raises(WeightsError, match=r"m\.onnx: expected the folder of a run .* import m\.onnx --out DIR`"):
            command()


def test_a_foreign_log_is_refused(workspace):
    (workspace / "runs" / "m" / "log.jsonl").write_text('{"loss": 3}\n')
    (workspace / "runs" / "m" / "model.safetensors").unlink()
    with pytest.raises(PasserbyError, match=r"log\.jsonl: not a log of passerby"):
        passerby.resume("runs/m", device="cpu")
