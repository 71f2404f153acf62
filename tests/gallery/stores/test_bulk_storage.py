"""Storage of the files of a bulk insertion. Oracle: the files of the folder, and of a local server of objects."""

import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest

from passerby.claims import machine_name
from passerby.errors import GalleryError
from passerby.gallery.stores import bulk_storage
from passerby.gallery.stores.bulk_storage import BulkStorage
from programs import require_module

TABLE = pa.table({"id": ["a", "b"]})


def test_a_folder_holds_the_files_until_they_are_deleted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    storage = BulkStorage("in", "people")
    names = [storage.write(TABLE) for _ in range(2)]
    assert sorted(names) == sorted(path.name for path in (tmp_path / "in").iterdir())
    assert names[0].startswith("passerby-people-")
    assert storage.server_path(names[0]) == str(tmp_path / "in" / names[0])
    assert BulkStorage("in", "people", "/var/lib/").server_path("x") == "/var/lib/x"
    assert BulkStorage("in", "people", "").server_path("x") == "x"
    assert pq.read_table(tmp_path / "in" / names[0]).equals(TABLE)
    assert storage.find_leftovers() == ([], [])
    storage.delete([*names, "missing"])
    assert list((tmp_path / "in").iterdir()) == []


def test_leftovers_are_those_of_ended_processes_and_of_other_machines(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    machine, number = machine_name(), "0" * 32
    left, foreign = (f"passerby-people-{who}-{number}.parquet" for who in (f"{machine}-{ended.pid}", "ffffffff-1"))
    others = [
        f"passerby-people-{machine}-{os.getppid()}-{number}.parquet",
        f"passerby-people-{machine}-{os.getpid()}-{number}.parquet",
        f"passerby-people2-ffffffff-1-{number}.parquet",
        "passerby-people-export.parquet",
        f"passerby-people-{machine}-x-{number}.parquet",
        f"passerby-people-{machine}-{'9' * 30}-{number}.parquet",
    ]
    for name in (left, foreign, *others):
        (tmp_path / name).touch()
    assert BulkStorage(tmp_path, "people").find_leftovers() == ([left], [foreign])


def test_a_bucket_holds_the_files_and_names_them_by_their_keys():
    require_module("moto")
    from extraction.object_store import QUERY, serve_objects

    with serve_objects() as port:
        query = f"?{QUERY.format(port)}"
        files, _ = pyarrow.fs.FileSystem.from_uri(f"s3://bucket/{query}")
        files.create_dir("bucket")
        storage = BulkStorage(f"s3://bucket/imports{query}", "people")
        name = storage.write(TABLE)
        assert storage.server_path(name) == f"imports/{name}"
        assert pq.read_table(f"bucket/imports/{name}", filesystem=files).equals(TABLE)
        assert BulkStorage(f"s3://bucket{query}", "people").server_path(name) == name
        storage.delete([name, name])
        assert files.get_file_info(f"bucket/imports/{name}").type == pyarrow.fs.FileType.NotFound
        with pytest.raises(
            GalleryError, match=r"^bulk: s3://no\?.*: cannot be listed \(no bucket no\); expected a folder"
        ):
            BulkStorage(f"s3://no{query}", "people")


def test_a_file_that_is_gone_is_deleted_although_the_marker_of_its_folder_cannot_be_written(tmp_path, monkeypatch):
    """PyArrow writes the marker after it has deleted the last file of a folder in a bucket."""
    storage = BulkStorage(tmp_path, "people")
    name = storage.write(TABLE)

    class Files:
        def delete_file(self, path):
            os.unlink(path)
            raise OSError("ACCESS_DENIED during PutObject")

        def get_file_info(self, path):
            return pyarrow.fs.LocalFileSystem().get_file_info(path)

    monkeypatch.setattr(storage, "_files", Files())
    storage.delete([name])
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_a_store_that_does_not_answer_is_one_error(tmp_path, monkeypatch):
    storage = BulkStorage(tmp_path, "people")

    class Files:
        def delete_file(self, path):
            raise OSError("no answer")

        get_file_info = delete_file

    monkeypatch.setattr(storage, "_files", Files())
    with pytest.raises(GalleryError, match=r": x cannot be deleted \(no answer\); delete it: it contains vectors"):
        storage.delete(["x"])


def test_an_address_of_a_file_system_keeps_its_absolute_path(tmp_path):
    assert BulkStorage(f"file://{tmp_path}", "people").server_path("x") == f"{tmp_path}/x"


def test_an_empty_text_is_no_storage():
    with pytest.raises(GalleryError, match=r"^bulk: got an empty text; expected a folder, or an address such as s3://"):
        BulkStorage("", "people")


@pytest.mark.parametrize("root", ["nowhere", "file", "ftp://host/folder", "s3://", "minio:9000/bucket"])
def test_a_storage_that_cannot_be_listed_is_one_error(tmp_path, monkeypatch, root):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    message = rf"^bulk: {root}: cannot be listed \(.+\); expected a folder, or an address such as s3://bucket/folder"
    with pytest.raises(GalleryError, match=message):
        BulkStorage(root, "people")


def test_a_file_that_cannot_be_written_or_deleted_is_one_error(tmp_path, monkeypatch):
    storage = BulkStorage(str(tmp_path), "people")

    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(bulk_storage.pq, "write_table", fail)
        with pytest.raises(
            GalleryError, match=r"^bulk: .*: cannot be written \(disk full\); expected a folder with free space"
        ):
            storage.write(TABLE)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "folder").mkdir()
    with pytest.raises(
        GalleryError, match=r": folder cannot be deleted \(.+\); delete it: it contains vectors of people"
    ):
        storage.delete(["folder"])
