"""Erasure. Oracle: a search for the bytes of a sighting in all files of the folder."""

import json
import sqlite3

import numpy as np
import pytest

from gallery.people import DAY, MODEL, NOW, Watch, encoded_image, people, unit
from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.forget import expire, forget
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores import sqlite_database as database
from passerby.gallery.stores.opening import open_gallery

LABEL = "Wilhelmina Unforgotten"


def traces(folder, sighting):
    """Which parts of a sighting are in which files."""
    parts = {
        "vector": sighting.vector.tobytes()[8:48],
        "picture": sighting.crop[100:160],
        "label": sighting.label.encode(),
        "source": sighting.source.encode(),
        "id": sighting.id.encode(),
        "attribute": sighting.attributes["coat"].encode(),
    }
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {name for name, part in parts.items() for path in files if part in path.read_bytes()}


def person(number, label=LABEL):
    return Sighting(
        vector=unit(np.random.default_rng(1000 + number), 1, 24)[0],
        camera="lobby",
        label=label,
        source=f"holiday/{label}/{number}.png",
        crop=encoded_image(number),
        attributes={"coat": f"the green coat of {label} number {number}"},
    )


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "gallery"


@pytest.fixture
def store(folder):
    """50 people with crops, two of whom will be forgotten, and some searches."""
    store = open_gallery(folder, model=MODEL, keep="crops", retention=100, clock=lambda: NOW)
    store.add([*people(24), person(0)])
    store.add([person(1), *people(24, seed=1), person(2, label="Grace Hopper")])
    store.search(person(0).vector, where=Filter(labels=[LABEL]))
    yield store
    store.close()


@pytest.mark.parametrize("how", ["label", "ids", "days"])
def test_forgotten_sightings_are_in_no_file(store, folder, how):
    erased = [person(0), person(1)]
    for sighting in erased:
        assert traces(folder, sighting) == {"vector", "picture", "label", "source", "id", "attribute"}
    if how == "label":
        assert forget(store, label=LABEL) == 2
    elif how == "ids":
        assert forget(store, ids=[sighting.id for sighting in erased]) == 2
    else:
        assert expire(store, days=1, clock=lambda: NOW + 2 * DAY) == 51
    for sighting in erased:
        assert traces(folder, sighting) == set()
    left = person(2, label="Grace Hopper")
    assert traces(folder, left) == (
        set() if how == "days" else {"vector", "picture", "label", "source", "id", "attribute"}
    )
    assert LABEL not in repr(store.audit())


def test_an_interrupted_erasure_is_completed_by_the_next_open(store, folder, monkeypatch):
    monkeypatch.setattr(database.Database, "erase", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):  # as if the process had ended here
        forget(store, label=LABEL)
    monkeypatch.undo()
    store.close()
    again = open_gallery(folder, clock=lambda: NOW)
    assert again.count() == 49
    assert traces(folder, person(0)) == set()
    again.close()


def test_an_erasure_blocked_by_a_reader_raises_and_is_completed_by_the_next_open(store, folder):
    """Rows are removed at once; the write-ahead log can be emptied only without readers."""
    store._database.connection.execute("PRAGMA busy_timeout=100")
    reader = sqlite3.connect(folder / "gallery.sqlite", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM sightings").fetchone()
    with pytest.raises(
        GalleryError, match="removed, but the files could not be rewritten because another process kept"
    ):
        forget(store, label=LABEL)
    assert store.count(Filter(labels=[LABEL])) == 0
    reader.close()
    store.close()
    again = open_gallery(folder, clock=lambda: NOW)
    assert traces(folder, person(1)) == set()
    again.close()


def test_compacting_erases_removed_sightings(store, folder):
    assert store.remove(Filter(labels=[LABEL])) == 2
    store.compact()
    assert traces(folder, person(0)) == set()


def test_forget_takes_exactly_one_selection(store):
    for options in ({}, {"label": LABEL, "ids": []}):
        with pytest.raises(GalleryError, match=r"forget: got .* for label, ids, sources; expected one of them"):
            forget(store, **options)
    assert forget(store, label="missing") == 0


def test_expire_uses_the_given_days_or_the_retention(store):
    assert expire(store, clock=lambda: NOW + 99 * DAY) == 0
    assert expire(store, clock=lambda: NOW + 101 * DAY) == 51
    with pytest.raises(GalleryError, match="days: got -1, expected 0 or more"):
        expire(store, days=-1)
    memory = open_gallery("memory", model=MODEL, clock=Watch())
    memory.add(people(3))
    assert expire(memory, clock=lambda: NOW + 1e6 * DAY) == 0  # no retention
    assert json.dumps([entry.action for entry in memory.audit()]) == '["create", "enroll"]'


def test_opening_with_a_wrong_clock_erases_nothing(store, folder):
    """A clock that is a year ahead: the 51 sightings are past their retention of 100 days at once."""
    store.close()
    for _ in range(2):
        with pytest.raises(GalleryError, match=r"51 of 51 sightings past .* 100 days.*--confirm-erase"):
            open_gallery(folder, clock=lambda: NOW + 365 * DAY)
    again = open_gallery(folder, clock=lambda: NOW)
    assert again.count() == 51
    again.close()
    confirmed = open_gallery(folder, clock=lambda: NOW + 365 * DAY, confirm_erase=True)
    assert confirmed.count() == 0
    confirmed.close()
