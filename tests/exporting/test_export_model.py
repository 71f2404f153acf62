"""Exported files. Oracles: the model's own vectors in PyTorch, the checker of ONNX, and the manifest of the run."""

import copy
import json
import re

import numpy as np
import onnx
import onnxruntime
import pytest

import passerby
from conftest import SIMPLE, once_per_run
from passerby.errors import DataError, ExportError, PasserbyError
from passerby.exporting import export_model as export
from passerby.exporting.export_model import export_model
from passerby.exporting.exported_encoder import open_file
from passerby.gallery.embedding_model import record_model

BATCHES = (1, 2, 7, 64)


def random_images(count, size):
    return np.random.default_rng(count).integers(0, 256, (count, *size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def crops():
    """Folder of the images of the synthetic people that the tiny run was trained on."""
    (data,) = passerby.load_data(SIMPLE)
    return data.root / "query"


@pytest.fixture(scope="module", autouse=True)
def _traced_once():
    """Trace the tiny run once for each value of `flip`: the files differ in what is done with the graph."""
    traced, trace = {}, export.trace_model

    def once(embedder, *, flip):
        if flip not in traced:
            traced[flip] = trace(embedder, flip=flip)
        return copy.deepcopy(traced[flip])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "trace_model", once)
        yield


@pytest.fixture(scope="module")
def exported(tiny_run, crops, tmp_path_factory):
    """The tiny run as a folder of files by (format, precision, flip), exported once per test run."""

    def get(to, precision="fp32", *, flip=False):
        suffix = {"onnx": ".onnx", "openvino": ".xml"}[to]
        name = f"exported/{to}-{precision}-{flip}/m{suffix}"
        return once_per_run(
            tmp_path_factory,
            name,
            lambda path: export_model(tiny_run, path, to=to, precision=precision, flip=flip, images=crops),
        )

    return get


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_a_file_computes_the_vectors_of_its_model_at_any_batch_size(to, flip, exported, tiny_run):
    path = exported(to, flip=flip)
    encode, embedder = open_file(path), passerby.load(tiny_run)
    for count in BATCHES:
        images = random_images(count, embedder.preprocessing.size)
        np.testing.assert_allclose(encode(images), embedder.embed(images, flip=flip), atol=2e-6)


def test_the_interface_of_a_file_is_documented_in_it(exported):
    session = onnxruntime.InferenceSession(exported("onnx"))
    (images,), (embedding,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.type, images.shape) == ("images", "tensor(uint8)", ["batch", 64, 32, 3])
    assert (embedding.name, embedding.type, embedding.shape) == ("embedding", "tensor(float)", ["batch", 32])


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_a_file_passes_the_checker_and_the_shape_inference_of_onnx(precision, exported):
    model = onnx.load(exported("onnx", precision))
    onnx.checker.check_model(model, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    assert [size.dim_value for size in inferred.graph.output[0].type.tensor_type.shape.dim][1:] == [32]
    assert {entry.domain: entry.version for entry in model.opset_import}[""] >= 18


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_the_same_metadata_are_in_the_file_and_beside_it(to, exported, tiny_run):
    path = exported(to)
    beside = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
    if to == "onnx":
        (inside,) = [entry.value for entry in onnx.load(path).metadata_props if entry.key == "passerby"]
    else:
        import openvino

        inside = openvino.Core().read_model(path).get_rt_info("passerby").value
    assert json.loads(inside) == beside
    embedder = passerby.load(tiny_run)
    assert (beside["format"], beside["precision"], beside["flip"]) == (1, "fp32", False)
    assert beside["weights"] == record_model(embedder).weights
    assert beside["manifest"]["model"] == embedder.manifest["model"]
    assert beside["certificate"]["images"] == 24
    assert beside["certificate"]["interchangeable"] is True
    assert beside["certificate"]["check"] is None


@pytest.mark.parametrize("to", ["onnx", "openvino"])
def test_a_file_names_no_path_of_this_machine(to, exported, tiny_run):
    for file in exported(to).parent.iterdir():
        content = file.read_bytes()
        for path in (str(tiny_run.parent), passerby.__file__.rpartition("/")[0], "site-packages", ".py"):
            assert path.encode() not in content, (file, path)


def test_half_precision_halves_the_weights(exported):
    for to, data in (("onnx", "m.onnx"), ("openvino", "m.bin")):
        full, half = (exported(to, precision).with_name(data).stat().st_size for precision in ("fp32", "fp16"))
        assert half < 0.75 * full
        certificate = json.loads(exported(to, "fp16").with_name(f"m{exported(to).suffix}.json").read_text())
        assert 0.998 <= certificate["certificate"]["cosine_min"] <= 1.0001
        assert certificate["certificate"]["interchangeable"] is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "m.bin"}, r"out: got m\.bin, expected a name in \.onnx, as to is onnx"),
        ({"out": "m.onnx", "to": "openvino"}, r"out: got m\.onnx, expected a name in \.xml"),
        ({"out": "m.onnx", "precision": "fp8"}, r"precision: got 'fp8', expected one of fp32, fp16, int8"),
        ({"out": "m.onnx", "min_cosine": 1.5}, r"min_cosine: got 1\.5, expected 0 to 1"),
        ({"out": "m.onnx", "max_loss": float("nan")}, r"max_loss: got nan, expected 0 to 100"),
        ({"out": "m.engine", "to": "tensorrt"}, r"to: got 'tensorrt', expected one of onnx, openvino"),
        ({"out": "a.onnx"}, r"a\.onnx: the file exists; give another out, or move it"),
        ({"out": "b.onnx"}, r"b\.onnx\.json: the file exists"),
        ({"out": "c.xml", "to": "openvino"}, r"c\.bin: the file exists"),
        ({"out": "m.onnx", "images": "nothing"}, r"images: no folder nothing; expected a folder of crops"),
        ({"out": "m.onnx", "images": "empty"}, r"images: no image in empty, which contains notes\.txt"),
        ({"out": "m.onnx", "precision": "int8", "images": "empty"}, r"images: no image in empty"),
        ({"out": "m.onnx", "check": "market1501:nowhere"}, r"market1501: no folder nowhere"),
        ({"run": "unfinished", "out": "m.onnx"}, r"model\.safetensors is missing; if the training was stopped, resume"),
        ({"run": "nowhere", "out": "m.onnx"}, r"nowhere: not a run or a saved model"),
        ({"run": "a.onnx", "out": "m.onnx"}, r"a\.onnx: is a network file already; an export needs a run with"),
    ],
)
def test_bad_input_is_one_message_and_leaves_no_file(options, message, tiny_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.onnx", "b.onnx.json", "c.bin", "empty/notes.txt", "unfinished/manifest.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("kept")
    (tmp_path / "unfinished" / "manifest.json").write_bytes((tiny_run / "manifest.json").read_bytes())
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(PasserbyError, match=message):
        export_model(**{"run": tiny_run, **options})
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "a.onnx").read_text() == "kept"


def test_a_file_beyond_its_tolerance_is_not_written(tiny_run, crops, tmp_path):
    with pytest.raises(ExportError, match=r"int8: the least cosine .* expected at least 1; no file was written"):
        export_model(tiny_run, tmp_path / "m.onnx", precision="int8", images=crops, min_cosine=1)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_calibration_image_is_named(tiny_run, tmp_path):
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "x.jpg").write_bytes(b"\xff\xd8\xff nothing")
    with pytest.raises(DataError, match=re.escape("x.jpg")):
        export_model(tiny_run, tmp_path / "m.onnx", images=tmp_path / "crops")
    assert not (tmp_path / "m.onnx").exists()
