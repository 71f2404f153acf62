"""The SQLite store: large galleries, several connections, damaged and foreign files."""

import dataclasses
import os
import shutil
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest

from gallery.oracle import brute_force, exact_search, select
from gallery.people import DAY, MODEL, NOW, OTHER, D, Watch, people, unit
from gallery.stores.embedded import embedded
from gallery.stores.test_stores import FILTERS
from passerby.errors import GalleryError
from passerby.gallery.filters import Filter
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores import faiss_index as index
from passerby.gallery.stores import index_follower as follow
from passerby.gallery.stores import sqlite_database as database
from passerby.gallery.stores.opening import open_gallery

pytestmark = pytest.mark.usefixtures("closed_stores")


def crowd(count, seed=3):
    """Similar people: 40 centers and little noise, so that many distances are close."""
    generator = np.random.default_rng(seed)
    centers = unit(generator, 40)
    vectors = centers[generator.integers(0, 40, count)] + 0.02 * generator.standard_normal((count, D))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[100:160] = vectors[100]  # a tie that is longer than a list
    return [
        Sighting(vector=vector.astype(np.float32), camera=f"cam{i % 5}", time=NOW + i, source=f"{seed}/{i}")
        for i, vector in enumerate(vectors)
    ]


def recalls(store, sightings, queries, *, top):
    """Fraction of the true nearest in the answer to each query."""
    fractions = []
    for query, hits in zip(queries, store.search(queries, top=top), strict=True):
        nearest = {name for name, _ in exact_search(query, sightings, top=top, where=Filter())}
        fractions.append(len({hit.id for hit in hits} & nearest) / top)
    return fractions


@pytest.mark.parametrize("exact_below", [10_000, 500], ids=["flat", "inverted file"])
def test_searches_equal_exact_search_to_the_bit(folder, monkeypatch, exact_below):
    """Oracle: `exact_search`. The same ids and the same distances to the bit, whatever FAISS rounds, with every filter.

    Without one too, because the inverted file has 30 cells here and looks into 32.
    """
    monkeypatch.setattr(follow, "FEW", 0)
    sightings = crowd(1200)
    store = embedded(folder, exact_below=exact_below)
    store.add(sightings)
    queries = np.stack([sightings[100].vector, sightings[7].vector, unit(np.random.default_rng(1), 1)[0]])
    some = Filter(cameras=["cam1", "cam2"], since=NOW + 150)
    for where in (Filter(), Filter(not_cameras=["cam0"]), some, Filter(ids=[]), Filter(cameras=["cam4"])):
        for top in (1, 3, 50, 2000):
            for query in queries:
                (hits,) = store.search(query, top=top, where=where)
                expected = exact_search(query, sightings, top=top, where=where)
                assert [(hit.id, hit.distance) for hit in hits] == expected, (where, top)


def test_an_approximate_search_finds_most_and_fills_its_list(folder, monkeypatch):
    """Two of 30 cells probed: the fraction of the true 20 nearest, and lists longer than those two cells."""
    monkeypatch.setattr(follow, "FEW", 0)
    monkeypatch.setattr(index, "PROBES", 2)
    monkeypatch.setattr(index, "RECALL", 0.0)
    store, sightings = embedded(folder, exact_below=500), crowd(1200)
    store.add(sightings)
    queries = np.stack([sighting.vector for sighting in sightings[:100:4]])
    assert 0.8 < np.mean(recalls(store, sightings, queries, top=20)) < 1
    assert [len(hits) for hits in store.search(queries, top=900)] == [900] * len(queries)
    some = Filter(not_cameras=["cam0"])
    for query, hits in zip(queries, store.search(queries, where=some), strict=True):
        assert [(hit.id, hit.distance) for hit in hits] == exact_search(query, sightings, top=10, where=some)


def test_the_number_of_probes_is_tuned_to_the_vectors(folder, monkeypatch):
    """From one probe on: vectors that fill few directions need fewer cells than vectors that fill all."""
    monkeypatch.setattr(follow, "FEW", 0)
    monkeypatch.setattr(index, "PROBES", 1)
    store, sightings = embedded(folder, exact_below=500), crowd(1200)
    store.add(sightings)
    queries = np.stack([sighting.vector for sighting in sightings[5:400:9]])
    assert np.mean(recalls(store, sightings, queries, top=50)) > 0.95

    few = unit(np.random.default_rng(0), 2000)
    few[:, 2:] *= 0.01
    few /= np.linalg.norm(few, axis=1, keepdims=True)
    probes = []
    for vectors in (few, unit(np.random.default_rng(0), 2000)):
        trained = index.InvertedFile.train(vectors)
        trained.add(np.arange(2000), vectors)
        trained.tune(vectors[:24])
        probes.append(trained.probes)
    assert probes[0] < probes[1] <= trained.cells


def test_an_open_gallery_switches_to_an_inverted_file_when_it_grows(folder, monkeypatch):
    monkeypatch.setattr(follow, "FEW", 0)
    sightings = crowd(900)
    store = embedded(folder, exact_below=500)
    store.add(sightings[:400])
    assert store.search(sightings[0].vector, top=1)[0][0].id == sightings[0].id
    assert store.stats().index == "exact"
    store.add(sightings[400:])
    for sighting in sightings[::97]:
        assert store.search(sighting.vector, top=100)[0][0].distance == 0
    assert "inverted file" in store.stats().index
    store.remove(Filter(cameras=["cam1"]))
    hits = store.search(sightings[0].vector, top=200)[0]
    assert {hit.camera for hit in hits} == {"cam0", "cam2", "cam3", "cam4"}


