"""Cached embeddings. Oracles: the computed ones, and the bytes of all files of the cache."""

import stat

import numpy as np
import pytest

import passerby
from conftest import SIMPLE, logged
from passerby.errors import PasserbyError, WeightsError, WriteError
from passerby.gallery.crops import list_data_crops
from passerby.runtime import embedding_cache
from passerby.runtime.embedder import Embedder
from passerby.runtime.embedding_cache import EmbeddingCache, cache_file, clear_embedding_cache
from passerby.runtime.preprocessing import Preprocessing

PREPROCESSING = Preprocessing((8, 4), (0, 0, 0), (1, 1, 1))


class Counter:
    """An encoder of mean colors that counts the images."""

    width, runtime, precision, device = 3, "torch", "fp32", "cpu"

    def __init__(self):
        self.images = 0

    def encode(self, pixels):
        self.images += len(pixels)
        means = pixels.mean(axis=(1, 2))
        return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PASSERBY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PASSERBY_EMBEDDING_CACHE", "on")
    return tmp_path / "cache" / "embeddings"


def make(weights="a", **model):
    """An embedder whose encoder counts images; its weights are those of an exported file."""
    metadata = {"weights": weights, "certificate": {"interchangeable": True}}
    manifest = {"model": model}
    return Embedder(Counter(), PREPROCESSING, manifest, exported={**metadata, "manifest": manifest}).use_cache()


def noise(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 4, 3), dtype=np.uint8)


def content(folder):
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


def test_a_file_that_mirrors_inside_is_refused_without_flip_although_its_run_has_vectors():
    run, file = make(), make()
    run.embed(noise(2), flip=False)
    file.encoder.mirrors = True
    with pytest.raises(WeightsError, match="averages the mirror image inside; embed with flip"):
        file.embed(noise(2), flip=False)
    assert file.embed(noise(2)).shape == (2, 3)


def test_an_image_is_computed_once():
    first, second = make(), make()
    expected = first.embed(noise(5), flip=False)
    assert first.encoder.images == 5
    more = np.concatenate([noise(5)[::-1], noise(2, seed=1), noise(2, seed=1)])
    vectors = second.embed(more, flip=False, batch=4)
    np.testing.assert_array_equal(vectors[:5], expected[::-1])
    np.testing.assert_array_equal(vectors, make(weights="b").embed(more, flip=False))
    assert second.encoder.images == 2  # the new ones, each once


@pytest.mark.parametrize(
    "other", [{"weights": "b"}, {"weights": "a", "parts": 6}, {"flip": True}], ids=["weights", "settings", "flip"]
)
def test_other_vectors_are_computed_again(other):
    make().embed(noise(3), flip=False)
    flip = other.pop("flip", False)
    embedder = make(**other)
    embedder.embed(noise(3), flip=flip)
    assert embedder.encoder.images == 3 * (1 + flip)


def test_the_cache_can_be_turned_off(folder, monkeypatch):
    embedder = make()
    embedder.embed(noise(3), cache=False)
    monkeypatch.setenv("PASSERBY_EMBEDDING_CACHE", "off")
    make().embed(noise(3))
    assert not folder.exists()
    monkeypatch.setenv("PASSERBY_EMBEDDING_CACHE", "0")
    with pytest.raises(PasserbyError, match="PASSERBY_EMBEDDING_CACHE: got '0', expected on or off"):
        make()


def test_only_the_user_can_read_it(folder):
    make().embed(noise(3))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()] == [0o600]


def test_its_size_is_bounded_and_the_latest_stay(folder):
    cache = EmbeddingCache("m", width=256, limit=300_000)
    keys = [number.to_bytes(32, "big") for number in range(1000)]
    for key in keys:
        cache.add({key: np.full(256, key[-1], np.float32)})
        cache.find(keys[:1])  # used all the time
    assert cache_file().stat().st_size < 400_000
    found = cache.find(keys)
    assert {keys[0], keys[-1]} <= set(found)
    assert len(found) < 300


def test_vectors_that_are_not_used_are_deleted(monkeypatch):
    cache = EmbeddingCache("m", width=1)
    cache.add({b"old": np.zeros(1, np.float32)})
    now = embedding_cache.time.time()
    monkeypatch.setattr(embedding_cache.time, "time", lambda: now + 8 * 86_400)
    cache.add({b"new": np.ones(1, np.float32)})
    assert set(cache.find([b"old", b"new"])) == {b"new"}


def test_a_damaged_file_is_deleted_and_made_again():
    make().embed(noise(3))
    cache_file().write_bytes(b"damaged" * 1000)
    embedder = make()
    with logged() as messages:
        np.testing.assert_array_equal(embedder.embed(noise(3)), make(weights="b").embed(noise(3), cache=False))
    assert "not used" in messages[0]
    again = make()
    again.embed(noise(3))
    assert (embedder.encoder.images, again.encoder.images) in ((6, 0), (6, 6))
    last = make()
    last.embed(noise(3))
    assert last.encoder.images == 0


def test_a_folder_that_cannot_be_made_is_logged(folder):
    folder.parent.write_text("in the way")
    with logged() as messages:
        assert make().embed(noise(2)).shape == (2, 3)
    assert "not used (Not a directory); embeddings are computed" in messages[0]


def test_a_file_that_cannot_be_deleted_is_an_error(folder):
    (folder / "embeddings.sqlite").mkdir(parents=True)
    with pytest.raises(WriteError, match=r"embeddings.sqlite: cannot be deleted \(.*\); delete it yourself"):
        clear_embedding_cache()


@pytest.mark.parametrize("verb", ["forget", "expire"])
def test_erasure_from_a_gallery_empties_the_cache(tiny_run, tmp_path, folder, verb):
    crops = list_data_crops(SIMPLE)[:4]
    with passerby.Gallery(tmp_path / "people", model=tiny_run) as gallery:
        gallery.enroll(crops)
        gallery.search(crops[0].image)
        sightings = [sighting for block in gallery.store.walk() for sighting in block]
        vectors = [np.asarray(sighting.vector, "<f4").tobytes() for sighting in sightings]
        assert any(vector in content(folder) for vector in vectors)
        assert gallery.forget(ids=[sightings[0].id]) if verb == "forget" else gallery.expire(days=0)
    left = content(folder)
    assert not any(
        vector in left or sighting.id.encode() in left for sighting, vector in zip(sightings, vectors, strict=True)
    )
    assert not cache_file().exists()
