"""Moving a gallery to another model. Oracles: the embeddings of both models, the card, and what other openers get."""

import sqlite3

import numpy as np
import pytest

import passerby
from passerby.errors import GalleryError, NoGalleryError
from passerby.gallery.reembed import reembed_gallery


@pytest.fixture
def people(workspace):
    """A gallery of runs/m with stored crops and an answer."""
    crops = passerby.list_crops("crops", folders="camera")[:6]
    with passerby.Gallery("staff", model="runs/m", keep="crops") as gallery:
        gallery.enroll(crops)
        first, second = sorted(s.id for batch in gallery.store.walk() for s in batch)[:2]
        gallery.review().answer(first, second, "same")
    return workspace / "staff"


def read(where):
    """Sightings by id, without vectors, and the vectors."""
    with passerby.Gallery(where) as gallery:
        sightings = [s for batch in gallery.store.walk() for s in batch]
        answers = gallery.store.answers.read()
    return {s.id: s.info for s in sightings}, {s.id: s for s in sightings}, answers


def test_vectors_are_those_of_the_new_model_and_all_else_stays(people):
    before, _, answers = read(people)
    result = reembed_gallery(people, model="default", user="ada", device="cpu")
    assert (result.sightings, result.tracks, result.keep) == (6, 0, "crops")
    after, sightings, answers_after = read(people)
    assert after == before
    assert answers_after == answers
    embedder = passerby.load("default", device="cpu")
    for sighting in sightings.values():
        np.testing.assert_allclose(sighting.vector, embedder.embed(sighting.source)[0], atol=1e-5)
    with passerby.Gallery(people, model="default") as gallery:
        assert gallery.search("a.jpg", top=1)[0][0].distance < 2
        last = gallery.audit()[-2]
        assert (last.action, last.user, last.counts) == ("reembed", "ada", {"sightings": 6})
    with pytest.raises(GalleryError, match="contains vectors of"):
        passerby.Gallery(people, model="runs/m")


def test_removed_sightings_are_erased_as_their_vectors_are_those_of_the_old_model(people):
    with passerby.Gallery(people) as gallery:
        review = gallery.review()
        action = review.remove([next(gallery.store.walk())[-1].id])
    assert reembed_gallery(people, model="default", device="cpu").sightings == 5
    with (
        passerby.Gallery(people, model="default") as gallery,
        pytest.raises(GalleryError, match="its sightings were erased since"),
    ):
        gallery.review().undo(action)


def test_vectors_without_the_mirror_image_stay_without_it(workspace):
    with passerby.Gallery("staff", model="runs/m", keep="crops", flip=False) as gallery:
        gallery.enroll(passerby.list_crops("a.jpg", camera="north"))
    reembed_gallery("staff", model="default", device="cpu")
    (sighting,) = read(workspace / "staff")[1].values()
    expected = passerby.load("default", device="cpu").embed("a.jpg", flip=False)[0]
    np.testing.assert_allclose(sighting.vector, expected, atol=1e-5)


def test_the_same_model_changes_nothing(people):
    assert reembed_gallery(people, model="runs/m").sightings == 0


def test_a_gallery_in_use_is_not_changed(people):
    with passerby.Gallery(people) as gallery:
        assert gallery.store.count() == 6
        with pytest.raises(GalleryError, match="another process has the gallery open; stop it"):
            reembed_gallery(people, model="default", device="cpu")
    passerby.Gallery(people, model="runs/m").close()


def test_an_interruption_leaves_the_old_vectors(people, monkeypatch):
    before = read(people)[1]
    with monkeypatch.context() as patch:
        patch.setattr("passerby.gallery.reembed.time", None)  # fails after the vectors were written
        with pytest.raises(AttributeError):
            reembed_gallery(people, model="default", device="cpu")
    after = read(people)[1]
    assert all((before[name].vector == after[name].vector).all() for name in before)
    passerby.Gallery(people, model="runs/m").close()


def test_sightings_that_were_added_meanwhile_stop_it(people, monkeypatch):
    from passerby.gallery import reembed

    embed = reembed._embed

    def embed_and_lose(*arguments, **options):
        vectors, tracks = embed(*arguments, **options)
        vectors.popitem()
        return vectors, tracks

    monkeypatch.setattr(reembed, "_embed", embed_and_lose)
    with pytest.raises(GalleryError, match="were added or removed while the vectors were computed"):
        reembed_gallery(people, model="default", device="cpu")
    passerby.Gallery(people, model="runs/m").close()


def test_old_vectors_are_overwritten_in_the_file(people):
    """Erasure of vectors: no byte of the old ones is left."""
    old = [s.vector.astype("<f4").tobytes() for s in read(people)[1].values()]
    reembed_gallery(people, model="default", device="cpu")
    content = b"".join(path.read_bytes() for path in people.iterdir() if path.is_file())
    assert [vector[:64] in content for vector in old] == [False] * 6


@pytest.mark.parametrize(("keep", "message"), [("vectors", "keeps vectors only, so that no other model")])
def test_galleries_without_crops_are_refused(workspace, keep, message):
    with passerby.Gallery("staff", model="runs/m", keep=keep) as gallery:
        gallery.enroll(passerby.list_crops("a.jpg", camera="north"))
    with pytest.raises(GalleryError, match=message):
        reembed_gallery("staff", model="default", device="cpu")


def test_a_sighting_without_a_crop_is_named(people):
    connection = sqlite3.connect(people / "gallery.sqlite")
    connection.execute("DELETE FROM crops WHERE row = 1")
    connection.commit()
    connection.close()
    with pytest.raises(GalleryError, match="has no stored crop"):
        reembed_gallery(people, model="default", device="cpu")


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("milvus://localhost:1/x", GalleryError, "only a gallery in a folder"),
        ("memory", GalleryError, "only a gallery in a folder"),
        ("nowhere", NoGalleryError, "no gallery here"),
    ],
)
def test_other_addresses_are_refused(workspace, where, error, message):
    with pytest.raises(error, match=message):
        reembed_gallery(where, model="runs/m")


def test_a_gallery_without_the_mirror_image_stays_without(workspace):
    with passerby.Gallery("plain", model="runs/m", keep="crops", flip=False) as gallery:
        gallery.enroll(passerby.list_crops("a.jpg", camera="north"))
    assert reembed_gallery("plain", model="default", device="cpu").sightings == 1
    with passerby.Gallery("plain") as gallery:
        (sighting,) = next(gallery.store.walk())
        assert not gallery.stats().card.flip
    expected = passerby.load("default", device="cpu").embed("a.jpg", flip=False)[0]
    np.testing.assert_allclose(sighting.vector, expected, atol=1e-5)
