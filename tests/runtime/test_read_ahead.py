"""Batches of pixels. Oracle: each image read alone."""

import threading

import numpy as np
import pytest
from PIL import Image

from passerby.data.images import read_image
from passerby.errors import DataError
from passerby.runtime.read_ahead import read_batches, read_column, to_pixels
from passerby.types import Sample

SIZE = (32, 16)
WORKERS = pytest.mark.parametrize("workers", [0, 1, 3])


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """32 images of noise, 40 x 20 pixels."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(32):
        Image.fromarray(rng.integers(0, 256, (40, 20, 3), dtype=np.uint8)).save(folder / f"{index:02d}.png")
    return [Sample(path, 1, 0) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("batch", [0, -1, 2.5, None])
def test_a_batch_has_at_least_one_image(samples, batch):
    with pytest.raises(DataError, match=rf"batch: got {batch}, expected at least 1 image"):
        [*read_batches(samples, size=SIZE, batch=batch)]


@WORKERS
@pytest.mark.parametrize("batch", [1, 10, 20, 100])
def test_the_order_is_kept_and_the_last_batch_has_the_rest(samples, batch, workers):
    result = [*read_batches(samples, size=SIZE, batch=batch, workers=workers)]
    assert [len(pixels) for pixels in result] == [len(samples[i : i + batch]) for i in range(0, 32, batch)]
    expected = np.stack([read_image(sample, size=SIZE) for sample in samples])
    np.testing.assert_array_equal(np.concatenate(result), expected)


@WORKERS
def test_no_image_gives_no_batch(workers):
    assert [*read_batches([], size=SIZE, batch=4, workers=workers)] == []


@WORKERS
def test_a_truncated_image_is_named(samples, tmp_path, workers):
    bad = tmp_path / "cut.png"
    bad.write_bytes(samples[0].path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"^\S*cut\.png: "):
        [*read_batches([*samples, bad, *samples], size=SIZE, batch=10, workers=workers)]


@WORKERS
def test_batches_before_a_truncated_image_are_given(samples, tmp_path, workers):
    bad = tmp_path / "cut.png"
    bad.write_bytes(samples[0].path.read_bytes()[:200])
    batches = read_batches([*samples[:5], bad, *samples], size=SIZE, batch=2, workers=workers)
    assert [len(next(batches)), len(next(batches))] == [2, 2]
    with pytest.raises(DataError, match=r"cut\.png: "):
        next(batches)


@pytest.mark.parametrize("shape", [(5, *SIZE, 3), (5, 40, 20, 3), (5, *SIZE)])
def test_an_array_is_read_like_its_images(shape):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    result = [*read_batches(array, size=SIZE, batch=2)]
    assert [len(pixels) for pixels in result] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(result), np.concatenate([*read_batches([*array], size=SIZE, batch=5)]))


def test_batches_are_decoded_ahead_and_not_further(samples):
    """Oracle: the images taken from an iterator while the first batch is in use."""
    taken = []
    images = (taken.append(sample) or sample for sample in samples)
    batches = read_batches(images, size=SIZE, batch=4, workers=2)
    next(batches)
    assert len(taken) == 12


def test_threads_end_with_the_iteration(samples):
    before = threading.active_count()
    batches = read_batches(samples, size=SIZE, batch=4, workers=2)
    next(batches)
    batches.close()
    assert threading.active_count() == before


def test_a_column_of_images_is_found(tmp_path):
    """Oracle: the same image as a path, as bytes and as an array."""
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    for column, values in (("path", [str(path)]), ("bytes", [path.read_bytes()]), ("image", pixels[None])):
        (image,) = read_column({column: values, "camera": ["a"]})
        assert np.array_equal(to_pixels(image, 0), pixels)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"camera": ["a"]}, r"batch: got columns camera; expected one of image \(arrays\), bytes"),
        ({}, "batch: got columns none"),
        ({"path": ["a"], "bytes": [b"a"]}, "batch: got columns path, bytes"),
        ({"bytes": [b"no image"]}, "image 0: not an image that can be read"),
    ],
)
def test_columns_without_images_are_refused(columns, message):
    with pytest.raises(DataError, match=message):
        read_column(columns)
