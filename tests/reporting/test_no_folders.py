"""Files that are published name no folder of this machine. Oracle: the working directory, in no text of theirs."""

import json
import os
import shutil

import passerby
from passerby.exporting.metadata import build_metadata
from passerby.reporting.report import report
from passerby.runs.evaluate import evaluate


def test_no_file_that_is_published_has_the_folder_of_the_data(workspace):
    """Every path is absolute, as typed: of data, an option, initial weights and a fused model."""
    here = os.getcwd()
    run = f"{here}/runs/m"
    shutil.copytree("people/bounding_box_test", "more")
    spec = f"market1501:{here}/people?distractors={here}/more"
    manifest = json.loads((workspace / "runs/m/manifest.json").read_text())
    manifest |= {"data": spec, "initial_weights": f"{here}/start.safetensors"}
    manifest["recipe"]["model"]["weights"] = f"{here}/start.safetensors"
    (workspace / "runs/m/manifest.json").write_text(json.dumps(manifest))
    shutil.copytree("runs/m", "runs/other")
    passerby.calibrate(run, spec, images=40, device="cpu")
    evaluate(run, spec, fuse=[f"{here}/runs/other"], device="cpu")
    page = report([run], workspace / "r.html", data=spec, images=False, device="cpu").page.read_text()
    scores, calibration = ((workspace / "runs/m" / name).read_text() for name in ("scores.json", "calibration.json"))
    embedder = passerby.load(run, device="cpu")
    metadata = build_metadata(embedder, run, precision="fp32", flip=False, certificate=_Certificate())
    for text in (page, scores, calibration, json.dumps(metadata)):
        assert here not in text
    assert "market1501:people?distractors=more" in scores
    assert "fused with other (reciprocal)" in scores
    assert json.loads(calibration)["fitted_on"]["data"] == "market1501:people?distractors=more"
    assert metadata["manifest"]["initial_weights"] == "start.safetensors"
    assert metadata["manifest"]["recipe"]["model"]["weights"] == "start.safetensors"


class _Certificate:
    def to_dict(self):
        return {}
