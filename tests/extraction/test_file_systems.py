"""Object stores. Oracle: the same images in a folder. The store is moto's S3 server on the loopback address."""

import io
import sys
import tarfile

import fsspec
import numpy as np
import pytest
from fsspec.spec import AbstractFileSystem
from pyarrow.fs import FileSystem

import passerby
from extraction.object_store import QUERY, serve_objects
from passerby.errors import DataError, GalleryError
from passerby.extraction.file_systems import is_address, list_addresses, open_address, read_address
from passerby.extraction.items import SourceOptions
from passerby.gallery.shards import read_shard

SETTINGS = passerby.EmbedSettings(runtime="onnx", batch=4, shard_size=6)


@pytest.fixture(scope="module")
def images():
    (data,) = passerby.load_data("synth:identities=24,cameras=2,images=2,seed=0")
    return [sample.path for sample in data.gallery[:8]]


@pytest.fixture(scope="module")
def bucket(images):
    """Address of a folder in a bucket with eight crops, a text and a damaged image."""
    with serve_objects() as port:
        query = QUERY.format(port)
        store, _ = FileSystem.from_uri(f"s3://people/?{query}")
        store.create_dir("people")
        files = {f"crops/{path.name}": path.read_bytes() for path in images}
        files |= {"crops/notes.txt": b"no image", "crops/zz.jpg": b"\xff\xd8\xff broken"}
        for name, content in files.items():
            with store.open_output_stream(f"people/{name}") as file:
                file.write(content)
        yield f"s3://people/crops?{query}"


def test_a_bucket_gives_the_vectors_of_a_folder(bucket, images, tmp_path):
    result = passerby.embed(bucket, "default", tmp_path / "out", options=SourceOptions("north"), settings=SETTINGS)
    assert (result.embedded, result.failures, result.shards) == (8, 1, 2)
    assert result.unreadable[0][0] == "s3://people/crops/zz.jpg"
    shards = [read_shard(tmp_path / "out" / "shards" / f"0000{number}.parquet") for number in range(2)]
    ordered = sorted(images, key=lambda path: path.name)
    assert [info.source for shard in shards for info in shard.info] == [f"s3://people/crops/{p.name}" for p in ordered]
    expected = passerby.load("default", runtime="onnx").embed(ordered)
    np.testing.assert_allclose(np.concatenate([shard.vectors for shard in shards]), expected, atol=1e-5)


def test_a_table_may_hold_addresses(bucket, images, tmp_path):
    folder, _, query = bucket.partition("?")
    rows = [f"{folder}/{path.name}?{query},north,{number}" for number, path in enumerate(images[:3])]
    table = tmp_path / "crops.csv"
    table.write_text("\n".join(["path,camera,time", *rows, f"{folder}/missing.jpg?{query},north,9"]), encoding="utf-8")
    result = passerby.embed(table, "default", tmp_path / "out", settings=SETTINGS)
    assert (result.embedded, result.failures) == (3, 1)
    assert "cannot be read" in result.unreadable[0][1]
    info = read_shard(tmp_path / "out" / "shards" / "00000.parquet").info
    assert [(row.camera, row.time) for row in info] == [("north", 0.0), ("north", 1.0), ("north", 2.0)]


def test_tars_in_a_bucket_are_read(bucket, images, tmp_path):
    """Oracle: the same tar file in a folder. A tar file that was replaced is a changed source."""
    folder, _, query = bucket.partition("?")
    store, _ = FileSystem.from_uri(f"s3://people/?{query}")
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for path in images[:3]:
            tar.add(path, arcname=path.name)
    (tmp_path / "0.tar").write_bytes(content.getvalue())
    address = f"{folder.removesuffix('crops')}tars?{query}"

    def write(name):
        with store.open_output_stream(f"people/tars/{name}") as file:
            file.write(content.getvalue())

    write("0.tar")
    for source, out in ((address, "stored"), (tmp_path / "0.tar", "local")):
        passerby.embed(source, "default", tmp_path / out, options=SourceOptions("north"), settings=SETTINGS)
    stored, local = (read_shard(tmp_path / out / "shards" / "00000.parquet") for out in ("stored", "local"))
    assert np.array_equal(stored.vectors, local.vectors)
    assert [info.source.rpartition("::")[2] for info in stored.info] == [path.name for path in images[:3]]
    write("1.tar")
    with pytest.raises(GalleryError, match="has changed since the job began: 1 tar file then, 2 tar files now"):
        passerby.embed(address, "default", tmp_path / "stored", options=SourceOptions("north"), settings=SETTINGS)


