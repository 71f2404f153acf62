"""Galleries that a command makes. Oracle: the files that are there afterward."""

import pytest

from gallery.people import MODEL, people
from passerby.gallery.enrolled_shards import record_job
from passerby.gallery.new_gallery import keep_if_filled
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.stores.sqlite_database import FILE


def make(folder, count=0):
    store = open_gallery(folder, model=MODEL)
    store.add(people(count))
    store.close()


def test_a_new_gallery_without_a_sighting_is_deleted_with_its_folder(tmp_path, caplog):
    with keep_if_filled(tmp_path / "a" / "people"):
        make(tmp_path / "a" / "people")
        record_job(tmp_path / "a" / "people", tmp_path / "job")
    assert not (tmp_path / "a" / "people").exists()
    assert caplog.messages == [f"{tmp_path}/a/people: no sighting was added, so that the new gallery was deleted"]


def test_an_error_deletes_it_too_and_stays_the_only_message(tmp_path, caplog):
    def interrupt():
        with keep_if_filled(tmp_path / "people"):
            make(tmp_path / "people")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert not (tmp_path / "people").exists()
    assert caplog.messages == []


def test_a_folder_that_was_there_stays(tmp_path):
    (tmp_path / "people").mkdir()
    with keep_if_filled(tmp_path / "people"):
        make(tmp_path / "people")
    assert [*(tmp_path / "people").iterdir()] == []


def test_what_was_there_or_has_a_sighting_or_is_used_stays(tmp_path, caplog):
    make(tmp_path / "before")
    with keep_if_filled(tmp_path / "before"):
        pass
    with keep_if_filled(tmp_path / "filled"):
        make(tmp_path / "filled", 1)
    with keep_if_filled(tmp_path / "used"):
        make(tmp_path / "used")
        other = open_gallery(tmp_path / "used")
    with keep_if_filled(tmp_path / "none"):
        pass
    other.add(people(1))
    other.close()
    assert all((tmp_path / name / FILE).is_file() for name in ("before", "filled", "used"))
    assert caplog.messages == []
