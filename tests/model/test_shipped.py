"""The model that comes with the package. Oracle: its manifest and card, and synthetic people whom it never saw."""

import json

import numpy as np
import onnx
import onnxruntime

import passerby
from conftest import SIMPLE
from passerby.gallery.embedding_model import read_calibration, record_model
from passerby.model.weights import read_tensors
from passerby.openset.calibration import QUANTILES, Calibration
from passerby.runtime.file_model import find_exported
from passerby.runtime.model_fingerprint import fingerprint_network
from passerby.runtime.model_manifest import DEFAULT_MODEL
from passerby.runtime.projection import read_projection
from passerby.types import Embeddings


def test_the_shipped_model_is_small_and_trained_on_rendered_people():
    manifest = json.loads((DEFAULT_MODEL / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["data"].startswith("synth:")
    assert (manifest["initial_weights"], manifest["model"]["pretrained"]) == ("random", False)
    assert sum(file.stat().st_size for file in DEFAULT_MODEL.rglob("*")) < 18_000_000  # the wheel stays below 20 MB
    card = (DEFAULT_MODEL / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert manifest["data"] in card
    assert manifest["whitening"] in card
    assert "skin tone" in card
    assert not [key for key in read_tensors(DEFAULT_MODEL / "model.safetensors") if "classifier" in key]


def test_the_shipped_model_retrieves_unseen_rendered_people():
    """People of another seed, 24 queries of 12 people: far above chance (about one in 12), with room for a bad day."""
    (data,) = passerby.load_data(SIMPLE)
    model = passerby.load()

    def embedded(samples):
        people, cameras = (np.array([getattr(each, name) for each in samples]) for name in ("person_id", "camera_id"))
        return Embeddings(model.embed(samples), people, cameras)

    scores = passerby.score(embedded(data.query), embedded(data.gallery))
    assert scores.rank1 > 0.5


def test_its_onnx_file_is_of_its_weights_and_interchangeable_with_them():
    """Oracle: torch, on noise and on synthetic people; the certificate is in the file."""
    (data,) = passerby.load_data(SIMPLE)
    whole, file = (passerby.load("default", runtime=runtime) for runtime in ("torch", "onnx"))
    noise = np.random.default_rng(0).integers(0, 256, (8, 90, 40, 3), dtype=np.uint8)
    for images in ([*data.query], noise):
        assert (whole.embed(images) * file.embed(images)).sum(axis=1).min() > 0.999
    assert record_model(file).same_vectors(record_model(whole))
    assert find_exported(DEFAULT_MODEL, whole.manifest) == DEFAULT_MODEL / "model.onnx"


def test_onnxruntime_computes_each_gelu_of_its_file_as_one_operator(tmp_path):
    """torch's exporter writes another order of the terms, which takes 1.1 to 1.2 times as long."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    path = DEFAULT_MODEL / "model.onnx"
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert (operators.count("Erf"), operators.count("Gelu")) == (0, 12), "one for each block of ConvNeXt-Atto"


def test_its_projection_is_of_rendered_people_and_each_of_its_widths_has_a_calibration():
    """Oracle: the cosines of the whole vectors."""
    (data,) = passerby.load_data(SIMPLE)
    embedder = passerby.load()
    vectors = embedder.embed(data.query)
    projection = read_projection(DEFAULT_MODEL, network=fingerprint_network(embedder))
    assert projection.data.startswith("synth:")
    for dims, error in ((64, 0.08), (128, 0.04), (256, 0.02), (512, 0.01)):
        narrow = projection.take(dims)
        calibration = Calibration.from_dict(read_calibration("default", narrow))
        assert not calibration.fitted_on.trained_on
        projected = narrow.apply(vectors)
        assert np.abs(projected @ projected.T - vectors @ vectors.T).mean() < error


def test_its_calibration_is_of_identities_outside_its_training():
    calibration = passerby.load_calibration(DEFAULT_MODEL)
    assert not calibration.fitted_on.trained_on
    assert calibration.probability(0.05) > 0.9
    assert calibration.probability(1.0) < 0.1


def test_its_calibration_has_the_reference_of_the_drift_metric_and_its_exported_file_the_same():
    """Oracle: the definition; half of the distances of different people are below the median."""
    calibration = passerby.load_calibration(DEFAULT_MODEL)
    for part in (calibration, calibration.cameras):
        assert part.reference.shape == (QUANTILES,)
        assert part.reference[0] < part.distances[-1] <= part.reference[-1] + 1e-9
        assert part.probability(part.reference[QUANTILES // 2]) < 0.01
    certificate = json.loads((DEFAULT_MODEL / "model.onnx.json").read_text(encoding="utf-8"))
    assert Calibration.from_dict(certificate["calibration"]).to_dict() == calibration.to_dict()