def test_a_connection_reads_what_another_has_committed(folder):
    writer, reader = embedded(folder), embedded(folder, card=None)
    sightings = people(20)
    for start in range(0, 20, 5):
        writer.add(sightings[start : start + 5])
        query = sightings[start].vector
        expected = brute_force(query, sightings[: start + 5], 30)
        assert [hit.id for hit in reader.search(query, top=30)[0]] == [item for item, _ in expected]
    writer.remove(Filter(cameras=["cam0"]))
    writer.add(people(4, seed=1, camera="cam7"))
    left = select(sightings, Filter(not_cameras=["cam0"])) + people(4, seed=1, camera="cam7")
    expected = brute_force(sightings[0].vector, left, 30)
    assert [hit.id for hit in reader.search(sightings[0].vector, top=30)[0]] == [item for item, _ in expected]
    assert reader.audit() == writer.audit()


def test_searches_are_equal_after_reopening(folder):
    sightings = people(40)
    first = embedded(folder)
    first.add(sightings)
    before = [first.search(sightings[3].vector, top=40, where=where) for where in FILTERS.values()]
    first.close()
    again = embedded(folder, card=None)
    assert [again.search(sightings[3].vector, top=40, where=where) for where in FILTERS.values()] == before


def test_the_audit_log_is_append_only(folder):
    embedded(folder)
    connection = sqlite3.connect(folder / "gallery.sqlite")
    for statement in (
        "UPDATE audit SET user = 'other'",
        "DELETE FROM audit",
        "REPLACE INTO audit VALUES (1, 0, '', '', '')",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


def test_commits_are_durable(folder):
    base = embedded(folder)._database.connection
    pragmas = ("journal_mode", "synchronous", "secure_delete", "foreign_keys")
    assert [base.execute(f"PRAGMA {item}").fetchone()[0] for item in pragmas] == ["wal", 2, 1, 1]


def test_uncommitted_data_is_deleted_when_the_gallery_is_opened(folder, tmp_path):
    """A write-ahead log as a killed writer leaves it: committed data, then frames of an uncommitted transaction."""
    embedded(folder).add(people(5))
    shutil.copytree(folder, tmp_path / "killed")
    log = tmp_path / "killed" / "gallery.sqlite-wal"
    log.write_bytes(log.read_bytes() + 40 * b"never committed ")
    assert embedded(tmp_path / "killed").count() == 5
    assert b"never committed" not in b"".join(path.read_bytes() for path in (tmp_path / "killed").iterdir())


def test_opening_does_not_wait_for_readers_and_keeps_the_timeout(folder):
    first = embedded(folder)
    first.add(people(5))
    with first._database.read() as run:
        run.execute("SELECT count(*) FROM sightings").fetchone()
        second = embedded(folder)
        assert second.count() == 5
    patience = [item._database.connection.execute("PRAGMA busy_timeout").fetchone()[0] for item in (first, second)]
    assert patience == [1000 * database._TIMEOUT] * 2


def test_a_writer_that_does_not_end_raises_after_the_timeout(folder, monkeypatch):
    store = embedded(folder)
    other = sqlite3.connect(folder / "gallery.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._database.connection.execute("PRAGMA busy_timeout=50")
    with pytest.raises(GalleryError, match="another process has been writing for 30 s; try again"):
        store.add(people(1))
    other.close()
    assert len(store.add(people(1)).new) == 1


def test_a_store_belongs_to_one_thread(folder):
    store, messages = embedded(folder), []

    def elsewhere():
        try:
            store.count()
        except GalleryError as error:
            messages.append(str(error))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "open the gallery once in each thread" in messages[0]
    store.close()
    with pytest.raises(GalleryError, match="closed, or opened in another thread"):
        store.count()


def test_a_full_disk_keeps_what_was_acknowledged(folder):
    """SQLite raises the same error when a database may not grow and when a disk is full."""
    store = embedded(folder)
    store.add(people(5))
    pages = store._database.connection.execute("PRAGMA page_count").fetchone()[0]
    store._database.connection.execute(f"PRAGMA max_page_count={pages + 1}")
    with pytest.raises(GalleryError, match="the disk is full; free space and repeat the call"):
        store.add(crowd(3000))
    store.close()
    assert embedded(folder).count() == 5


def test_retention_counts_from_the_first_enrollment(folder):
    watch = Watch()
    old = dataclasses.replace(people(1)[0], enrolled=NOW - 40 * DAY)
    store = open_gallery(folder, model=MODEL, retention=30, clock=watch)
    store.add([old, *people(3, seed=1)])
    store.close()
    again = open_gallery(folder, clock=watch)
    assert again.count() == 3


def test_models_of_equal_width_are_distinguished(folder):
    embedded(folder)
    with pytest.raises(GalleryError, match="have no meaning"):
        open_gallery(folder, model=OTHER)


_USE = """
import sys, time
import numpy as np
from passerby.gallery.stores.opening import open_gallery
store = open_gallery(sys.argv[1])
print("open", flush=True)
end = time.time() + 4
while time.time() < end:
    store.search(np.ones(24))
"""


def test_erasure_waits_for_processes_that_search_and_write_the_audit_log(folder):
    store = embedded(folder)
    store.add([*people(40), dataclasses.replace(people(1, seed=9)[0], label="Forgotten Person", id="f")])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    words = [sys.executable, "-c", _USE, str(folder)]
    users = [subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for user in users:
        assert user.stdout.readline() == "open\n"
    for number in range(4):
        assert store.remove(Filter(ids=[people(40)[number].id]), action="forget") == 1
    assert store.remove(Filter(labels=["Forgotten Person"]), action="forget") == 1
    assert not [path for path in folder.iterdir() if b"Forgotten Person" in path.read_bytes()]
    for user in users:
        user.communicate(timeout=60)
        assert user.returncode == 0
