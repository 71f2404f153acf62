"""Galleries of projected vectors. Oracles: the model's own vectors, projected here, and a gallery of such vectors."""

import json
import sqlite3

import numpy as np
import pytest

import passerby
from passerby.errors import GalleryError, NoGalleryError, PasserbyError
from passerby.gallery.backup import backup_gallery, restore_gallery
from passerby.gallery.card import GalleryCard, GalleryModel
from passerby.gallery.parquet import import_gallery
from passerby.gallery.reembed import reembed_gallery
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery
from passerby.runtime.model_fingerprint import fingerprint_network
from passerby.runtime.projection import read_projection

DIMS = 8


@pytest.fixture
def model(workspace):
    """runs/m, whose vectors have 32 dimensions, with a projection and the calibration of 8 dimensions."""
    passerby.calibrate("runs/m", dims=DIMS, device="cpu")
    return workspace / "runs" / "m"


def crops():
    return passerby.list_crops("crops", folders="camera")[::2]


def projection(model):
    return read_projection(model, network=fingerprint_network(passerby.load(model)))


def project(model, images, dims=DIMS):
    return projection(model).take(dims).apply(passerby.load(model).embed(images))


def stored(store):
    return {sighting.source: sighting.vector for batch in store.walk() for sighting in batch}


def test_vectors_and_queries_are_projected_and_reopening_needs_no_model(model, address):
    images = [crop.source for crop in crops()]
    expected = project(model, images)
    with passerby.Gallery(address, model=model, dims=DIMS) as gallery:
        assert gallery.enroll(crops()).new == len(images)
        vectors = stored(gallery.store)
        np.testing.assert_allclose([vectors[image] for image in images], expected, atol=1e-5)
        hits = gallery.search("a.jpg", top=5)[0]
        distances = np.sort(1 - expected @ project(model, "a.jpg")[0])[:5]
        np.testing.assert_allclose([hit.distance for hit in hits], distances, atol=1e-5)
        card = gallery.store.card
    if address == "memory":
        return
    with passerby.Gallery(address) as gallery:
        assert gallery.store.card == card
        assert (card.model.dimension, gallery.embedder.width, card.model.projection.width) == (DIMS, DIMS, 32)
        assert gallery.search("a.jpg", top=5)[0] == hits
        assert card.model.projection == projection(model).take(DIMS)
        assert gallery.stats().to_dict()["card"]["model"]["projection"]["images"] == 48


def test_a_projected_gallery_answers_as_one_of_the_projected_vectors(model):
    """With a camera, filters and labels, too."""
    plain = GalleryModel("a", "b", {}, DIMS)
    with passerby.Gallery("memory", model=model, dims=DIMS) as gallery, passerby.Gallery("memory", model=model) as wide:
        gallery.enroll(crops())
        wide.enroll(crops())
        store = open_gallery("memory", model=plain)
        vectors = stored(gallery.store)
        store.add([Sighting(vector=vectors[item.source], **item.info) for batch in wide.store.walk() for item in batch])
        other = passerby.Gallery.__new__(passerby.Gallery)
        other.store, other._camera_search = store, None
        for seen_by in (None, "north"):
            ours = gallery.search("b.jpg", top=7, seen_by=seen_by)[0]
            theirs = other.search_vectors(project(model, "b.jpg"), top=7, seen_by=seen_by)[0]
            assert [hit.id for hit in ours] == [hit.id for hit in theirs]
            np.testing.assert_allclose([hit.distance for hit in ours], [hit.distance for hit in theirs], atol=1e-5)
        store.close()


@pytest.mark.parametrize("dims", [0, 32, 33, 5000])
def test_a_width_that_is_not_below_the_models_is_one_error_and_makes_nothing(model, dims, workspace):
    with pytest.raises(GalleryError, match=rf"got {dims}, expected 1 to 31: the model's vectors have 32 dimensions"):
        passerby.Gallery("people-narrow", model=model, dims=dims)
    with pytest.raises(PasserbyError, match=rf"got {dims}, expected 1 to 31"):
        passerby.calibrate(model, dims=dims)
    assert not (workspace / "people-narrow").exists()


