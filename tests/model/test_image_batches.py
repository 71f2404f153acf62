"""Normalization of images. Oracle: NumPy in float64."""

import numpy as np
import torch

from passerby.model.image_batches import build_normalization

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def test_a_batch_is_normalized_like_its_images():
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 32, 16), dtype=np.uint8))
    normalize = build_normalization(mean=MEAN, std=STD)
    expected = (image.numpy() / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    np.testing.assert_allclose(normalize(image).numpy(), expected, atol=1e-6)
    assert torch.equal(normalize(torch.stack([image, image.flip(0)]))[1], normalize(image.flip(0)))
