"""Training batches are equal, bit for bit, for any workers, cache and ranks. Oracle: the loader without them."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from passerby.data.images import read_image
from passerby.data.training_set import TrainingSet
from passerby.errors import DataError
from passerby.progress import no_progress
from passerby.training import image_cache, loader
from passerby.training.loader import LoaderSettings, TrainingLoader
from passerby.training.transforms import TransformSettings
from passerby.types import Sample

SIZE = (32, 16)
PLAIN = TransformSettings(size=SIZE, mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
AUGMENTED = replace(PLAIN, flip=0.5, pad=2, erasing=(0.5, (0.02, 0.4), (0.3, 3.3)), jitter=(0.5, 0.2, 0.2, 0.2, 0.1))
SETTINGS = LoaderSettings(AUGMENTED, persons=4, images_per_person=2, cache="never", seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """8 identities x 4 images of noise, 40 x 20 pixels."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(32):
        Image.fromarray(rng.integers(0, 256, (40, 20, 3), dtype=np.uint8)).save(folder / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="module")
def training_set(folder):
    return as_training_set(sorted(folder.iterdir()))


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch):
    monkeypatch.setattr(loader, "count_cores", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)  # torch warns above this


def as_training_set(paths):
    samples = tuple(Sample(path, index // 4 + 1, index % 4) for index, path in enumerate(paths))
    return TrainingSet(samples, np.arange(len(paths)) // 4, len(paths) // 4)


def make_loader(training_set, *, rank=0, world=1, progress=no_progress, **changes):
    return TrainingLoader(training_set, replace(SETTINGS, **changes), rank=rank, world=world, progress=progress)


def assert_same(batches, expected):
    batches = list(batches)
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        for name in ("indices", "labels", "camera_ids", "images"):
            assert torch.equal(getattr(batch, name), getattr(other, name)), name


def test_a_batch_has_the_images_labels_and_cameras_of_its_samples(training_set):
    loader = make_loader(training_set, transform=PLAIN)
    batches = list(loader.epoch(0))
    assert len(batches) == len(loader) == 4
    for batch in batches:
        assert batch.images.shape == (8, 3, *SIZE)
        assert batch.images.dtype == torch.float32
        for position, index in enumerate(batch.indices.tolist()):
            sample = training_set.samples[index]
            assert batch.labels[position] == sample.person_id - 1
            assert batch.camera_ids[position] == sample.camera_id
            pixels = (read_image(sample, size=SIZE) / 255 - 0.5) / 0.25
            np.testing.assert_allclose(batch.images[position].numpy(), pixels.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize("changes", [{"workers": 1}, {"workers": 3, "prefetch": 1}, {"workers": 2, "cache": "always"}])
def test_workers_and_cache_change_no_bit(training_set, changes):
    alone = make_loader(training_set)
    expected = [list(alone.epoch(epoch)) for epoch in (0, 1)]
    loader = make_loader(training_set, **changes)
    for epoch in (0, 1):
        assert_same(loader.epoch(epoch), expected[epoch])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_resumed_in_its_middle_is_the_rest_of_the_epoch(training_set, workers):
    expected = list(make_loader(training_set).epoch(3))
    loader = make_loader(training_set, workers=workers)
    for start in (3, 1, 4, 0):
        assert_same(loader.epoch(3, start=start), expected[start:])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_that_was_left_early_does_not_change_the_next(training_set, workers):
    expected = list(make_loader(training_set).epoch(1))
    loader = make_loader(training_set, workers=workers)
    next(loader.epoch(0))
    assert_same(loader.epoch(1), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_ranks_batches_together_are_the_batch_of_one_process(training_set, workers):
    whole = list(make_loader(training_set).epoch(2))
    ranks = [list(make_loader(training_set, rank=rank, world=2, workers=workers).epoch(2)) for rank in range(2)]
    for number, batch in enumerate(whole):
        first, second = ranks[0][number], ranks[1][number]
        assert not set(first.labels.tolist()) & set(second.labels.tolist())
        for name in ("indices", "labels", "camera_ids", "images"):
            assert torch.equal(torch.cat([getattr(first, name), getattr(second, name)]), getattr(batch, name))


def test_each_image_of_each_batch_is_augmented_independently(folder):
    """All samples are one file, so two equal images of 2 x 4 batches would have shared their random numbers."""
    paths = [folder / "00.png"] * 32
    transform = replace(AUGMENTED, erasing=(1.0, (0.1, 0.4), (0.5, 2.0)))
    loader = make_loader(as_training_set(paths), transform=transform)
    images = torch.cat([batch.images for epoch in (0, 1) for batch in loader.epoch(epoch)])
    assert len({image.numpy().tobytes() for image in images}) == len(images) == 64


def test_another_seed_gives_other_batches(training_set):
    first, other = next(make_loader(training_set).epoch(0)), next(make_loader(training_set, seed=6).epoch(0))
    assert not torch.equal(first.indices, other.indices)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_global_generator_is_unchanged(training_set, workers):
    loader = make_loader(training_set, workers=workers)
    torch.manual_seed(9)
    before = torch.get_rng_state()
    list(loader.epoch(0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("workers", "cache"), [(0, "never"), (2, "never"), (2, "always")])
def test_a_truncated_image_is_named(training_set, tmp_path, workers, cache):
    bad = tmp_path / "cut.png"
    bad.write_bytes(training_set.samples[0].path.read_bytes()[:200])
    broken = as_training_set([bad, *(sample.path for sample in training_set.samples[1:])])
    with pytest.raises(DataError, match=r"^\S*cut\.png: (?!.*Traceback)"):
        list(make_loader(broken, workers=workers, cache=cache).epoch(0))


def test_the_cache_is_used_when_it_fits_in_a_quarter_of_the_memory(training_set, monkeypatch):
    needed = 32 * 3 * SIZE[0] * SIZE[1]
    monkeypatch.setattr(image_cache, "available_memory", lambda: 4 * needed)
    assert make_loader(training_set, cache="auto").cached
    assert not make_loader(training_set, cache="auto", world=2).cached
    monkeypatch.setattr(image_cache, "available_memory", lambda: 4 * needed - 1)
    assert not make_loader(training_set, cache="auto").cached
    assert make_loader(training_set, cache="always").cached
    assert not make_loader(training_set, cache="never").cached


def test_filling_the_cache_reports_progress(training_set):
    reported = []
    make_loader(training_set, cache="always", workers=2, progress=lambda _task, *state: reported.append(state[:2]))
    assert reported == [(done, 32) for done in range(1, 33)]


def test_available_memory_respects_the_container(tmp_path, monkeypatch):
    """Hand-worked: 1,024,000 bytes of the machine are free; the container's limit is 500,000 and it uses 150,000."""
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=1_024_000))
    monkeypatch.setattr(image_cache, "_CGROUP", tmp_path)
    assert image_cache.available_memory() == 1_024_000
    (tmp_path / "memory.max").write_text("max\n")
    assert image_cache.available_memory() == 1_024_000
    (tmp_path / "memory.max").write_text("500000\n")
    (tmp_path / "memory.stat").write_text("anon 100000\nfile 300000\nshmem 50000\n")
    assert image_cache.available_memory() == 350_000


def test_the_sampler_gets_its_settings(training_set):
    with pytest.raises(DataError, match="takes 99 people"):
        make_loader(training_set, persons=99)
