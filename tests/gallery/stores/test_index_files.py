"""The index beside the database. Oracle: exact search over the sightings that the gallery has."""

import json
import logging
import os
import shutil
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from gallery.oracle import exact_search
from gallery.people import MODEL, NOW
from gallery.stores.test_sqlite import crowd
from passerby.gallery.card import GalleryCard
from passerby.gallery.filters import EVERYTHING, Filter
from passerby.gallery.stores import faiss_index as index
from passerby.gallery.stores import index_files as files
from passerby.gallery.stores import index_follower as follow
from passerby.gallery.stores.sqlite import SqliteStore

SIGHTINGS = crowd(1500)
QUERIES = np.stack([sighting.vector for sighting in SIGHTINGS[::150]])


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """Galleries of 500 have an inverted file, of which 100 new vectors are written; FAISS is always asked."""
    monkeypatch.setattr(follow, "FEW", 0)
    monkeypatch.setattr(files, "UNSAVED", 100)
    monkeypatch.setattr(follow, "UNSAVED", 100)
    monkeypatch.setattr("passerby.gallery.stores.sqlite.UNSAVED", 100)


@pytest.fixture
def filled(tmp_path):
    """Folder of a gallery of 1,000 sightings, whose index is stored."""
    with opened(tmp_path / "gallery") as store:
        store.add(SIGHTINGS[:1000])
        check(store, SIGHTINGS[:1000])
    assert (tmp_path / "gallery" / files.FOLDER / "index.json").is_file()
    return tmp_path / "gallery"


@contextmanager
def opened(folder):
    store = SqliteStore(folder, GalleryCard(MODEL), user="test", clock=lambda: NOW, exact_below=500)
    try:
        yield store
    finally:
        store.close()


def check(store, sightings, *, where=EVERYTHING, top=20):
    """All cells are probed here, so that the answers are exact."""
    for query, hits in zip(QUERIES, store.search(QUERIES, top=top, where=where), strict=True):
        expected = exact_search(query, sightings, top=top, where=where)
        assert [(hit.id, hit.distance) for hit in hits] == expected


@pytest.fixture
def built(monkeypatch):
    """Sizes of the samples of which an inverted file was made: empty as long as the stored one is used."""
    sizes, train = [], index.InvertedFile.train.__func__

    def recording(cls, sample):
        sizes.append(len(sample))
        return train(cls, sample)

    monkeypatch.setattr(index.InvertedFile, "train", classmethod(recording))
    return sizes


def parts(folder):
    return [sum(sizes) for _, sizes in json.loads((folder / files.FOLDER / "index.json").read_text())["parts"]]


def test_an_opened_gallery_uses_the_stored_index(filled, built):
    with opened(filled) as store:
        check(store, SIGHTINGS[:1000])
        check(store, SIGHTINGS[:1000], where=Filter(cameras=["cam1", "cam3"]))
        check(store, SIGHTINGS[:1000], top=1200)
        assert store.stats().bytes == sum(path.stat().st_size for path in filled.rglob("*") if path.is_file())
    assert built == []
    assert {os.stat(path).st_mode & 0o777 for path in (filled / files.FOLDER).iterdir()} == {0o600}
    assert os.stat(filled / files.FOLDER).st_mode & 0o777 == 0o700


def test_new_sightings_are_read_from_the_database_and_stored_as_parts(filled, built):
    with opened(filled) as store:
        store.add(SIGHTINGS[1000:1050])
        check(store, SIGHTINGS[:1050])
        assert parts(filled) == [1000]  # 50 are few
        store.add(SIGHTINGS[1050:1150])
        check(store, SIGHTINGS[:1150])
        assert parts(filled) == [1000, 150]
        store.add(SIGHTINGS[1150:1300])
        check(store, SIGHTINGS[:1300])
        assert parts(filled) == [1300]  # two parts of 150 are joined, and the large one with both
    with opened(filled) as store:
        check(store, SIGHTINGS[:1300])
    assert built == []
    referenced = json.loads((filled / files.FOLDER / "index.json").read_text())
    names = {referenced["centers"], *(name for name, _ in referenced["parts"])}
    assert {path.stem for path in (filled / files.FOLDER).iterdir()} == {*names, "index"}


def test_a_process_that_only_adds_stores_the_index_when_it_closes(filled, built):
    with opened(filled) as store:
        store.add(SIGHTINGS[1000:1200])
    assert parts(filled) == [1000, 200]
    with opened(filled) as store:
        check(store, SIGHTINGS[:1200])
    assert built == []


