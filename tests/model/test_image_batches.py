"""Evaluation batches. Oracle: each image read and normalized by NumPy or alone."""

import numpy as np
import pytest
import torch
from PIL import Image

from passerby.data.images import read_image
from passerby.errors import DataError
from passerby.model import image_batches
from passerby.model.image_batches import build_normalization, evaluation_batches
from passerby.types import Sample

SIZE = (32, 16)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """32 images of noise, 40 x 20 pixels."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(32):
        Image.fromarray(rng.integers(0, 256, (40, 20, 3), dtype=np.uint8)).save(folder / f"{index:02d}.png")
    return [Sample(path, 1, 0) for path in sorted(folder.iterdir())]


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch):
    monkeypatch.setattr(image_batches, "count_cores", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)  # torch warns above this


def batches(samples, *, batch=10, workers=0):
    return list(evaluation_batches(samples, size=SIZE, mean=MEAN, std=STD, batch=batch, workers=workers))


@pytest.mark.parametrize("workers", [0, 2])
def test_the_order_is_kept_and_the_last_batch_has_the_rest(samples, workers):
    result = batches(samples, workers=workers)
    assert [len(batch) for batch in result] == [10, 10, 10, 2]
    normalize = build_normalization(mean=MEAN, std=STD)
    for sample, image in zip(samples, torch.cat(result), strict=True):
        assert torch.equal(image, normalize(torch.tensor(read_image(sample, size=SIZE)).permute(2, 0, 1)))


def test_no_sample_gives_no_batch():
    assert batches([], workers=2) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_generator_is_unchanged(samples, workers):
    torch.manual_seed(9)
    before = torch.get_rng_state()
    batches(samples, workers=workers)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_truncated_image_is_named(samples, tmp_path, workers):
    bad = tmp_path / "cut.png"
    bad.write_bytes(samples[0].path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"^\S*cut\.png: (?!.*Traceback)"):
        batches([*samples, Sample(bad, 1, 0)], workers=workers)


def test_a_batch_is_normalized_like_its_images(samples):
    image = torch.tensor(read_image(samples[0], size=SIZE)).permute(2, 0, 1)
    normalize = build_normalization(mean=MEAN, std=STD)
    expected = (image.numpy() / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    np.testing.assert_allclose(normalize(image).numpy(), expected, atol=1e-6)
    assert torch.equal(normalize(torch.stack([image, image.flip(0)]))[1], normalize(image.flip(0)))
