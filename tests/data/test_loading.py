"""The same batches, bit for bit, whoever makes them. The oracle is the loader without workers, cache or other ranks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from passerby.data import cache as cache_module
from passerby.data import loading
from passerby.data.images import read_image
from passerby.data.loading import TrainingLoader, evaluation_batches
from passerby.data.training_set import TrainingSet
from passerby.data.transforms import training_transform
from passerby.errors import DataError
from passerby.types import Sample

SIZE = (32, 16)
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
IMAGES = {
    "size": SIZE,
    "flip": 0.5,
    "pad": 2,
    "erasing": (0.5, (0.02, 0.4), (0.3, 3.3)),
    "jitter": (0.5, 0.2, 0.2, 0.2, 0.1),
    "mean": MEAN,
    "std": STD,
}
PLAIN = {**IMAGES, "flip": 0.0, "pad": 0, "erasing": None, "jitter": None}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """8 people x 4 images of noise, 40 x 20 pixels."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for index in range(32):
        Image.fromarray(rng.integers(0, 256, (40, 20, 3), dtype=np.uint8)).save(folder / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="module")
def training_set(folder):
    return as_training_set(sorted(folder.iterdir()))


@pytest.fixture(autouse=True)
def _as_many_cores_as_asked(monkeypatch):
    monkeypatch.setattr(loading, "_cores", lambda: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)  # torch warns above this


