import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from passerby.errors import DataError, WeightsError
from passerby.model.convnext_ap import convnext_ap
from passerby.model.embed import load
from passerby.model.torch_encoder import TorchEncoder, embed_batches
from passerby.model.weights import save_model
from passerby.runtime.embedder import Embedder
from passerby.runtime.model_manifest import MANIFEST_FORMAT
from passerby.runtime.preprocessing import Preprocessing
from passerby.types import Sample

MODEL = {"backbone": "convnext_zepto_rms", "parts": 2, "part_dim": 8, "attention": True}
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.2, 0.3)
MANIFEST = {
    "format": MANIFEST_FORMAT,
    "passerby": "0.1.0",
    "model": {**MODEL, "pretrained": False, "weights": None},
    "preprocessing": {"size": [64, 32], "mean": MEAN, "std": STD},
    "identities": 4,
    "seed": 7,
}


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = convnext_ap(**MODEL, identities=4)
    for neck in network.part_necks:  # as after some training: no two settings give the same vectors
        torch.nn.init.normal_(neck.norm.running_mean, std=0.1)
    return network


@pytest.fixture
def run(tmp_path, network):
    save_model(tmp_path, network, MANIFEST)
    return tmp_path


def embedder_of(network):
    preprocessing = Preprocessing((64, 32), MEAN, STD)
    return Embedder(TorchEncoder(network, preprocessing), preprocessing, {})


def noise(n, height=64, width=32):
    return np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8)


def normalized(pixels):
    """Oracle of the preprocessing, in float64."""
    values = (pixels / 255 - np.array(MEAN)) / np.array(STD)
    return torch.from_numpy(values).permute(0, 3, 1, 2).float()


def test_flip_averages_with_the_mirror_image(network):
    """Oracle: both embeddings by hand, their mean brought to unit length."""
    pixels = noise(3)
    with torch.no_grad():
        sides = [network.eval()(normalized(x)).embedding.double().numpy() for x in (pixels, pixels[:, :, ::-1])]
    mean = (sides[0] + sides[1]) / 2
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    np.testing.assert_allclose(embedder_of(network).embed(pixels), expected, atol=1e-6)
    np.testing.assert_allclose(embedder_of(network).embed(pixels, flip=False), sides[0], atol=1e-6)


@pytest.mark.parametrize("flip", [True, False])
def test_a_batch_is_computed_in_parts_on_a_cpu(flip, network, monkeypatch):
    pixels = noise(5)
    whole = embedder_of(network).embed(pixels, flip=flip)
    monkeypatch.setattr("passerby.model.torch_encoder._LARGEST", 2)
    sizes = []
    network.register_forward_pre_hook(lambda _module, inputs: sizes.append(len(inputs[0])))
    np.testing.assert_allclose(embedder_of(network).embed(pixels, flip=flip), whole, atol=1e-6)
    assert sizes == ([4, 4, 2] if flip else [2, 2, 1])


