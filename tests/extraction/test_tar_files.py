"""Tar files in WebDataset's layout, written with the standard library. Oracle: the images that were put in."""

import io
import json
import tarfile
from pathlib import Path

import pytest

import passerby
from passerby.errors import GalleryError
from passerby.extraction.items import Item, SourceOptions
from passerby.extraction.job import Job
from passerby.extraction.tar_files import read_tar
from passerby.gallery.shards import read_shard

SETTINGS = passerby.EmbedSettings(runtime="onnx", batch=4)


@pytest.fixture(scope="module")
def images():
    """Encoded crops of four synthetic people."""
    (data,) = passerby.load_data("synth:identities=24,cameras=2,images=2,seed=0")
    return [sample.path.read_bytes() for sample in data.gallery[:4]]


def write_tar(path, members):
    """Write (name, bytes) in this order."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def described(**values):
    return json.dumps(values).encode()


def test_members_of_one_name_belong_together(images, tmp_path):
    members = [
        ("000/a.jpg", images[0]),
        ("000/a.json", described(camera="north", time=10, label="Ada", dwell=3.5)),
        ("000/b.json", described(camera=7)),
        ("000/b.jpg", images[1]),
        ("000/c.txt", b"no image"),
        ("000/d.JPG", images[2]),
    ]
    path = write_tar(tmp_path / "0.tar", members)
    items = [*read_tar(str(path), SourceOptions(camera="hall"))]
    assert all(isinstance(item, Item) for item in items)
    infos = [item.info for item in items]
    assert [info.source for info in infos] == [f"{path}::000/{name}" for name in ("a.jpg", "b.jpg", "d.JPG")]
    assert [(info.camera, info.time, info.label) for info in infos] == [
        ("north", 10.0, "Ada"),
        ("7", None, None),
        ("hall", None, None),
    ]
    assert dict(infos[0].attributes) == {"dwell": 3.5}
    assert [item.content for item in items] == images[:3]


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.json", b"{not json"), ("a.jpg", b"x")], "cannot be read as JSON"),
        ([("a.json", b"[1]"), ("a.jpg", b"x")], "its .json member is no object"),
        ([("a.jpg", b"x")], "no camera; give one camera for all"),
        ([("a.json", described(camera="n", time="soon")), ("a.jpg", b"x")], "soon"),
        ([("a.json", described(camera="n", label="a\x00b")), ("a.jpg", b"x")], "control character"),
    ],
)
def test_members_that_cannot_be_used_are_failures(tmp_path, members, message):
    path = write_tar(tmp_path / "0.tar", [*members, ("z.jpg", b"z"), ("z.json", described(camera="north"))])
    failure, item = read_tar(str(path), SourceOptions())
    assert message in failure[1]
    assert failure[0].startswith(f"{path}::a.j")
    assert item.info.camera == "north"


def test_a_job_reads_tars_and_reports_a_damaged_one(images, tmp_path):
    folder = tmp_path / "tars"
    folder.mkdir()
    write_tar(folder / "0.tar", [("a.jpg", images[0]), ("b.jpg", images[1])])
    damaged = write_tar(folder / "1.tar", [("c.jpg", images[2]), ("d.jpg", images[3])])
    damaged.write_bytes(damaged.read_bytes()[: 512 + len(images[2]) + 2000])
    result = passerby.embed(folder, "default", tmp_path / "out", options=SourceOptions("north"), settings=SETTINGS)
    assert (result.embedded, result.failures, result.shards) == (3, 1, 2)
    assert "not a whole tar file" in result.unreadable[0][1]
    shard = read_shard(tmp_path / "out" / "shards" / "00001.parquet")
    assert [info.source for info in shard.info] == [f"{damaged}::c.jpg"]
    with damaged.open("ab") as file:
        file.write(b"\0" * 512)
    with pytest.raises(
        passerby.PasserbyError,
        match=r"the job began: 2 tar files then and now, with other names, sizes, times of modification",
    ):
        passerby.embed(folder, "default", tmp_path / "out", options=SourceOptions("north"), settings=SETTINGS)


def test_tars_beside_images_are_refused(images, tmp_path):
    """Neither is left out: the message counts both. A tar in a subfolder counts, too."""
    folder = tmp_path / "crops"
    (folder / "inner").mkdir(parents=True)
    (folder / "a.jpg").write_bytes(images[0])
    write_tar(folder / "inner" / "0.tar", [("a.jpg", images[0])])
    with pytest.raises(GalleryError, match=r"1 \.tar file and 1 image, such as .*a\.jpg; expected one of both"):
        passerby.embed(folder, "default", tmp_path / "out", options=SourceOptions("north"), settings=SETTINGS)
    (folder / "a.jpg").unlink()
    result = passerby.embed(folder, "default", tmp_path / "out", options=SourceOptions("north"), settings=SETTINGS)
    assert (result.embedded, result.shards) == (1, 1)


@pytest.mark.parametrize(("option", "value"), [("folders", "camera"), ("split", "train")])
def test_options_of_other_sources_are_refused(images, tmp_path, option, value):
    path = write_tar(tmp_path / "0.tar", [("a.jpg", images[0])])
    with pytest.raises(GalleryError, match=f"{option} cannot be used: it is a source of tar files"):
        passerby.embed(
            path, "default", tmp_path / "out", options=SourceOptions("n", **{option: value}), settings=SETTINGS
        )


def test_a_tar_that_is_replaced_by_one_of_the_same_size_is_a_changed_source(images, tmp_path):
    path, options = write_tar(tmp_path / "0.tar", [("a.jpg", images[0])]), SourceOptions("north")
    passerby.embed(path, "default", tmp_path / "out", options=options, settings=SETTINGS)
    size = path.stat().st_size
    write_tar(path, [("b.jpg", images[1])])
    assert path.stat().st_size == size
    with pytest.raises(GalleryError, match="has changed since the job began: 1 tar file then and now"):
        passerby.embed(path, "default", tmp_path / "out", options=options, settings=SETTINGS)


def test_a_tar_that_changes_during_the_job_is_a_failure(images, tmp_path):
    path = write_tar(tmp_path / "0.tar", [("a.jpg", images[0])])
    job = Job(tmp_path / "out", {"tars": [{"path": str(path), "bytes": 1}]}, SourceOptions("n"), None, None, 1)
    ((source, reason),) = job.read(0)
    assert source == str(path)
    assert f"{Path(path).stat().st_size:,} bytes, 1 when the job began; the file has changed" in reason
