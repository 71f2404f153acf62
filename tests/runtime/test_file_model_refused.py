"""Files that cannot be run as models. Oracle: the message, and that nothing was written."""

import json
import math

import numpy as np
import pytest

import passerby
from passerby.errors import DataError, WeightsError
from passerby.importers.file_models import import_file_model
from passerby.model.open_model import ModelFiles
from runtime.exported_files import MEAN, METADATA, SIZE, STD, save_exported
from runtime.small_networks import save_color_map, save_constant, save_reshaped, save_vectors, save_with_data_beside
from runtime.test_networks import save_as_openvino


@pytest.mark.parametrize("changes", [{"flip": "no"}, {"precision": "int4"}, {"weights": None}])
def test_a_damaged_description_is_named(tmp_path, changes):
    """The types of all entries: test_file_metadata.py."""
    save_exported(tmp_path / "m.onnx", **changes)
    (key,) = changes
    with pytest.raises(WeightsError, match=rf"m\.onnx: its description cannot be read \({key} is .*export the model"):
        passerby.load(tmp_path / "m.onnx")


def test_a_damaged_file_beside_an_exported_one_is_not_believed(tmp_path):
    """Oracle: the description inside the file, int8 that is not interchangeable."""
    certificate = {**METADATA["certificate"], "interchangeable": False, "accuracy": "not verified"}
    save_exported(tmp_path / "m.onnx", precision="int8", certificate=certificate)
    for text in ("{", json.dumps({"precision": "fp32", "certificate": {"interchangeable": True}})):
        (tmp_path / "m.onnx.json").write_text(text)
        files = ModelFiles(tmp_path / "m.onnx")
        assert (files.file_precision, files.computes_alike) == ("int8", False)


def test_options_that_a_file_lacks_are_refused(tmp_path):
    save_exported(tmp_path / "m.onnx")
    path = tmp_path / "m.onnx"
    for options, message in (
        ({"runtime": "torch"}, r"m\.onnx: cannot be run by torch"),
        ({"runtime": "tensorrt"}, "runtime: got 'tensorrt', expected one of auto, torch, onnx, openvino"),
        ({"precision": "fp8"}, "precision: got 'fp8', expected one of fp32, bf16"),
        ({"device": "cuda"}, "runs on the CPU; device is 'cuda'"),
        ({"embedding": "full"}, "its embedding is fixed; 'full' needs a run"),
    ):
        with pytest.raises(WeightsError, match=message):
            passerby.load(path, **options)
    with pytest.raises(WeightsError, match=r"heatmaps, counts of parameters and training need a run"):
        _ = passerby.load(path).network


def test_files_that_cannot_be_models_are_refused_with_one_message(tmp_path):
    """Nothing is written for any of them."""
    save_constant(tmp_path / "two.onnx", np.zeros(3), inputs=2)
    save_color_map(tmp_path / "foreign.onnx", size=SIZE)
    save_color_map(tmp_path / "lacks.onnx", size=SIZE, operator="NoSuchOperator")
    save_color_map(tmp_path / "free.onnx", size=("height", "width"))
    save_with_data_beside(tmp_path / "beside.onnx")
    save_reshaped(tmp_path / "boxes.onnx", (1, 1, 4, 1536), size=SIZE)  # as SSD: (1, 1, boxes, 7)
    save_reshaped(tmp_path / "yolo.onnx", (1, 3, 2048), size=SIZE)
    save_reshaped(tmp_path / "gray.onnx", (1, 2048), size=SIZE, channels=1)
    (tmp_path / "cut.onnx").write_bytes((tmp_path / "foreign.onnx").read_bytes()[:200])
    known = {"mean": MEAN, "std": STD}
    for name, options, message in (
        ("two.onnx", known, "inputs images .*, other .*; expected one input"),
        ("foreign.onnx", {}, "has several outputs; name one of embedding, map"),
        ("foreign.onnx", {"output": "embedding"}, r"its preprocessing is not known; give mean and std"),
        ("free.onnx", {}, r"its preprocessing is not known; give mean and std"),
        ("boxes.onnx", {}, r"its output has 1 number for an image, as that of a detector; .* --detector FILE`"),
        ("yolo.onnx", {}, r"pixels has shape \(1, 3, 2048\) for 1 image, expected .*; a detector, for example, has"),
        ("foreign.onnx", known, "has several outputs; name one of embedding, map"),
        ("foreign.onnx", {**known, "output": "logits"}, "has no output 'logits'; name one of embedding, map"),
        (
            "foreign.onnx",
            {**known, "size": (32, 32), "output": "map"},
            r"input of shape \(any, 3, 64, 32\), expected \(batch, 3, 32, 32",
        ),
        (
            "foreign.onnx",
            {**known, "std": (1.0, 0.0, 1.0)},
            r"^std: got \(1.0, 0.0, 1.0\), expected 3 finite numbers above",
        ),
        ("foreign.onnx", {**known, "scale": -4.0}, "^scale: got -4.0, expected a finite number above 0$"),
        ("foreign.onnx", {**known, "scale": 0.0}, "^scale: got 0.0, expected a finite number above 0$"),
        ("foreign.onnx", {**known, "mean": (0.5, math.nan, 0.5)}, "^mean: got .*, expected 3 finite numbers$"),
        (
            "foreign.onnx",
            {**known, "size": (0, 32)},
            r"^size: got \(0, 32\), expected height and width, each of 1 to 4096",
        ),
        ("free.onnx", known, "takes images of any size; give that of its training, such as size 256x128"),
        ("lacks.onnx", known, r"uses the operator NoSuchOperator\S*, which onnxruntime \S+ lacks"),
        (
            "beside.onnx",
            known,
            r"its weights are in another file \(weights\.data\), which is not read; export it with external_data=False",
        ),
        ("boxes.onnx", known, r"its output has 1 number for an image, as that of a detector; .* --detector FILE`"),
        ("yolo.onnx", known, r"pixels has shape \(1, 3, 2048\) for 1 image, expected .*; a detector, for example, has"),
        (
            "gray.onnx",
            {**known, "size": SIZE},
            r"input of shape \(any, 1, 64, 32\), .*; export a network of color images",
        ),
        ("cut.onnx", known, "cannot be read as ONNX"),
        ("none.onnx", known, "no such file"),
    ):
        with pytest.raises((WeightsError, DataError), match=message) as caught:
            import_file_model(tmp_path / name, tmp_path / "run", **options)
        assert len(str(caught.value).splitlines()) == 1
        assert not (tmp_path / "run").exists()
    with pytest.raises(WeightsError, match=r"does not describe its preprocessing.*passerby model import"):
        passerby.load(tmp_path / "foreign.onnx")


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize(
    ("scale", "shift", "problem"),
    [
        (np.inf, -np.inf, "numbers that are not finite"),
        (np.inf, 0, "numbers that are not finite"),
        (0, 0, "zeros"),
        (0, 1, "the same numbers for different images"),
    ],
)
def test_a_file_whose_embeddings_are_useless_is_refused(tmp_path, suffix, scale, shift, problem):
    save_vectors(tmp_path / "m.onnx", scale=scale, shift=shift, size=SIZE)
    if suffix == ".xml":
        save_as_openvino(tmp_path / "m.onnx", tmp_path / "m.xml")
    runtime = {".onnx": "onnx", ".xml": "openvino"}[suffix]
    message = rf"m\{suffix}: run by {runtime}, its embedding of a test image holds {problem}; the output is no"
    with pytest.raises(WeightsError, match=message):
        import_file_model(tmp_path / f"m{suffix}", tmp_path / "run", mean=MEAN, std=STD)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changed", ["model.onnx", "model.xml", "model.bin"])