def test_batches_are_embedded_in_order(network):
    images = normalized(noise(5))
    vectors = embed_batches(network, images.split(2))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, embed_batches(network, [images]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_no_image_gives_no_vector(network):
    assert embed_batches(network, []).shape == (0, 16)


def test_an_empty_batch_has_no_vectors_and_a_batch_of_none_is_an_error(network):
    embedder = embedder_of(network)
    for flip in (False, True):
        assert embedder.embed(noise(0), flip=flip).shape == (0, 16)
    for encode in (embedder.encoder.encode, embedder.encoder.encode_mirrored):
        vectors = encode(noise(0))
        assert (vectors.shape, vectors.dtype) == ((0, 16), np.float32)
    with pytest.raises(DataError, match="batch: got 0, expected at least 1 image"):
        embedder.embed(noise(2), batch=0)


def test_torch_computes_without_looking_for_an_exported_file(run, monkeypatch):
    """Comparing a file with the weights reads all of them."""
    monkeypatch.setattr("passerby.model.open_model.find_exported", lambda *_: pytest.fail("the weights are hashed"))
    assert load(run, device="cpu", runtime="torch").encoder.runtime == "torch"


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_restored_even_after_an_error(network, training):
    def broken():
        yield normalized(noise(2))
        raise DataError("truncated")

    before = {key: value.clone() for key, value in network.state_dict().items()}
    network.train(training)
    with pytest.raises(DataError):
        embed_batches(network, broken())
    assert network.training == network.backbone.training == training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_a_frozen_part_stays_frozen(network):
    """A stage of the training leaves some modules in evaluation mode; an evaluation between two steps must too."""
    network.train()
    network.part_necks.eval()
    embed_batches(network, [normalized(noise(1))])
    assert network.training
    assert network.backbone.training
    assert not any(module.training for module in network.part_necks.modules())


def test_every_kind_of_image_gives_the_same_vector(network, tmp_path):
    pixels = noise(1, height=100, width=40)[0]
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    embedder = embedder_of(network)
    kinds = [path, str(path), Sample(path, 1, 0), Image.fromarray(pixels), pixels]
    vectors = embedder.embed(kinds, batch=2)
    assert vectors.shape == (5, 16)
    np.testing.assert_allclose(vectors, np.repeat(vectors[:1], 5, axis=0), atol=1e-6)


def test_pixels_are_normalized_by_the_manifests_values(network):
    pixels = noise(2)  # already of the network's size
    embedder = embedder_of(network)
    np.testing.assert_allclose(
        embedder.embed([*pixels], flip=False), embed_batches(network, [normalized(pixels)]), atol=1e-5
    )


def test_a_gray_array_is_three_equal_channels(network):
    gray = noise(1)[0, :, :, 0]
    embedder = embedder_of(network)
    vectors = embedder.embed([gray, np.stack([gray] * 3, axis=2)])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((64, 32, 3), np.float32), r"image 1: got an array of shape \(64, 32, 3\) of float32, expected uint8"),
        (np.zeros((64, 32, 4), np.uint8), r"image 1: got an array of shape \(64, 32, 4\)"),
        (np.zeros((3, 64, 0), np.uint8), "image 1"),
        (np.zeros((64,), np.uint8), "image 1"),
        (7, "image 1: got int, expected a path"),
        (Path("nowhere.jpg"), "nowhere.jpg"),
    ],
)
def test_a_value_that_is_no_image_is_named(network, image, message):
    embedder = embedder_of(network)
    with pytest.raises(DataError, match=message):
        embedder.embed([noise(1)[0], image])


def test_one_image_is_a_batch_of_one(network, tmp_path):
    """Oracle: the list that holds the image alone."""
    pixels = noise(1, height=100, width=40)[0]
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    embedder = embedder_of(network)
    expected = embedder.embed([pixels])
    assert expected.shape == (1, 16)
    for image in (path, str(path), Sample(path, 1, 0), Image.fromarray(pixels), pixels):
        np.testing.assert_array_equal(embedder.embed(image), expected)
    assert embedder.embed(pixels[:, :, 0]).shape == (1, 16)


def test_any_iterable_of_images_is_embedded(network):
    """Oracle: the list of the same images."""
    pixels = noise(5)
    embedder = embedder_of(network)
    expected = embedder.embed([*pixels], batch=2)
    for images in (pixels, tuple(pixels), iter(pixels), (image for image in pixels)):
        np.testing.assert_array_equal(embedder.embed(images, batch=2), expected)
    assert embedder.embed(iter(())).shape == (0, 16)


@pytest.mark.parametrize("images", [7, None, b"a.jpg", {"a": 1}])
def test_an_argument_that_holds_no_images_is_named(network, images):
    embedder = embedder_of(network)
    with pytest.raises(DataError, match=f"images: got {type(images).__name__}, expected a path, Sample, Pillow image"):
        embedder.embed(images)