def test_addresses_that_cannot_be_used(bucket, tmp_path):
    with pytest.raises(DataError, match="an address with a user or a password; give credentials by the environment"):
        open_address("s3://key:secret@bucket/crops")
    with pytest.raises(DataError, match="no file system for this address"):
        open_address("nothing://bucket/crops")
    folder, _, query = bucket.partition("?")
    with pytest.raises(DataError, match="cannot be listed"):
        list_addresses(f"s3://no-such-bucket/?{query}")
    with pytest.raises(DataError, match="cannot be read"):
        read_address(f"{folder}/missing.jpg?{query}")
    with pytest.raises(GalleryError, match="cannot be used: it is a folder of an object store"):
        passerby.embed(bucket, "default", tmp_path / "out", options=SourceOptions(folders="camera"), settings=SETTINGS)


class Unopened(AbstractFileSystem):
    """A file system whose object is made in part, so that its destructor fails, as that of fsspec's FTP once did."""

    def __init__(self, **_):
        raise RuntimeError("of the library\nand its second line")

    def __del__(self):
        self.connection.close()


def test_a_store_of_fsspec_that_cannot_be_opened_is_one_error(capfd, monkeypatch):
    """FTP on a port without a server, a file system of a library that is missing, and one that is half-made."""
    fsspec.register_implementation("unopened", Unopened, clobber=True)
    for address, reason in (
        ("ftp://127.0.0.1:9/crops", r"\[Errno \d+\] Connection refused"),
        ("unopened://site/crops", "of the library"),
    ):
        root = address.removesuffix("/crops")
        with pytest.raises(DataError, match=rf"^{root}: cannot be opened by fsspec \({reason}\); check the address"):
            open_address(address)
    monkeypatch.setitem(sys.modules, "library_of_http", None)
    fsspec.register_implementation("far", "library_of_http.Files", errtxt="Install library_of_http", clobber=True)
    with pytest.raises(DataError, match=r"opened by fsspec \(Install library_of_http\); install it with pip$"):
        open_address("far://site/crops")
    assert "".join(capfd.readouterr()) == ""
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(DataError, match=r"or a scheme of fsspec: pip install fsspec$"):
        open_address("ftp://127.0.0.1:10/crops")


def test_a_store_of_fsspec_gives_the_files_below_a_folder():
    memory = fsspec.filesystem("memory")
    for name in ("a.jpg", "b/c.jpg"):
        memory.pipe(f"/site/crops/{name}", name.encode())
    files = [("memory://site/crops/a.jpg", 5), ("memory://site/crops/b/c.jpg", 7)]
    assert list_addresses("memory://site/crops") == list_addresses("memory://site/crops/") == files
    assert read_address(files[1][0]) == b"b/c.jpg"


def test_requests_to_google_end_after_seconds_unless_the_address_has_a_limit():
    """Oracle: PyArrow's file system of the written limit. Its default repeats a request for 15 minutes."""
    for given, limit in (("gs://b/crops", 6), ("gs://b/crops?retry_limit_seconds=9", 9)):
        opened, path = open_address(given)
        assert path == "b/crops"
        assert opened.equals(FileSystem.from_uri(f"gs://b/?retry_limit_seconds={limit}")[0])


def test_a_name_that_is_no_data_set_is_named(tmp_path):
    with pytest.raises(DataError, match=r"market1502.*did you mean 'market1501'"):
        passerby.embed("market1502:people", "default", tmp_path / "out", options=SourceOptions(split="train"))


def test_paths_are_no_addresses():
    assert is_address("s3://bucket/a")
    assert not is_address("/data/a.jpg")
    assert not is_address("synth:identities=4")
