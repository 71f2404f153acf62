"""Sightings that a review removes and restores. Oracles: the gallery before; a search for bytes in all files."""

import sqlite3

import numpy as np
import pytest

from gallery.people import DAY, MODEL, NOW, Watch, encoded_image, unit
from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.forget import count_erasable, expire, forget
from passerby.gallery.retention import count_past
from passerby.gallery.review import Review
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery
from passerby.openset.calibration import Calibration, FittedOn

FACTS = FittedOn("example", identities=10, images=40, same=60, different=700, trained_on=False)
CALIBRATION = Calibration("logistic", "cosine", [0.0, 1.0], [16.0, -10.0], FACTS)


def sighting(person, number, **values):
    center = unit(np.random.default_rng(person), 1)[0]
    vector = center + 0.05 * unit(np.random.default_rng(100 + 10 * person + number), 1)[0]
    return Sighting(
        vector=vector / np.linalg.norm(vector),
        camera=f"cam{number % 2}",
        time=float(number),
        source=f"source-{person}-{number}.jpg",
        crop=encoded_image(10 * person + number),
        attributes={"coat": f"coat-{person}-{number}"},
        id=f"id-{person}-{number}",
        **values,
    )


def everyone():
    return [sighting(p, n, label="Wilhelmina Remembered" if p == 0 else None) for p in range(3) for n in range(4)]


@pytest.fixture
def store(tmp_path):
    store = open_gallery(tmp_path / "gallery", model=MODEL, keep="crops", user="ada", clock=Watch())
    store.add(everyone())
    yield store
    store.close()


@pytest.fixture
def review(store):
    review = Review(store, CALIBRATION)
    review.answer("id-1-0", "id-1-1", "same")
    review.answer("id-1-0", "id-2-0", "different")
    review.identities()
    return review


def contents(store, review):
    """All that a user sees: sightings with vectors and crops, answers, identities, hits."""
    rows = [(s.info, s.vector.tobytes(), s.crop) for batch in store.walk() for s in batch]
    hits = [[(hit.id, hit.distance) for hit in hits] for hits in store.search(sighting(1, 0).vector, top=20)]
    identities = {i.id: (i.label, {m.sighting.id for m in i.members}) for i in review.identities()}
    return rows, hits, identities, review.answers().answers, store.count(), store.count(Filter(cameras=["cam0"]))


def read_all(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def name_of(review, member):
    return next(i.id for i in review.identities() if any(m.sighting.id == member for m in i.members))


def test_an_undo_restores_everything_about_a_removed_sighting(store, review):
    review.rename(name_of(review, "id-1-0"), "Grace")
    before = contents(store, review)
    action = review.remove(["id-1-0", "id-1-2"])
    rows, hits, identities, answers, count, one_camera = contents(store, review)
    assert {info["id"] for info, *_ in rows}.isdisjoint({"id-1-0", "id-1-2"})
    assert {name for name, _ in hits[0]}.isdisjoint({"id-1-0", "id-1-2"})
    assert not any({"id-1-0", "id-1-2"} & members for _, members in identities.values())
    assert (len(answers), count, one_camera) == (0, 10, 4)
    assert [(row.kind, row.removed) for row in review.history()][-1] == ("remove", 2)
    assert review.undo() == action
    assert contents(store, review) == before
    assert review.history()[-2].removed == 0


def test_an_identity_of_which_all_was_removed_comes_back_with_its_id_and_name(store, review):
    name = name_of(review, "id-1-0")
    review.rename(name, "Grace")
    action = review.remove([f"id-1-{number}" for number in range(4)])
    review.identities()
    store.remove(Filter(ids=["id-2-3"]))  # drops the identities without sightings
    review.undo(action)
    assert {i.id: i.label for i in review.identities()}[name] == "Grace"


def test_removals_are_undone_in_any_order_with_the_answers_between_them(store, review):
    first, second = review.remove(["id-1-0"]), review.remove(["id-1-1"])
    review.undo(first)
    assert [(a.first, a.second) for a in review.answers().answers] == [("id-1-0", "id-2-0")]
    review.undo(second)
    assert len(review.answers().answers) == 2


def test_a_sighting_that_was_enrolled_again_stays_as_it_is(store, review):
    action = review.remove(["id-2-1"])
    store.add([sighting(2, 1, label="Newer")])
    review.undo(action)
    assert store.stored_labels(["id-2-1"]) == {"id-2-1": "Newer"}
    assert store.count() == 12


@pytest.mark.parametrize("how", ["label", "ids", "sources", "days"])
def test_an_erasure_reaches_removed_sightings_in_every_file(store, review, tmp_path, how):
    review.rename(name_of(review, "id-0-0"), "Wilhelmina the First")
    wanted = everyone()[:4]
    parts = [
        *(part for s in wanted for part in (s.vector.tobytes()[8:40], s.crop[100:150], s.source.encode(), b"coat-0-")),
        b"Wilhelmina",
    ]
    review.answer("id-0-0", "id-2-2", "different")
    action = review.remove([s.id for s in wanted])
    assert all(part in read_all(tmp_path) for part in parts)
    if how == "label":
        assert forget(store, label="Wilhelmina Remembered") == 4
    elif how == "ids":
        assert forget(store, ids=[s.id for s in wanted]) == 4
    elif how == "sources":
        assert forget(store, sources=[s.source for s in wanted]) == 4
    else:
        store.remove(Filter(cameras=["cam0", "cam1"]))
        assert count_past(store, 1, clock=lambda: NOW + 2 * DAY) == 4
        assert expire(store, days=1, clock=lambda: NOW + 2 * DAY) == 4
    assert not any(part in read_all(tmp_path) for part in (*parts, b"id-0-0"))
    with pytest.raises(GalleryError, match="its sightings were erased since; they cannot be restored"):
        review.undo(action)
    assert review.history()[-1].kind != "undo"


def test_a_plain_removal_keeps_what_can_be_restored_and_an_erasure_counts_it(store, review):
    review.remove(["id-0-0"])
    store.remove(Filter(labels=["Wilhelmina Remembered"]))
    assert store.count(Filter(labels=["Wilhelmina Remembered"])) == 0
    assert count_erasable(store, Filter(labels=["Wilhelmina Remembered"])) == 1
    assert store.find_ids(Filter(labels=["Wilhelmina Remembered"])) == ["id-0-0"]


@pytest.mark.parametrize("ids", [[], ["id-1-0", "nobody"]])
def test_what_is_not_in_the_gallery_is_refused_and_nothing_is_removed(store, review, ids):
    before = review.history()
    with pytest.raises(GalleryError, match="expected one or more and all of them; nothing was removed"):
        review.remove(ids)
    assert (store.count(), review.history()) == (12, before)


def test_another_connection_sees_a_removal_and_its_undo(store, review, tmp_path):
    other = open_gallery(tmp_path / "gallery", user="bob")
    other.search(sighting(1, 0).vector, where=Filter(cameras=["cam0"]))
    action = review.remove(["id-1-0"])
    assert other.search(sighting(1, 0).vector, top=1)[0][0].id != "id-1-0"
    review.undo(action)
    assert other.search(sighting(1, 0).vector, top=1, where=Filter(cameras=["cam0"]))[0][0].id == "id-1-0"
    other.close()


def test_draws_of_a_survey_end_with_a_removal(store, review, tmp_path):
    review.survey(5)
    review.undo(review.remove(["id-1-0"]))
    with sqlite3.connect(tmp_path / "gallery" / "gallery.sqlite") as run:
        assert run.execute("SELECT count(*) FROM survey").fetchone() == (0,)
    run.close()
