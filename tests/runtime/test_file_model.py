"""Models from ONNX and OpenVINO files. Oracle: the mean color of each image, computed by NumPy."""

import json

import numpy as np
import pytest

import passerby
from passerby.errors import DataError, WeightsError
from passerby.gallery.embedding_model import record_model
from passerby.importers.file_models import import_file_model
from passerby.runtime.networks import load_network
from passerby.runtime.preprocessing import Preprocessing
from passerby.runtime.weights_hash import hash_file
from programs import require_module
from runtime.exported_files import MEAN, METADATA, SIZE, STD, noise, save_exported
from runtime.small_networks import save_color_map, save_vectors
from runtime.test_networks import save_as_openvino


def mean_colors(pixels, preprocessing):
    """Oracle of an imported file, in float64."""
    values = pixels[..., ::-1] if preprocessing.channels == "bgr" else pixels
    values = (values / preprocessing.scale - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    means = values.mean(axis=(1, 2))
    return means / np.linalg.norm(means, axis=1, keepdims=True)


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
@pytest.mark.parametrize("batch", ["batch", 1, 3])
def test_an_imported_file_of_any_batch_embeds_any_number_of_images(tmp_path, suffix, batch):
    save_color_map(tmp_path / "colors.onnx", size=SIZE, batch=batch)
    if suffix == ".xml":
        save_as_openvino(tmp_path / "colors.onnx", tmp_path / "colors.xml")
    preprocessing = Preprocessing(SIZE, MEAN, STD, channels="bgr", scale=100.0)
    options = {"mean": MEAN, "std": STD, "channels": "bgr", "scale": 100.0, "output": "embedding"}
    imported = import_file_model(tmp_path / f"colors{suffix}", tmp_path / "run", **options)
    assert (imported.width, imported.output, imported.preprocessing["size"]) == (3, "embedding", [64, 32])
    runtime = "openvino" if suffix == ".xml" else "onnx"
    embedder = passerby.load(tmp_path / "run", runtime=runtime)
    assert embedder.preprocessing == preprocessing
    assert embedder.encoder.runtime == runtime
    for count in (1, 2, 5, 35):
        pixels = noise(count)
        vectors = embedder.embed(pixels, flip=False)
        np.testing.assert_allclose(vectors, mean_colors(pixels, preprocessing), atol=1e-5)
        np.testing.assert_allclose(embedder.embed(pixels), vectors, atol=1e-5)  # a mean color has no sides


def test_an_onnx_file_runs_by_openvino_too(tmp_path):
    require_module("openvino")
    save_exported(tmp_path / "m.onnx")
    pixels = noise(3)
    both = [passerby.load(tmp_path / "m.onnx", runtime=runtime) for runtime in ("onnx", "openvino")]
    assert [embedder.encoder.runtime for embedder in both] == ["onnx", "openvino"]
    first, second = (embedder.embed(pixels) for embedder in both)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_a_map_is_averaged_over_its_positions(tmp_path):
    save_color_map(tmp_path / "colors.onnx", size=SIZE)
    import_file_model(tmp_path / "colors.onnx", tmp_path / "run", mean=MEAN, std=STD, output="map")
    vectors = passerby.load(tmp_path / "run").embed(noise(3))
    np.testing.assert_allclose(vectors, mean_colors(noise(3), Preprocessing(SIZE, MEAN, STD)), atol=1e-5)


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_an_exported_file_takes_pixels_and_knows_its_preprocessing(tmp_path, suffix):
    path = tmp_path / f"m{suffix}"
    save_exported(path)
    embedder = passerby.load(path)
    assert embedder.preprocessing == Preprocessing(SIZE, MEAN, STD)
    assert embedder.manifest["model"] == {"backbone": "colors"}
    pixels = noise(4)
    means = pixels.mean(axis=(1, 2))
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder.embed(pixels), expected, atol=1e-6)