def test_a_model_without_a_projection_names_the_command(workspace):
    with pytest.raises(GalleryError, match=r"has no projection; fit one with `passerby calibrate .*runs/m --dims 8`"):
        passerby.Gallery("narrow", model="runs/m", dims=DIMS)
    assert not (workspace / "narrow").exists()


def test_another_width_or_model_is_refused(model):
    passerby.Gallery("narrow", model=model, dims=DIMS).close()
    passerby.Gallery("narrow", model=model).close()
    passerby.Gallery("narrow", dims=DIMS).close()
    for options in ({"dims": 16}, {"dims": 16, "model": model}):
        with pytest.raises(GalleryError, match="contains vectors of 8 dimensions, opened for 16; a gallery holds one"):
            passerby.Gallery("narrow", **options)
    with pytest.raises(GalleryError, match=r"8 dimensions by projection \w+, .*opened with"):
        open_gallery("narrow", model=GalleryModel("a", "b", {}, DIMS))
    with pytest.raises(NoGalleryError):
        passerby.Gallery("missing", dims=DIMS)
    with passerby.Gallery("narrow") as gallery, pytest.raises(GalleryError, match=r"expected \(Q, 8\)"):
        gallery.search_vectors(passerby.load(model).embed("a.jpg"))


def test_a_projection_fitted_again_makes_vectors_that_are_refused(model):
    passerby.Gallery("narrow", model=model, dims=DIMS).close()
    (model / "projection.safetensors").unlink()
    passerby.calibrate(model, "synth:identities=16,cameras=2,images=2,seed=9", dims=DIMS)
    with passerby.Gallery("narrow", model=model) as gallery:  # it has its own projection
        before = gallery.calibration
        gallery.enroll(crops()[:3])
    assert before.fitted_on.data == "market1501:people"  # of its own projection: the card's
    with passerby.Gallery("again", model=model, dims=DIMS) as gallery:
        assert gallery.calibration.fitted_on.data.startswith("synth:")
        gallery.enroll(crops()[:3])
        gallery.export("again.parquet")
    with pytest.raises(GalleryError, match=r"again\.parquet: contains vectors of .*distances between them"):
        import_gallery("narrow", "again.parquet")


def test_probabilities_are_of_the_projected_vectors(model):
    with passerby.Gallery("memory", model=model, dims=DIMS) as gallery:
        content = json.loads((model / "calibration-8.json").read_text())
        assert gallery.calibration.distances.tolist() == content["distances"]
        gallery.enroll(passerby.list_crops("a.jpg", camera="north", label="Ada"))
        assert gallery.identify("a.jpg")[0].label == "Ada"
    full = passerby.load_calibration(model)
    assert full.distances.tolist() != content["distances"]


def test_a_width_without_a_calibration_is_refused_until_it_has_one(model):
    with passerby.Gallery("memory", model=model, dims=4) as gallery:
        gallery.enroll(passerby.list_crops("crops", folders="camera", label="Ada"))
        assert gallery.search("a.jpg", top=1)[0][0].distance == pytest.approx(0, abs=1e-5)
        for refused in (lambda: gallery.identify("a.jpg"), gallery.cluster):
            with pytest.raises(GalleryError, match=r"4 dimensions are not calibrated.*calibrate .*runs/m --dims 4`"):
                refused()
        before = projection(model)
        passerby.calibrate(model, dims=4)
        assert projection(model) == before
        assert gallery.identify("a.jpg")[0].label == "Ada"