def test_a_file_that_was_changed_after_its_import_is_refused(changed, tmp_path):
    """An edited .xml computes something else with the same .bin."""
    save_vectors(tmp_path / "m.onnx", scale=1, shift=0, size=SIZE)
    save_as_openvino(tmp_path / "m.onnx", tmp_path / "m.xml")
    run = tmp_path / "run"
    import_file_model(tmp_path / ("m.onnx" if changed == "model.onnx" else "m.xml"), run, mean=MEAN, std=STD)
    assert passerby.load(run).width > 1
    (run / changed).write_bytes((run / changed).read_bytes() + b" ")
    with pytest.raises(WeightsError, match=r"is not the file that was imported: .* or import the file"):
        passerby.load(run)
    (run / changed).unlink()
    with pytest.raises(WeightsError, match=rf"{changed}: no such file; copy the whole run again"):
        passerby.load(run)


def test_an_imported_file_is_not_run_by_a_runtime_of_another_format(tmp_path):
    save_color_map(tmp_path / "m.onnx", size=SIZE)
    save_as_openvino(tmp_path / "m.onnx", tmp_path / "m.xml")
    import_file_model(tmp_path / "m.xml", tmp_path / "run", mean=MEAN, std=STD, output="map")
    assert passerby.load(tmp_path / "run", runtime="openvino").encoder.runtime == "openvino"
    for runtime in ("onnx", "torch"):
        with pytest.raises(WeightsError, match=rf"model\.xml: cannot be run by {runtime}; .*, or name openvino"):
            passerby.load(tmp_path / "run", runtime=runtime)


def test_a_file_of_a_damaged_manifest_is_named(tmp_path):
    save_color_map(tmp_path / "colors.onnx", size=SIZE)
    import_file_model(tmp_path / "colors.onnx", tmp_path / "run", mean=MEAN, std=STD, output="map")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    imported = manifest["imported"]
    for changes, message in (
        ({"model": {"method": "file", "file": "../model.onnx"}}, r"file is '../model\.onnx', expected the name"),
        ({"model": {"method": "file", "file": "model.onnx", "output": 3}}, "output is 3, expected the name of"),
        ({"imported": 3}, "imported is 3, expected an object; import the file again"),
        ({"imported": {**imported, "sha256": 3}}, "sha256 is 3, expected text"),
        ({"imported": {**imported, "interchangeable": "no"}}, "interchangeable is 'no', expected true or false"),
    ):
        (tmp_path / "run" / "manifest.json").write_text(json.dumps({**manifest, **changes}))
        with pytest.raises(WeightsError, match=message):
            passerby.load(tmp_path / "run")


def test_a_manifest_of_another_precision_than_its_file_is_refused(tmp_path):
    save_exported(tmp_path / "m.onnx", precision="int8")
    import_file_model(tmp_path / "m.onnx", tmp_path / "run")
    text = (tmp_path / "run" / "manifest.json").read_text()
    (tmp_path / "run" / "manifest.json").write_text(text.replace('"int8"', '"fp16"'))
    with pytest.raises(WeightsError, match=r"precision is 'fp16', but model\.onnx has 'int8'; import the file again"):
        passerby.load(tmp_path / "run", runtime="onnx")