def test_a_file_that_mirrors_inside_is_computed_once_and_never_without(tmp_path):
    save_exported(tmp_path / "m.onnx", flip=True)
    embedder = passerby.load(tmp_path / "m.onnx")
    assert embedder.embed(noise(2)).shape == (2, 3)
    with pytest.raises(WeightsError, match=r"m\.onnx: averages the mirror image inside; embed with flip, or export"):
        embedder.embed(noise(2), flip=False)
    with pytest.raises(WeightsError, match="averages the mirror image inside"):
        embedder.set_flip(False)
    with pytest.raises(WeightsError, match="averages the mirror image inside"):
        passerby.Gallery(tmp_path / "people", model=tmp_path / "m.onnx", flip=False)
    assert not (tmp_path / "people").exists()


def test_a_gallery_takes_a_file_for_its_run_only_with_a_certificate(tmp_path):
    records = []
    for name, changes in {
        "fp32": {},
        "other": {"certificate": {**METADATA["certificate"], "interchangeable": False}},
        "int8": {"precision": "int8"},
    }.items():
        save_exported(tmp_path / f"{name}.onnx", **changes)
        records.append(record_model(passerby.load(tmp_path / f"{name}.onnx")))
    assert records[0].weights == METADATA["weights"]
    assert [records[0].same_vectors(record) for record in records] == [True, False, False]


def test_an_openvino_run_of_an_earlier_version_keeps_its_fingerprint(tmp_path):
    """Its manifest has the hash of the .bin alone, and so have the galleries that were made with it."""
    save_vectors(tmp_path / "m.onnx", scale=1, shift=0, size=SIZE)
    save_as_openvino(tmp_path / "m.onnx", tmp_path / "m.xml")
    run = tmp_path / "run"
    imported = import_file_model(tmp_path / "m.xml", run, mean=MEAN, std=STD)
    manifest = json.loads((run / "manifest.json").read_text())
    assert record_model(passerby.load(run)).weights == manifest["imported"]["sha256"] == imported.sha256
    earlier = hash_file(run / "model.bin")
    manifest["imported"]["sha256"] = earlier
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert record_model(passerby.load(run)).weights == earlier != imported.sha256


@pytest.mark.parametrize("suffix", [".onnx", ".xml"])
def test_no_images_are_an_empty_array(tmp_path, suffix):
    save_exported(tmp_path / f"m{suffix}")
    embedder = passerby.load(tmp_path / f"m{suffix}")
    for flip in (False, True):
        for nothing in ([], noise(0)):
            vectors = embedder.embed(nothing, flip=flip)
            assert (vectors.shape, vectors.dtype) == ((0, 3), np.float32)
    assert embedder.encoder.encode(noise(0)).shape == (0, 3)
    with pytest.raises(DataError, match=rf"m\{suffix}: a batch of 0 images, expected at least 1"):
        load_network(tmp_path / f"m{suffix}", batches=(1, 2))(noise(0))


def test_the_zoos_files_are_known_by_name(tmp_path):
    path = tmp_path / "person-reidentification-retail-0287.onnx"
    save_color_map(path, size=(256, 128), batch=1)
    imported = import_file_model(path, tmp_path / "run", output="embedding")
    assert (imported.family, imported.license) == ("openvino-zoo", "Apache-2.0")
    pixels = noise(2, size=(256, 128))
    bgr = pixels[..., ::-1].mean(axis=(1, 2))
    vectors = passerby.load(tmp_path / "run").embed(pixels)
    np.testing.assert_allclose(vectors, bgr / np.linalg.norm(bgr, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.parametrize("batches", [(1, 2, 8, 32)])
def test_batches_are_padded_to_the_next_size(tmp_path, batches):
    """Oracle: by hand, for 45 images: 32, then 8, then 5 padded to 8."""
    save_color_map(tmp_path / "colors.onnx", size=SIZE)
    network = load_network(tmp_path / "colors.onnx", batches=batches)
    pixels = np.float32(noise(45)).transpose(0, 3, 1, 2)
    means, maps = network(pixels)
    np.testing.assert_allclose(means, pixels.mean(axis=(2, 3)), rtol=1e-5)
    np.testing.assert_array_equal(maps, pixels)