def test_removed_sightings_are_not_found_and_leave_the_files_when_they_are_many(filled, built):
    some = Filter(ids=[sighting.id for sighting in SIGHTINGS[:30]])
    with opened(filled) as store:
        check(store, SIGHTINGS[:1000])
        store.remove(some)
        check(store, SIGHTINGS[30:1000])
        store.add(SIGHTINGS[1000:1100])
        check(store, SIGHTINGS[30:1100])
    assert parts(filled) == [1000, 100]
    with opened(filled) as store:
        check(store, SIGHTINGS[30:1100])
        store.remove(Filter(ids=[sighting.id for sighting in SIGHTINGS[30:330]]))
        store.add(SIGHTINGS[1100:1250])
        check(store, SIGHTINGS[330:1250])
    assert parts(filled) == [920]
    with opened(filled) as store:
        check(store, SIGHTINGS[330:1250])
    assert built == []


def test_forgetting_erases_the_vectors_from_the_files(filled, built):
    """The code of a vector is the vector in float16."""
    erased, kept = SIGHTINGS[5], SIGHTINGS[6]
    codes = [item.vector.astype(np.float16).tobytes()[:24] for item in (erased, kept)]

    def content():
        return b"".join(path.read_bytes() for path in filled.rglob("*") if path.is_file())

    assert [code in content() for code in codes] == [True, True]
    with opened(filled) as store:
        store.remove(Filter(ids=[erased.id]), action="forget")
        assert [code in content() for code in codes] == [False, True]
        check(store, [*SIGHTINGS[:5], *SIGHTINGS[6:1000]])
    assert built == []
    with opened(filled) as store:
        store.remove(Filter(not_cameras=["none"]), action="forget")
    assert [code in content() for code in codes] == [False, False]
    assert [*(filled / files.FOLDER).iterdir()] == []


def test_an_interrupted_erasure_is_completed_by_the_next_opening(filled, monkeypatch):
    code = SIGHTINGS[5].vector.astype(np.float16).tobytes()[:24]
    with opened(filled) as store:
        monkeypatch.setattr(files.IndexFiles, "erase", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            store.remove(Filter(ids=[SIGHTINGS[5].id]), action="forget")
    monkeypatch.undo()
    monkeypatch.setattr(follow, "FEW", 0)
    (filled / files.FOLDER / "0123456789abcdef.cells").write_bytes(code)  # of a process that was killed while it wrote
    with opened(filled) as store:
        assert not any(code in path.read_bytes() for path in (filled / files.FOLDER).iterdir())
        check(store, [*SIGHTINGS[:5], *SIGHTINGS[6:1000]])


def test_a_stored_index_of_another_history_is_replaced(filled, built, tmp_path, caplog):
    """A backup is put back after the index has been written, and the gallery continues differently."""
    with opened(filled) as store:
        store.add(SIGHTINGS[1000:1050])
    shutil.copytree(filled, tmp_path / "backup", ignore=shutil.ignore_patterns(files.FOLDER))
    with opened(filled) as store:
        store.add(SIGHTINGS[1050:1250])
    for path in (tmp_path / "backup").iterdir():
        shutil.copy(path, filled / path.name)
    with opened(filled) as store:
        store._clock = lambda: NOW + 1
        store.add(SIGHTINGS[1250:1450])
        with caplog.at_level(logging.WARNING):
            check(store, [*SIGHTINGS[:1050], *SIGHTINGS[1250:1450]])
    assert "of another gallery; the index is built from the database" in caplog.text
    assert len(built) == 1
    with opened(filled) as store:
        check(store, [*SIGHTINGS[:1050], *SIGHTINGS[1250:1450]])
    assert len(built) == 1


def damage_json(folder):
    (folder / "index.json").write_text('{"format": 1}')


def damage_format(folder):
    state = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**state, "format": 99}))


def damage_names(folder):
    state = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**state, "centers": "../../secret"}))


def damage_sizes(folder):
    state = json.loads((folder / "index.json").read_text())
    state["parts"][0][1][0] += 1
    (folder / "index.json").write_text(json.dumps(state))


def cut_cells(folder):
    (path,) = folder.glob("*.cells")
    path.write_bytes(path.read_bytes()[:-8])


