"""The path from images to vectors with any encoder. Oracles: an encoder written in NumPy, and a hand-worked mean."""

import numpy as np
import pytest

from passerby.errors import WeightsError
from passerby.runtime.embedder import Embedder
from passerby.runtime.preprocessing import Preprocessing

SIZE = (4, 2)


class MeanColors:
    """Mean of the left and of the right column, in each channel, as a unit vector."""

    width, runtime, precision, device = 6, "onnx", "fp32", "cpu"

    def __init__(self):
        self.batches = []

    def encode(self, pixels):
        self.batches.append(len(pixels))
        sums = pixels.astype(np.float32).sum(axis=1).reshape(len(pixels), 6)  # (B, 2 * 3)
        return sums / np.linalg.norm(sums, axis=1, keepdims=True)


@pytest.fixture
def embedder():
    return Embedder(MeanColors(), Preprocessing(SIZE, (0, 0, 0), (1, 1, 1)), {"model": {"file": "colors.onnx"}})


def test_the_mirror_image_is_computed_in_the_same_batch_and_averaged(embedder):
    image = np.zeros((1, *SIZE, 3), np.uint8)
    image[:, :, 0] = (30, 40, 0)
    (vector,) = embedder.embed(image)
    np.testing.assert_allclose(vector, np.array([3, 4, 0, 3, 4, 0]) / np.sqrt(50), rtol=1e-6)
    (plain,) = embedder.embed(image, flip=False)
    np.testing.assert_allclose(plain, [0.6, 0.8, 0, 0, 0, 0], rtol=1e-6)
    assert embedder.encoder.batches == [2, 1]


def test_batches_are_embedded_in_order_and_counted(embedder):
    images = np.random.default_rng(0).integers(1, 256, (5, *SIZE, 3), dtype=np.uint8)
    seen = []
    vectors = embedder.embed(images, batch=2, flip=False, progress=lambda *state: seen.append(state))
    assert seen == [("embed", 2, 5), ("embed", 4, 5), ("embed", 5, 5)]
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, MeanColors().encode(images))
    assert embedder.embed(iter(())).shape == (0, 6)


def test_a_file_has_no_network(embedder):
    assert repr(embedder) == "Embedder(colors.onnx, 4 x 2, 6 dimensions, onnx on cpu)"
    message = r"Embedder\(colors.onnx.* runs from an ONNX file: .* need a run with model.safetensors"
    with pytest.raises(WeightsError, match=message):
        _ = embedder.network
