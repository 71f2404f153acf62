"""Exported files that are imported as runs. Oracles: the exported file itself, and the run that it was made from."""

import hashlib
import json
import re

import numpy as np
import onnx
import pytest

import passerby
from conftest import SIMPLE, once_per_run
from passerby.errors import DataError, WeightsError
from passerby.exporting.export_model import export_model
from passerby.gallery.embedding_model import load_model, read_calibration, record_model
from passerby.model.open_model import ModelFiles
from passerby.runtime.file_model import write_map


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    """The tiny run as a file by (format, precision, flip), exported once per test run."""
    (data,) = passerby.load_data(SIMPLE)

    def get(to, precision, *, flip):
        return once_per_run(
            tmp_path_factory,
            f"exported/{to}-{precision}-{flip}/m{'.onnx' if to == 'onnx' else '.xml'}",  # as in test_export_model.py
            lambda path: export_model(
                tiny_run, path, to=to, precision=precision, flip=flip, images=data.root / "query"
            ),
        )

    return get


@pytest.mark.parametrize(
    ("to", "precision", "flip"), [("onnx", "fp32", False), ("openvino", "fp32", True), ("onnx", "int8", False)]
)
def test_a_run_has_the_vectors_of_the_file_and_needs_no_option(to, precision, flip, exported, tiny_run, tmp_path):
    file = exported(to, precision, flip=flip)
    imported = passerby.import_model(file, tmp_path / "run")
    direct = passerby.load(file)
    assert (imported.family, imported.precision, imported.flip) == ("passerby", precision, flip)
    assert imported.accuracy == direct.exported["certificate"]["accuracy"]
    run = passerby.load(tmp_path / "run")
    images = np.random.default_rng(0).integers(0, 256, (5, *run.preprocessing.size, 3), dtype=np.uint8)
    assert np.array_equal(run.embed(images), direct.embed(images))
    assert run.encoder.precision == precision
    assert run.encoder.mirrors == flip
    assert record_model(run) == record_model(direct)
    same = record_model(run).weights == record_model(passerby.load(tiny_run, runtime="torch")).weights
    assert same == (precision == "fp32")
    assert read_calibration(str(tmp_path / "run")) == direct.exported["calibration"]
    (result,) = passerby.evaluate(tmp_path / "run", SIMPLE)
    assert 0 < result.scores.mAP <= 1


def test_metrics_of_an_int8_file_name_its_certificate(exported, tmp_path, capsys):
    """The file was exported without a check on real people; the title is in tables and report pages."""
    from passerby.cli.tables import print_results

    passerby.import_model(exported("onnx", "int8", flip=False), tmp_path / "run")
    (result,) = passerby.evaluate(tmp_path / "run", SIMPLE)
    assert result.title.endswith(", int8, accuracy not verified")
    (entry,) = json.loads((tmp_path / "run" / "scores.json").read_text())["evaluations"]
    assert (entry["precision"], entry["accuracy"]) == ("int8", "not verified")
    print_results([result], as_json=False, root=tmp_path)
    assert "accuracy not verified: the file was not compared with its model on real people" in capsys.readouterr().out
    passerby.import_model(exported("onnx", "fp32", flip=False), tmp_path / "exact")
    (exact,) = passerby.evaluate(tmp_path / "exact", SIMPLE)
    assert (exact.accuracy, exact.title) == ("by cosine", exact.data.title)
    assert "accuracy" not in exact.to_dict()


def test_the_training_data_are_known(exported, tiny_run, tmp_path):
    passerby.import_model(exported("onnx", "fp32", flip=False), tmp_path / "run")
    fitted = passerby.calibrate(tmp_path / "run", SIMPLE).fitted_on
    assert fitted.trained_on == passerby.calibrate(tiny_run, SIMPLE, device="cpu").fitted_on.trained_on is True