def test_samples_keep_their_identities_and_cameras(network, tmp_path):
    """Oracle: `embed` of the same files."""
    samples = []
    for number, pixels in enumerate(noise(3)):
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels).save(path)
        samples.append(Sample(path, person_id=number + 4, camera_id=number % 2))
    embedder = embedder_of(network)
    embeddings = embedder.embed_samples(samples, batch=2)
    np.testing.assert_allclose(embeddings.vectors, embedder.embed(samples), atol=1e-6)
    assert embeddings.person_ids.tolist() == [4, 5, 6]
    assert embeddings.camera_ids.tolist() == [0, 1, 0]


def test_a_saved_model_gives_the_same_vectors(network, run):
    pixels = [*noise(2, height=90)]
    embedder = load(run)
    assert not embedder.network.training
    assert embedder.manifest["seed"] == 7
    assert embedder.preprocessing == Preprocessing((64, 32), MEAN, STD)
    expected = embedder_of(network).embed(pixels)
    np.testing.assert_allclose(load(str(run), device="auto").embed(pixels), expected, atol=1e-4)
    np.testing.assert_array_equal(embedder.embed(pixels), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"model": {**MODEL, "layers": 3}},
            "manifest.json: model: layers is not known; expected an object of backbone",
        ),
        ({"model": "convnext"}, "manifest.json: model: 'convnext' is not known"),
        ({"model": {**MODEL, "backbone": "convnext_zero"}}, "cannot be built: backbone 'convnext_zero'"),
        ({"model": {**MODEL, "parts": "two"}}, "cannot be built"),
        ({"model": {**MODEL, "part_dim": 16}}, "of another architecture.*mis-shaped: part_necks"),
        ({"identities": 9}, "of another architecture.*classifier"),
        (
            {"preprocessing": {"size": [64, 32], "mean": MEAN}},
            "manifest.json: preprocessing: lacks std, expected 3 finite",
        ),
        ({"preprocessing": {"size": [64], "mean": MEAN, "std": STD}}, r"size: got \[64\], expected height and"),
        ({"preprocessing": {"size": [64, 0], "mean": MEAN, "std": STD}}, r"size: got \[64, 0\], .* of 1 to 4096 whole"),
        ({"preprocessing": {"size": ["a", "b"], "mean": MEAN, "std": STD}}, r"size: got \['a', 'b'\], expected"),
        (
            {"preprocessing": {"size": [64, 32], "mean": MEAN, "std": [1, "1", 1]}},
            r"std: got \[1, '1', 1\], expected 3",
        ),
        ({"preprocessing": {"size": [64, 32], "mean": MEAN, "std": STD, "channels": ["rgb"]}}, "expected rgb or bgr"),
        ({"preprocessing": "rgb"}, "preprocessing: got 'rgb', expected an object with size, mean and std"),
    ],
)
def test_a_manifest_that_cannot_be_built_is_named(run, change, message):
    (run / "manifest.json").write_text(json.dumps({**MANIFEST, **change}))
    with pytest.raises(WeightsError, match=message):
        load(run)


def test_an_unfinished_run_is_an_error_with_advice(run):
    (run / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"model.safetensors is missing; if the training was stopped, resume it"):
        load(run)


def test_a_folder_without_a_model_is_an_error(tmp_path):
    with pytest.raises(WeightsError, match="not a run or a saved model"):
        load(tmp_path / "nowhere")


def test_an_embedder_is_loaded_again_from_its_pickle(tiny_run, tmp_path, monkeypatch):
    """Oracle: the first embedder. The path is relative to another folder."""
    monkeypatch.chdir(tiny_run.parent)
    first = load(tiny_run.name, device="cpu", runtime="torch")
    first.set_flip(False)
    content = pickle.dumps(first)
    assert len(content) < 2000, "the weights are not in it"
    monkeypatch.chdir(tmp_path)
    again = pickle.loads(content)
    assert not again.flip
    assert np.array_equal(again.embed(noise(3)), first.embed(noise(3)))


def test_an_embedder_without_files_cannot_be_pickled(network):
    with pytest.raises(TypeError, match=r"cannot be pickled: expected an embedder that passerby\.load returned"):
        pickle.dumps(embedder_of(network))
