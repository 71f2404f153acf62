"""Lists in copies of a gallery. Oracle: what an erasure in the gallery itself names, and lists by hand."""

import json
import os
import shutil
import sqlite3

import pytest

import passerby
from gallery.people import MODEL, people
from passerby.errors import GalleryError
from passerby.gallery import backup
from passerby.gallery.adapted_runs import FILE as RUNS
from passerby.gallery.adapted_runs import record_adapted_run
from passerby.gallery.backup import backup_gallery, restore_gallery
from passerby.gallery.carried_lists import CarriedLists, parse_lists, read_lists
from passerby.gallery.enrolled_shards import FILE as JOBS
from passerby.gallery.filters import Filter
from passerby.gallery.forget import forget
from passerby.gallery.parquet import LISTS_KEY, export_gallery, import_gallery, import_sightings
from passerby.gallery.shards import ShardModel, make_shard
from passerby.gallery.sightings import SightingInfo
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.stores.sqlite_database import FILE


@pytest.fixture
def people_folder(tmp_path):
    """A gallery of a job of three crops, one of Ada, and a run that was adapted by two of them."""
    shard = tmp_path / "job" / "shards" / "0.parquet"
    shard.parent.mkdir(parents=True)
    crops = [SightingInfo(id="", camera="door", source=f"{i}.jpg", label=None if i else "Ada") for i in range(3)]
    vectors = [sighting.vector for sighting in people(3)]
    shard.write_bytes(make_shard(crops, vectors, ShardModel(MODEL, True, "fp32")))
    passerby.enroll_shards(tmp_path / "people", tmp_path / "job")
    store = open_gallery(tmp_path / "people")
    ids = [store.find_ids(Filter(sources=[f"{i}.jpg"]))[0] for i in range(2)]
    store.close()
    record_adapted_run(tmp_path / "people", tmp_path / "run", ids)
    return tmp_path / "people"


def by_backup(source, copy):
    backup_gallery(source, copy)


def by_restored_backup(source, copy):
    backup_gallery(source, copy.parent / "backup")
    restore_gallery(copy.parent / "backup", copy)


def by_restored_backup_that_was_opened(source, copy):
    backup_gallery(source, copy.parent / "backup")
    open_gallery(copy.parent / "backup").close()
    restore_gallery(copy.parent / "backup", copy)


def by_the_file_of_a_backup(source, copy):
    """As `POST /v1/backup` returns it."""
    backup_gallery(source, copy.parent / "backup")
    copy.mkdir()
    shutil.copy(copy.parent / "backup" / FILE, copy / FILE)


def by_export(source, copy):
    store = open_gallery(source)
    export_gallery(store, copy.parent / "g.parquet")
    store.close()
    import_gallery(copy, copy.parent / "g.parquet")


@pytest.mark.parametrize(
    "way",
    [by_backup, by_restored_backup, by_restored_backup_that_was_opened, by_the_file_of_a_backup, by_export],
)
def test_an_erasure_in_a_copy_names_the_same_shards_and_runs(people_folder, tmp_path, caplog, way):
    way(people_folder, tmp_path / "copy")
    named = []
    for where in (people_folder, tmp_path / "copy"):
        caplog.clear()
        store = open_gallery(where)
        assert forget(store, label="Ada") == 1
        store.close()
        named.append(caplog.messages)
    assert named[0] == named[1]
    assert [message.partition(":")[0] for message in named[1]] == [
        str(tmp_path / "job" / "shards" / "0.parquet"),
        str(tmp_path / "run"),
    ]
    for name in (JOBS, RUNS):
        assert (tmp_path / "copy" / name).read_text() == (people_folder / name).read_text()
        assert os.stat(tmp_path / "copy" / name).st_mode & 0o777 == 0o600