def test_runtimes_name_the_precision_of_the_file(exported, tmp_path, monkeypatch):
    monkeypatch.setattr("passerby.model.runtimes._SECONDS", 0.1)
    passerby.import_model(exported("onnx", "int8", flip=False), tmp_path / "run")
    for model in (tmp_path / "run", exported("onnx", "int8", flip=False)):
        assert ModelFiles(model).list_runtimes() == (("onnx", "fp32"),)  # the precision that is asked for
        table = passerby.model_runtimes(model)
        assert [(row.runtime, row.precision) for row in table.rows] == [("onnx", "int8")]
        assert table.choose("int8") is not None


def test_a_map_of_adapt_is_applied_after_the_file(exported, tmp_path):
    """As `passerby adapt` writes it."""
    folder = tmp_path / "run"
    passerby.import_model(exported("onnx", "int8", flip=False), folder)
    before = passerby.load(folder)
    images = np.random.default_rng(0).integers(0, 256, (3, *before.preprocessing.size, 3), dtype=np.uint8)
    linear = np.random.default_rng(1).standard_normal((before.width, before.width)).astype(np.float32)
    content = write_map(linear)
    (folder / "map.npy").write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["model"]["map"] = hashlib.sha256(content).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    adapted = passerby.load(folder)
    expected = before.embed(images, flip=False) @ linear.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert adapted.embed(images, flip=False) == pytest.approx(expected, abs=1e-5)
    assert record_model(adapted).weights != record_model(before).weights


def test_options_that_the_file_answers_are_refused(exported, tmp_path):
    with pytest.raises(WeightsError, match=r"was written by `passerby model export` .*; leave out size, output"):
        passerby.import_model(exported("onnx", "fp32", flip=False), tmp_path / "run", size=(64, 32), output="embedding")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "its description cannot be read"), ('{"format": 9}', "format is 9, this version reads 1")],
)
def test_a_damaged_description_is_named(text, message, exported, tmp_path):
    model = onnx.load(exported("onnx", "fp32", flip=False))
    (entry,) = [entry for entry in model.metadata_props if entry.key == "passerby"]
    entry.value = text
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(WeightsError, match=message):
        passerby.import_model(tmp_path / "m.onnx", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def _drop(calibration):
    del calibration["log_ratios"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_drop, "calibration: file lacks log_ratios; was the file written by passerby?"),
        (lambda tree: tree.update(format=7), "calibration: format 7, this version reads 1; calibrate again"),
        (lambda tree: tree.update(metric="angle"), "calibration: metric is 'angle', expected one of cosine"),
        (lambda tree: tree["log_ratios"].reverse(), "expected ascending distances and log_ratios that do not increase"),
        (lambda tree: tree["distances"].pop(), "expected as many"),
        (lambda tree: tree["fitted_on"].update(images="9"), "calibration: fitted_on.images is '9', expected int"),
        (lambda tree: tree.update(identification={"slope": -1.0, "offset": 0.0}), "slope is -1.0, expected at least 0"),
    ],
)
def test_a_damaged_calibration_in_the_description_is_named(damage, message, exported, tmp_path):
    """As in the `calibration.json` of a run: import and a gallery refuse the file, which still embeds images."""
    model = onnx.load(exported("onnx", "fp32", flip=False))
    (entry,) = [entry for entry in model.metadata_props if entry.key == "passerby"]
    content = json.loads(entry.value)
    damage(content["calibration"])
    entry.value = json.dumps(content)
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    for read in (lambda: passerby.import_model(path, tmp_path / "run"), lambda: load_model(str(path), "cpu")):
        with pytest.raises(DataError, match=re.escape(message)) as caught:
            read()
        assert str(caught.value).startswith(f"{path}: ")
        assert str(caught.value).endswith("; export the model again")
    assert not (tmp_path / "run" / "manifest.json").exists()
    assert passerby.load(path).width > 0


def test_the_command_prints_what_the_file_states(exported, tmp_path):
    from typer.testing import CliRunner

    from passerby.cli.model import app

    file = exported("openvino", "fp32", flip=True)
    printed = CliRunner().invoke(app, ["import", str(file), "--out", str(tmp_path / "run")])
    assert printed.exit_code == 0, printed.output
    for text in ("averaged inside", "fp32", "by cosine", "passerby model export", "output embedding", "bicubic", "rgb"):
        assert text in printed.output
