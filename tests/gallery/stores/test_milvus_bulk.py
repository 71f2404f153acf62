"""Bulk insertion into a Milvus server. Oracle: the sightings that were sent, each once, and what upserts store."""

import logging
import multiprocessing
import random
import re
import time

import numpy as np
import pytest

import passerby
from gallery.people import MODEL, NOW, people, unit
from passerby.errors import GalleryError, NoGalleryError
from passerby.gallery.card import GalleryCard
from passerby.gallery.filters import Filter
from passerby.gallery.shards import ShardModel, make_shard
from passerby.gallery.sightings import SightingInfo
from passerby.gallery.stores.opening import open_gallery
from programs import require_module

KILLS, ROWS = 6, 400


def opened(address):
    from passerby.gallery.stores.milvus import MilvusStore

    return MilvusStore(address, GalleryCard(MODEL), user="test", patience=60)


def files_of(folder, address, path=None):
    """The storage, which the server names by the same path."""
    from passerby.gallery.stores.bulk_storage import BulkStorage

    return BulkStorage(str(folder), address.rpartition("/")[2], path)


def count_rows(store):
    """Number of rows, an id with two of them twice, once everything that was inserted is visible."""
    store._connection.call("load_collection", store._name, _refresh=True)
    return store.count()


def contents(store):
    return [(sighting.info, sighting.vector.tobytes()) for page in store.walk() for sighting in page]


def insert_forever(address, folder, rows):
    """Send files of a few sightings, as a process that will be killed."""
    from passerby.gallery.stores import milvus_bulk

    milvus_bulk.ROWS, milvus_bulk._ROUND = 20, 4
    list(opened(address).insert_in_bulk(people(rows), files_of(folder, address)))


@pytest.fixture
def small(monkeypatch):
    """Files of 20 sightings, 3 in a round."""
    from passerby.gallery.stores import milvus_bulk

    monkeypatch.setattr(milvus_bulk, "ROWS", 20)
    monkeypatch.setattr(milvus_bulk, "_ROUND", 3)


@pytest.fixture
def place(milvus_server, request):
    """Address of a new gallery, and a folder that the server reads."""
    name = f"b{abs(hash(request.node.nodeid)):x}"
    folder = milvus_server.root / name
    folder.mkdir()
    return f"{milvus_server.address}/{name}", folder


def test_files_store_on_a_server_what_upserts_store(place, small):
    address, folder = place
    sightings = people(75, enrolled=NOW)
    one, other = opened(f"{address}u"), opened(address)
    added = one.add(sightings)
    first, second = other.insert_in_bulk(iter(sightings), files_of(folder, address))
    assert (first.new + second.new, first.known, second.known) == (added.new, (), ())
    assert contents(other) == contents(one)
    assert other.search(sightings[3].vector, top=5) == one.search(sightings[3].vector, top=5)
    assert list(folder.iterdir()) == []
    again = list(other.insert_in_bulk([*sightings, *people(10, seed=1)], files_of(folder, address)))
    assert (sum(len(part.new) for part in again), sum(len(part.known) for part in again)) == (10, 75)
    assert count_rows(other) == 85
    counts = [entry.counts for entry in other.audit() if entry.action == "enroll"]
    assert counts[:2] == [{"sightings": 60, "known": 0}, {"sightings": 15, "known": 0}]
    one.close()
    other.close()


def test_kill_9_while_a_server_inserts_files_leaves_each_sighting_once(place):
    """The server finishes what a killed process has sent; the next one waits for that."""
    address, folder = place
    opened(address).close()
    context, moments = multiprocessing.get_context("forkserver"), random.Random(0)
    context.set_forkserver_preload(["passerby.gallery.stores.milvus_bulk", "gallery.people"])
    kills = 0
    while kills < KILLS:
        process = context.Process(target=insert_forever, args=(address, folder, ROWS), daemon=True)
        process.start()
        end = time.monotonic() + 120
        while not any(folder.iterdir()) and process.is_alive():
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(moments.random() * 1.5)
        if not process.is_alive():
            break
        process.kill()
        process.join()
        kills += 1
    assert kills > 1
    left = opened(address)
    results = list(left.insert_in_bulk(people(ROWS), files_of(folder, address)))
    assert sum(len(part.new) + len(part.known) for part in results) == ROWS
    assert count_rows(left) == ROWS
    assert {sighting.id for page in left.walk() for sighting in page} == {sighting.id for sighting in people(ROWS)}
    assert list(folder.iterdir()) == []
    left.close()


def test_shards_are_enrolled_on_a_server_as_files(place, tmp_path):
    address, folder = place
    crops = [SightingInfo(camera="door", source=f"{i}.jpg", label="Ada") for i in range(30)]
    vectors = unit(np.random.default_rng(0), 30)
    (tmp_path / "shards").mkdir()
    for number in range(2):
        part = slice(15 * number, 15 * (number + 1))
        shard = make_shard(crops[part], vectors[part], ShardModel(MODEL, False, "fp32"))
        (tmp_path / "shards" / f"{number}.parquet").write_bytes(shard)
    with pytest.raises(GalleryError, match="cannot be listed"):
        passerby.enroll_shards(address, tmp_path, bulk=folder / "missing")
    with pytest.raises(NoGalleryError):  # nothing was made
        open_gallery(address)
    result = passerby.enroll_shards(address, tmp_path, bulk=folder)
    assert (result.new, result.known) == (30, 0)
    assert passerby.enroll_shards(address, tmp_path).known == 30
    store = opened(address)
    found = {info["source"]: np.frombuffer(vector, np.float32) for info, vector in contents(store)}
    np.testing.assert_allclose([found[f"{i}.jpg"] for i in range(30)], vectors, atol=1e-6)
    assert len(found) == 30
    store.close()