def as_training_set(paths):
    samples = tuple(Sample(path, index // 4 + 1, index % 4) for index, path in enumerate(paths))
    return TrainingSet(samples, np.arange(len(paths)) // 4, len(paths) // 4)


def make(training_set, **changes):
    setting = {**IMAGES, "persons": 4, "images_per_person": 2, "cache": "never", "seed": 5, **changes}
    return TrainingLoader(training_set, **setting)


def assert_same(batches, expected):
    batches = list(batches)
    assert len(batches) == len(expected)
    for batch, other in zip(batches, expected, strict=True):
        for name in ("indices", "labels", "camera_ids", "images"):
            assert torch.equal(getattr(batch, name), getattr(other, name)), name


def test_a_batch_carries_what_its_samples_say(training_set):
    loader = make(training_set, **PLAIN)
    batches = list(loader.epoch(0))
    assert len(batches) == len(loader) == 4
    for batch in batches:
        assert batch.images.shape == (8, 3, *SIZE)
        assert batch.images.dtype == torch.float32
        for place, index in enumerate(batch.indices.tolist()):
            sample = training_set.samples[index]
            assert batch.labels[place] == sample.person_id - 1
            assert batch.camera_ids[place] == sample.camera_id
            pixels = (read_image(sample, size=SIZE) / 255 - 0.5) / 0.25
            np.testing.assert_allclose(batch.images[place].numpy(), pixels.transpose(2, 0, 1), atol=1e-5)


@pytest.mark.parametrize("changes", [{"workers": 1}, {"workers": 3, "prefetch": 1}, {"workers": 2, "cache": "always"}])
def test_workers_and_cache_do_not_change_a_bit(training_set, changes):
    alone = make(training_set)
    expected = [list(alone.epoch(epoch)) for epoch in (0, 1)]
    loader = make(training_set, **changes)
    for epoch in (0, 1):
        assert_same(loader.epoch(epoch), expected[epoch])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_resumed_in_its_middle_is_the_rest_of_the_epoch(training_set, workers):
    expected = list(make(training_set).epoch(3))
    loader = make(training_set, workers=workers)
    for start in (3, 1, 4, 0):
        assert_same(loader.epoch(3, start=start), expected[start:])


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_left_early_does_not_show_in_the_next(training_set, workers):
    expected = list(make(training_set).epoch(1))
    loader = make(training_set, workers=workers)
    next(loader.epoch(0))
    assert_same(loader.epoch(1), expected)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_ranks_batches_together_are_the_batch_of_one_process(training_set, workers):
    whole = list(make(training_set).epoch(2))
    ranks = [list(make(training_set, rank=rank, world=2, workers=workers).epoch(2)) for rank in range(2)]
    for number, batch in enumerate(whole):
        first, second = ranks[0][number], ranks[1][number]
        assert not set(first.labels.tolist()) & set(second.labels.tolist())
        for name in ("indices", "labels", "camera_ids", "images"):
            assert torch.equal(torch.cat([getattr(first, name), getattr(second, name)]), getattr(batch, name))


def test_every_place_of_every_batch_is_augmented_by_itself(folder):
    """With one picture under all names, two equal images of 2 x 4 batches would share their random numbers."""
    paths = [folder / "00.png"] * 32
    loader = make(as_training_set(paths), erasing=(1.0, (0.1, 0.4), (0.5, 2.0)))
    images = torch.cat([batch.images for epoch in (0, 1) for batch in loader.epoch(epoch)])
    assert len({image.numpy().tobytes() for image in images}) == len(images) == 64


def test_another_seed_gives_other_batches(training_set):
    first, other = next(make(training_set).epoch(0)), next(make(training_set, seed=6).epoch(0))
    assert not torch.equal(first.indices, other.indices)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_generator_of_the_network_is_left_alone(training_set, workers):
    loader = make(training_set, workers=workers)
    torch.manual_seed(9)
    before = torch.get_rng_state()
    list(loader.epoch(0))
    list(evaluation_batches(training_set.samples, size=SIZE, mean=MEAN, std=STD, batch=8, workers=workers))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("workers", "cache"), [(0, "never"), (2, "never"), (2, "always")])
def test_a_truncated_image_is_named(training_set, tmp_path, workers, cache):
    bad = tmp_path / "cut.png"
    bad.write_bytes(training_set.samples[0].path.read_bytes()[:200])
    broken = as_training_set([bad, *(sample.path for sample in training_set.samples[1:])])
    with pytest.raises(DataError, match=r"^\S*cut\.png: (?!.*Traceback)"):
        list(make(broken, workers=workers, cache=cache).epoch(0))
    if cache == "never":
        with pytest.raises(DataError, match=r"^\S*cut\.png: (?!.*Traceback)"):
            list(evaluation_batches(broken.samples, size=SIZE, mean=MEAN, std=STD, batch=8, workers=workers))


def test_the_cache_is_taken_when_it_fits_in_a_quarter_of_the_memory(training_set, monkeypatch):
    needed = 32 * 3 * SIZE[0] * SIZE[1]
    monkeypatch.setattr(cache_module, "available_memory", lambda: 4 * needed)
    assert make(training_set, cache="auto").cached
    assert not make(training_set, cache="auto", world=2).cached
    monkeypatch.setattr(cache_module, "available_memory", lambda: 4 * needed - 1)
    assert not make(training_set, cache="auto").cached
    assert make(training_set, cache="always").cached
    assert not make(training_set, cache="never").cached


def test_filling_the_cache_tells_how_far_it_is(training_set):
    told = []
    make(training_set, cache="always", workers=2, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 32) for done in range(1, 33)]


def test_available_memory_respects_the_container(tmp_path, monkeypatch):
    """Hand-worked: the machine has 1000 KiB free; the container may take 500,000 bytes and holds 150,000."""
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 4000 kB\nMemAvailable: 1000 kB\n")
    monkeypatch.setattr(cache_module, "_MEMINFO", meminfo)
    monkeypatch.setattr(cache_module, "_CGROUP", tmp_path)
    assert cache_module.available_memory() == 1_024_000
    (tmp_path / "memory.max").write_text("max\n")
    assert cache_module.available_memory() == 1_024_000
    (tmp_path / "memory.max").write_text("500000\n")
    (tmp_path / "memory.stat").write_text("anon 100000\nfile 300000\nshmem 50000\n")
    assert cache_module.available_memory() == 350_000
    monkeypatch.setattr(cache_module, "_MEMINFO", Path("/does/not/exist"))
    assert cache_module.available_memory() > 2**20


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_keeps_the_order_and_gives_the_rest_last(training_set, workers):
    batches = list(evaluation_batches(training_set.samples, size=SIZE, mean=MEAN, std=STD, batch=10, workers=workers))
    assert [len(batch) for batch in batches] == [10, 10, 10, 2]
    transform = training_transform(**PLAIN)
    for sample, image in zip(training_set.samples, torch.cat(batches), strict=True):
        expected = transform(torch.tensor(read_image(sample, size=SIZE)).permute(2, 0, 1))
        assert torch.equal(image, expected)


def test_evaluating_nothing_gives_no_batch():
    assert list(evaluation_batches([], size=SIZE, mean=MEAN, std=STD, batch=10, workers=2)) == []


def test_settings_of_the_sampler_reach_it(training_set):
    with pytest.raises(DataError, match="takes 99 persons"):
        make(training_set, persons=99)