def exchange_centers(folder):
    name = json.loads((folder / "index.json").read_text())["centers"]
    np.save(folder / f"{name}.npy", np.array([{"code": "x"}]), allow_pickle=True)


def exchange_rows(folder):
    (path,) = folder.glob("*.cells")
    rows = np.load(folder / f"{path.stem}.npy")
    np.save(folder / f"{path.stem}.npy", rows + 2**40)


def exchange_row_numbers(folder):
    """Row numbers in the cells that the gallery never had."""
    (path,) = folder.glob("*.cells")
    path.write_bytes(np.full(path.stat().st_size // 8, 10**9, np.int64).tobytes())


@pytest.mark.parametrize(
    "damage",
    [
        damage_json,
        damage_format,
        damage_names,
        damage_sizes,
        cut_cells,
        exchange_centers,
        exchange_rows,
        exchange_row_numbers,
    ],
)
def test_a_damaged_index_is_built_again(filled, built, damage, caplog):
    damage(filled / files.FOLDER)
    with opened(filled) as store, caplog.at_level(logging.WARNING):
        check(store, SIGHTINGS[:1000])
    assert str(filled / files.FOLDER) in caplog.text
    assert "built from the database" in caplog.text
    assert len(built) == 1
    with opened(filled) as store:
        check(store, SIGHTINGS[:1000])
    assert len(built) == 1


def test_two_connections_write_one_index(filled, built):
    """Each adds and searches; an index that another has written is read again."""
    with opened(filled) as one, opened(filled) as two:
        check(one, SIGHTINGS[:1000])
        check(two, SIGHTINGS[:1000])
        for start, store in ((1000, one), (1100, two), (1200, one), (1300, two)):
            store.add(SIGHTINGS[start : start + 100])
            check(store, SIGHTINGS[: start + 100])
            check(store, SIGHTINGS[: start + 100])
        check(one, SIGHTINGS[:1400])
    assert built == []
    assert sum(parts(filled)) >= 1300


def test_an_index_that_is_written_during_an_erasure_does_not_bring_it_back(filled, monkeypatch):
    """The row is removed after its vector was written and before the file is published."""
    code = SIGHTINGS[5].vector.astype(np.float16).tobytes()[:24]
    publish = files.IndexFiles._publish

    def publish_late(self, database, state):
        eraser = threading.Thread(target=forget)
        eraser.start()
        while database.connection.execute("SELECT removals FROM state").fetchone() == (state.removals,):
            pass
        monkeypatch.setattr(files.IndexFiles, "_publish", publish)
        published = publish(self, database, state)
        erasers.append(eraser)
        return published

    def forget():
        with opened(filled) as other:
            other.remove(Filter(ids=[SIGHTINGS[5].id]), action="forget")

    erasers = []
    with opened(filled) as store:
        store.add(SIGHTINGS[1000:1400])
        monkeypatch.setattr(files.IndexFiles, "_publish", publish_late)
        store.search(QUERIES)
        erasers[0].join()
        assert not any(code in path.read_bytes() for path in (filled / files.FOLDER).iterdir())
        check(store, [*SIGHTINGS[:5], *SIGHTINGS[6:1400]])


def test_a_folder_that_cannot_be_written_is_reported_and_searched(tmp_path, caplog):
    (tmp_path / "gallery").mkdir()
    with opened(tmp_path / "gallery") as store, caplog.at_level(logging.WARNING):
        (tmp_path / "gallery" / files.FOLDER).write_text("a file")
        store.add(SIGHTINGS[:1000])
        check(store, SIGHTINGS[:1000])
    assert "gallery.sqlite-index: not written (" in caplog.text
    assert "the next opening reads the database" in caplog.text


def test_a_full_disk_leaves_no_file_and_is_tried_once(tmp_path, monkeypatch, caplog):
    attempts = []

    def fill(_handle):
        attempts.append(1)
        raise OSError(28, "No space left on device")

    with opened(tmp_path / "gallery") as store, caplog.at_level(logging.WARNING):
        store.add(SIGHTINGS[:1000])
        monkeypatch.setattr(files.os, "fsync", fill)
        check(store, SIGHTINGS[:1000])
        check(store, SIGHTINGS[:1000])
        monkeypatch.undo()
    assert len(attempts) == 1
    assert [*(tmp_path / "gallery" / files.FOLDER).iterdir()] == []
    assert "not written (" in caplog.text