def test_ids_that_another_process_sends_to_a_server_meanwhile_are_there_once(place, small, monkeypatch):
    from passerby.gallery.stores.milvus_bulk import BulkInsertion

    address, folder = place
    store, other, sent = opened(address), opened(address), []
    send = BulkInsertion._send

    def send_late(insertion, sightings):
        send(insertion, sightings)
        sent.append(other.add(sightings[:7]))

    monkeypatch.setattr(BulkInsertion, "_send", send_late)
    (result,) = store.insert_in_bulk(people(40), files_of(folder, address))
    assert len(result.new) == 40
    assert [len(added.new) for added in sent] == [7, 7]
    assert count_rows(store) == 40
    assert store.count(Filter(ids=[sent[0].new[0]])) == 1
    store.close()
    other.close()


def test_a_server_that_names_the_folder_otherwise_needs_its_path(place, small):
    address, folder = place
    store = opened(address)
    message = re.escape(f"{address}: the server cannot insert /elsewhere/passerby-") + (
        rf".*\.parquet \(.* it.*no such file.*\), which was written to {folder}; if the server was started again, "
        r"repeat the command, which adds what is missing; if it does not find the file, give the server's own storage "
        r"as bulk, and its path there as bulk_path$"
    )
    with pytest.raises(GalleryError, match=message):
        list(store.insert_in_bulk(people(5), files_of(folder, address, "/elsewhere")))
    assert list(folder.iterdir()) == []
    assert count_rows(store) == 0
    link = folder.with_name(f"{folder.name}-link")
    link.symlink_to(folder)
    (result,) = store.insert_in_bulk(people(5), files_of(link, address, f"{folder}/"))
    assert len(result.new) == count_rows(store) == 5
    store.close()


def test_files_of_other_machines_are_named_and_stay_on_a_server(place, small, caplog):
    address, folder = place
    name = address.rpartition("/")[2]
    other = f"passerby-{name}-00000000-1-{'a' * 32}.parquet"
    (folder / other).touch()
    (folder / f"passerby-{name}-export.parquet").touch()
    store = opened(address)
    with caplog.at_level(logging.WARNING):
        assert list(store.insert_in_bulk([], files_of(folder, address))) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder}: 1 file of another machine, as {other}; delete those of ended processes: they contain vectors of "
        "people"
    ]
    assert len(list(folder.iterdir())) == 2
    store.close()


def test_a_server_that_is_started_again_loses_no_file_for_good(milvus_server, place, small, monkeypatch):
    """Oracle: after the same call has been repeated, each sighting is there once."""
    from passerby.gallery.stores.milvus_bulk import BulkInsertion

    address, folder = place
    store, send, killed = opened(address), BulkInsertion._send, []

    def kill_once(insertion, sightings):
        send(insertion, sightings)
        if not killed:
            killed.append(True)
            milvus_server.kill()
            milvus_server.start()

    monkeypatch.setattr(BulkInsertion, "_send", kill_once)
    with pytest.raises(GalleryError, match=r"cannot insert .* \(.*restarted\), .* started again, repeat the command"):
        list(store.insert_in_bulk(people(70), files_of(folder, address)))
    assert list(folder.iterdir()) == []
    list(store.insert_in_bulk(people(70), files_of(folder, address)))
    assert count_rows(store) == 70
    assert list(folder.iterdir()) == []
    store.close()


def test_rows_that_were_removed_meanwhile_are_reported_by_a_server(place, small, monkeypatch):
    from passerby.gallery.stores.milvus_bulk import BulkInsertion

    address, folder = place
    store = opened(address)
    finish = BulkInsertion._finish

    def finish_and_remove(insertion):
        finish(insertion)
        if insertion._files:
            store.remove(Filter(ids=[people(30)[0].id]))

    monkeypatch.setattr(BulkInsertion, "_finish", finish_and_remove)
    with pytest.raises(GalleryError, match=r"1 inserted sighting cannot be found; if none was removed meanwhile, rep"):
        list(store.insert_in_bulk(people(30), files_of(folder, address)))
    assert np.unique([info["id"] for info, _ in contents(store)]).size == 29
    store.close()


def test_a_file_that_cannot_be_deleted_does_not_hide_the_first_error(tmp_path, monkeypatch, caplog):
    require_module("pymilvus")
    from passerby.gallery.stores.milvus_bulk import BulkInsertion

    storage = files_of(tmp_path, "people")
    insertion = BulkInsertion(None, None, "people", storage, now=NOW)

    def refuse(*_):
        raise GalleryError("the server refuses")

    def keep(_names):
        raise GalleryError("cannot be deleted")

    monkeypatch.setattr(insertion, "_finish", lambda: None)
    monkeypatch.setattr(insertion, "_add_round", refuse)
    monkeypatch.setattr(insertion, "_clean_up", lambda: None)
    monkeypatch.setattr(storage, "delete", keep)
    with caplog.at_level(logging.WARNING), pytest.raises(GalleryError, match="the server refuses"):
        list(insertion.add(people(3)))
    assert [record.getMessage() for record in caplog.records] == ["cannot be deleted"]