def test_export_import_backup_and_restore_keep_the_projection(model, address):
    with passerby.Gallery("narrow", model=model, dims=DIMS) as gallery:
        gallery.enroll(crops()[:4])
        gallery.export("narrow.parquet")
        card, vectors = gallery.store.card, stored(gallery.store)
        hits = gallery.search("a.jpg", top=3)[0]
    backup_gallery("narrow", "copy")
    restore_gallery("copy", "restored")
    wheres = ["copy", "restored"]
    if address != "memory":
        assert import_gallery(address, "narrow.parquet").new == 4
        wheres.append(address)
    for where in wheres:
        with passerby.Gallery(where) as gallery:
            assert gallery.store.card == card
            assert {name: vector.tolist() for name, vector in stored(gallery.store).items()} == {
                name: vector.tolist() for name, vector in vectors.items()
            }
            assert gallery.search("a.jpg", top=3)[0] == hits
    passerby.Gallery("wide", model=model).close()
    with pytest.raises(GalleryError, match=r"narrow\.parquet: contains vectors of .*distances between them"):
        import_gallery("wide", "narrow.parquet")


def test_reembed_changes_the_width_and_keeps_it(model):
    with passerby.Gallery("moved", model=model, keep="crops") as gallery:
        gallery.enroll(crops()[:3])
    assert reembed_gallery("moved", model=model, dims=DIMS, device="cpu").sightings == 3
    with passerby.Gallery("moved") as gallery:
        images = [crop.source for crop in crops()[:3]]
        vectors = stored(gallery.store)
        np.testing.assert_allclose([vectors[image] for image in images], project(model, images), atol=1e-5)
        assert gallery.search("a.jpg", top=1)[0][0].distance < 2
    assert reembed_gallery("moved", model=model).sightings == 0
    (model / "projection.safetensors").unlink()
    with pytest.raises(GalleryError, match="has no projection"):
        reembed_gallery("moved", model=model)
    with passerby.Gallery("moved") as gallery:
        assert gallery.store.card.model.dimension == DIMS


def test_shards_are_projected_as_images_are(model, address):
    options = passerby.SourceOptions(folders="camera")
    passerby.embed("crops", str(model), "shards", options=options)
    assert passerby.enroll_shards("narrow", "shards", dims=DIMS).new == 52
    with passerby.Gallery("narrow") as gallery:
        vectors = stored(gallery.store)
    with passerby.Gallery(address, model=model, dims=DIMS, keep="vectors") as gallery:
        gallery.enroll(crops())
        expected = stored(gallery.store)
    assert all(np.allclose(vectors[name], vector, atol=1e-4) for name, vector in expected.items())
    if address != "memory":  # the others of the shards, into a gallery that exists
        result = passerby.enroll_shards(address, "shards")
        assert (result.new, result.known) == (52 - len(expected), len(expected))
    with pytest.raises(GalleryError, match="contains vectors of 8 dimensions, opened for 16"):
        passerby.enroll_shards("narrow", "shards", dims=16)


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE projection",
        "UPDATE projection SET component = x'00'",
        "UPDATE projection SET component = 'text'",
        "DELETE FROM projection WHERE row = 3",
    ],
)
def test_a_gallery_without_its_whole_projection_is_damaged(model, damage):
    passerby.Gallery("narrow", model=model, dims=DIMS).close()
    connection = sqlite3.connect("narrow/gallery.sqlite")
    connection.execute(damage)
    connection.commit()
    connection.close()
    with pytest.raises(GalleryError, match=r"card cannot be read .*projection.*; restore a backup"):
        passerby.Gallery("narrow")


def test_the_card_of_a_projected_gallery_is_refused_by_earlier_versions(model):
    with passerby.Gallery("memory", model=model, dims=DIMS) as gallery:
        card = gallery.store.card
    assert json.loads(card.to_json())["format"] == 5
    components = card.model.projection.components
    assert GalleryCard.from_json(card.to_json(), "g", components=components) == card
    with pytest.raises(GalleryError, match="its projection is missing"):
        GalleryCard.from_json(card.to_json(), "g")
    with pytest.raises(GalleryError, match="is not the one that the card describes"):
        GalleryCard.from_json(card.to_json(), "g", components=components[::-1])
