"""A server that is killed and started again. Oracle: what was acknowledged before."""

import threading
import time

import pytest

from gallery.milvus_server import require_server, running_server
from gallery.people import MODEL, people
from passerby.errors import GalleryError, NoGalleryError
from passerby.gallery.card import GalleryCard
from passerby.gallery.filters import Filter


@pytest.fixture
def server(tmp_path):
    """A server of this test's own: it is killed."""
    require_server()
    with running_server(tmp_path / "milvus") as server:
        yield server


def opened(server, *, patience, card=None):
    from passerby.gallery.stores.milvus import MilvusStore

    return MilvusStore(f"{server.address}/people", card, user="test", patience=patience)


def test_a_killed_server_is_waited_for_and_nothing_acknowledged_is_lost(server):
    store = opened(server, patience=60, card=GalleryCard(MODEL))
    first, second = people(40)[:20], people(40)[20:]
    assert len(store.add(first).new) == 20
    server.kill()

    hasty = None
    began = time.monotonic()
    with pytest.raises(GalleryError, match=r"no answer within 2 s .*; everything acknowledged is on the server"):
        hasty = opened(server, patience=2)
    assert hasty is None
    assert time.monotonic() - began < 60

    back = threading.Timer(1.0, server.start)  # while the next call waits
    back.start()
    try:
        added = store.add([*first, *second])
    finally:
        back.join()
    assert (len(added.new), len(added.known)) == (20, 20)
    assert store.count() == 40
    assert {sighting.id for rows in store.walk() for sighting in rows} == {
        sighting.id for sighting in (*first, *second)
    }
    (hits,) = store.search(first[0].vector, top=3, where=Filter(cameras=[first[0].camera]))
    assert hits[0].distance == pytest.approx(0, abs=1e-6)


def test_searches_include_own_writes_at_once_and_those_of_others_soon(server):
    """Oracle: what was acknowledged to each client. Later searches do not wait as the first does."""
    distinct = [item for i, item in enumerate(people(60)) if i % 7 != 1]
    mine, theirs = distinct[:20], distinct[20:40]
    one = opened(server, patience=60, card=GalleryCard(MODEL))
    one.add(mine)
    other = opened(server, patience=60)

    def nearest_to(sighting, store):
        return store.search(sighting.vector, top=1)[0][0].id

    assert nearest_to(mine[0], other) == mine[0].id
    assert nearest_to(mine[0], one) == mine[0].id
    for item in theirs:
        other.add([item])
        assert nearest_to(item, other) == item.id
    end = time.monotonic() + 30
    while nearest_to(theirs[-1], one) != theirs[-1].id:
        assert time.monotonic() < end
    one.remove(Filter(ids=[mine[0].id]))
    assert nearest_to(mine[0], one) != mine[0].id
    one.close()
    other.close()


def test_a_missing_collection_is_no_gallery(server):
    with pytest.raises(NoGalleryError, match="no gallery here; enroll images with a model to make one"):
        opened(server, patience=60)


def test_a_gallery_that_was_released_from_memory_is_loaded_when_it_is_opened(milvus_server):
    """Oracle: the hits before. Meanwhile a search of it ends with an error, and others go on."""
    from pymilvus import MilvusClient

    from passerby.gallery.stores.milvus import MilvusStore

    weeks = [
        MilvusStore(f"{milvus_server.address}/week{number}", GalleryCard(MODEL), user="test", patience=60)
        for number in range(2)
    ]
    for number, store in enumerate(weeks):
        store.add(people(30, seed=number))
    query = people(1)[0].vector
    before = [store.search(query, top=5) for store in weeks]
    hasty = MilvusStore(f"{milvus_server.address}/week0", user="test", patience=8)
    client = MilvusClient(uri=milvus_server.address.replace("milvus://", "http://"))
    for name in ("week0", "week0_audit"):
        client.release_collection(name)
    with pytest.raises(GalleryError, match=r"no answer within 8 s .*not loaded"):
        hasty.search(query, top=5)
    assert weeks[1].search(query, top=5) == before[1]
    again = MilvusStore(f"{milvus_server.address}/week0", user="test", patience=60)
    assert again.search(query, top=5) == before[0]
    for store in (*weeks, hasty, again):
        store.close()
    client.close()
