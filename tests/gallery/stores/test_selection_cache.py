"""Selections that are kept. Oracle: the same selection by a store that was just opened, and the SQL that is run."""

from itertools import pairwise

import pytest

from gallery.people import MODEL, NOW, people
from passerby.gallery.filters import Filter
from passerby.gallery.stores import selection_cache
from passerby.gallery.stores.opening import open_gallery

FILTERS = [
    Filter(labeled=True),
    Filter(cameras=["cam0"]),
    Filter(until=0),
    Filter(ids=[]),
    Filter(not_cameras=["cam1"]),
]


def read(store, query):
    """What each filter selects."""
    found = [[hit.id for hit in store.search(query, top=100, where=where)[0]] for where in FILTERS]
    return found, [(store.count(where), store.count_labels(where)) for where in FILTERS]


@pytest.mark.parametrize("by", ["own", "other"])
def test_every_change_of_sightings_is_noticed(tmp_path, by):
    store = open_gallery(tmp_path / "people", model=MODEL)
    other = open_gallery(tmp_path / "people")
    sightings = people(30)
    query = sightings[0].vector
    writer = store if by == "own" else other
    states = []
    for change in (
        lambda: writer.add(sightings[:20]),
        lambda: writer.add(sightings[20:]),
        lambda: writer.relabel(Filter(cameras=["cam0"]), "Ada"),
        lambda: writer.relabel(Filter(cameras=["cam0"]), None),
        lambda: writer.remove(Filter(ids=[sightings[0].id])),
        lambda: writer.remove(Filter(cameras=["cam0"]), action="forget"),
    ):
        change()
        fresh = open_gallery(tmp_path / "people")
        states.append(read(store, query))
        assert states[-1] == read(store, query) == read(fresh, query)
        fresh.close()
    assert all(one != two for one, two in pairwise(states))
    store.close()
    other.close()


def test_searches_of_one_filter_select_once(tmp_path, monkeypatch):
    store = open_gallery(tmp_path / "people", model=MODEL)
    sightings = people(30)
    store.add(sightings)
    statements = []
    store._database.connection.set_trace_callback(statements.append)
    for _ in range(5):
        store.search(sightings[0].vector, where=Filter(labeled=True))  # each writes a line of the audit log
        store.count_labels(Filter(labeled=True))
    assert sum("json_group_array" in text for text in statements) == 1
    assert sum("count(DISTINCT label)" in text for text in statements) == 1
    for number in range(300):
        store.count(Filter(since=float(number)))
    assert len(store._selections._kept) == 256
    monkeypatch.setattr(selection_cache, "_ROWS", 50)
    for number in range(3):
        store.search(sightings[0].vector, where=Filter(since=NOW - number))
    assert [kept.size for kept in store._selections._kept.values()] == [24, 24]  # of three
    store._database.connection.set_trace_callback(None)
    store.close()