def test_the_lists_of_a_copy_are_moved_to_its_files_once(people_folder, tmp_path):
    backup_gallery(people_folder, tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == [FILE]
    open_gallery(tmp_path / "copy").close()
    record_adapted_run(tmp_path / "copy", tmp_path / "run", [])
    open_gallery(tmp_path / "copy").close()
    assert read_lists(tmp_path / "copy").runs == [{"run": str(tmp_path / "run"), "ids": []}]
    connection = sqlite3.connect(tmp_path / "copy" / FILE)
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'carried'").fetchone() == (0,)
    connection.close()


def test_a_sighting_that_is_erased_during_a_backup_stays_in_the_lists_of_the_copy(people_folder, tmp_path, monkeypatch):
    """The copy has it, so that an erasure in the copy has to name the run."""
    check = backup.check_copy

    def erase_and_check(*args):
        store = open_gallery(people_folder)
        forget(store, label="Ada")
        store.close()
        return check(*args)

    before = read_lists(people_folder)
    monkeypatch.setattr(backup, "check_copy", erase_and_check)
    backup_gallery(people_folder, tmp_path / "copy")
    store = open_gallery(tmp_path / "copy")
    assert store.count(Filter(labels=["Ada"])) == 1
    assert [{**entry, "ids": {*entry["ids"]}} for entry in read_lists(tmp_path / "copy").runs] == [
        {**entry, "ids": {*entry["ids"]}} for entry in before.runs
    ]
    store.close()


def test_an_export_of_a_part_has_the_runs_of_the_part(people_folder, tmp_path):
    store = open_gallery(people_folder)
    (second,) = store.find_ids(Filter(sources=["1.jpg"]))
    export_gallery(store, tmp_path / "second.parquet", where=Filter(sources=["1.jpg"]))
    export_gallery(store, tmp_path / "third.parquet", where=Filter(sources=["2.jpg"]))
    store.close()
    import_gallery(tmp_path / "copy", tmp_path / "third.parquet")
    assert read_lists(tmp_path / "copy") == CarriedLists([str(tmp_path / "job")], [])
    import_gallery(tmp_path / "copy", tmp_path / "second.parquet")
    run = {"run": str(tmp_path / "run"), "ids": [second]}
    assert read_lists(tmp_path / "copy") == CarriedLists([str(tmp_path / "job")], [run])


def test_lists_are_added_to_those_of_the_receiving_gallery(people_folder, tmp_path):
    store = open_gallery(people_folder)
    export_gallery(store, tmp_path / "g.parquet")
    store.close()
    other = open_gallery(tmp_path / "other", model=MODEL)
    other.add(people(2))
    mine = sorted(sighting.id for sighting in people(2))
    other.close()
    passerby.enroll_shards(tmp_path / "other", tmp_path / "job" / "shards" / "0.parquet")
    record_adapted_run(tmp_path / "other", tmp_path / "run", mine)
    theirs = read_lists(people_folder)
    import_gallery(tmp_path / "other", tmp_path / "g.parquet")
    merged = read_lists(tmp_path / "other")
    assert merged.jobs == [str(tmp_path / "job"), str(tmp_path / "job" / "shards" / "0.parquet")]
    assert merged.runs == [{"run": str(tmp_path / "run"), "ids": sorted([*mine, *theirs.runs[0]["ids"]])}]


def test_a_gallery_that_keeps_no_lists_names_them_at_the_import(people_folder, tmp_path, caplog):
    store = open_gallery(people_folder)
    export_gallery(store, tmp_path / "g.parquet")
    store.close()
    assert import_sightings(open_gallery("memory", model=MODEL), tmp_path / "g.parquet").new == 3
    assert caplog.messages == [
        "memory: the lists of shards and adapted runs are kept by a gallery in a folder only, so that an erasure does "
        f"not name these: {tmp_path / 'job'}, {tmp_path / 'run'}"
    ]
    caplog.clear()
    other = open_gallery(tmp_path / "other", model=MODEL)
    assert import_sightings(other, tmp_path / "g.parquet", lists=False).new == 3
    assert read_lists(tmp_path / "other") == CarriedLists([], [])
    assert caplog.messages == [
        f"{tmp_path / 'other'}: the lists of shards and adapted runs were not imported, so that an erasure does not "
        f"name these: {tmp_path / 'job'}, {tmp_path / 'run'}"
    ]
    other.close()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"jobs": []}',
        '{"jobs": ["job"], "runs": []}',
        '{"jobs": ["/a\\u0000"], "runs": []}',
        '{"jobs": ["/\\ud800"], "runs": []}',
        '{"jobs": [], "runs": ["/run"]}',
        '{"jobs": [], "runs": [{"run": "run", "ids": []}]}',
        '{"jobs": [], "runs": [{"run": "/run", "ids": [1]}]}',
    ],
)
def test_damaged_lists_are_refused_before_anything_is_changed(people_folder, tmp_path, monkeypatch, text):
    with pytest.raises(ValueError, match=r"expected|Expecting"):
        parse_lists(text)
    monkeypatch.setattr(CarriedLists, "to_json", lambda self: text)
    store = open_gallery(people_folder)
    export_gallery(store, tmp_path / "g.parquet")
    store.close()
    with pytest.raises(GalleryError, match=r"g\.parquet: its lists of shards and adapted runs cannot be read \("):
        import_gallery(tmp_path / "copy", tmp_path / "g.parquet")
    assert not (tmp_path / "copy").exists()
    backup_gallery(people_folder, tmp_path / "copy")
    with pytest.raises(GalleryError, match=r"copy: its lists of shards and adapted runs cannot be read \("):
        open_gallery(tmp_path / "copy")
    assert [path.name for path in (tmp_path / "copy").iterdir()] == [FILE]


def test_a_copy_without_lists_has_none(tmp_path):
    open_gallery(tmp_path / "people", model=MODEL).close()
    backup_gallery(tmp_path / "people", tmp_path / "copy")
    store = open_gallery(tmp_path / "copy")
    export_gallery(store, tmp_path / "g.parquet")
    store.close()
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {FILE}
    assert LISTS_KEY not in (tmp_path / "g.parquet").read_bytes()
    assert json.loads(CarriedLists([], []).to_json()) == {"jobs": [], "runs": []}
