"""The folder of an embedding job. Oracle: the bytes of a job that was not interrupted."""

import os
import shutil
import time
from pathlib import Path

import pytest

import passerby
from extraction.jobs import BY_CAMERA, FAST, contents
from passerby.errors import GalleryError, WriteError
from passerby.extraction.items import SourceOptions, read_items


def test_a_process_that_is_killed_while_it_begins_a_job_leaves_a_folder_for_the_next(job, crops, tmp_path):
    """Drafts of the list and of the description; old ones are deleted, new ones may be another machine's."""
    out = tmp_path / "shards"
    out.mkdir()
    old, new = out / ".items.parquet.7.part", out / ".job.json.8.once.part"
    for draft in (old, new):
        draft.write_bytes(b"part of a list")
    os.utime(old, (time.time() - 1000,) * 2)
    passerby.embed(crops, "default", out, options=BY_CAMERA, settings=FAST)
    assert contents(out) == contents(job)
    assert [path.name for path in out.glob(".*")] == [new.name]
    (stale := out / "shards" / ".00001.parquet.7.part").write_bytes(b"vectors")
    os.utime(stale, (time.time() - 1000,) * 2)
    passerby.embed(crops, "default", out, options=BY_CAMERA, settings=FAST)
    assert not stale.exists()


def test_a_changed_source_is_refused(crops, tmp_path):
    out, source = tmp_path / "shards", tmp_path / "crops"
    shutil.copytree(crops, source)
    passerby.embed(source, "default", out, options=BY_CAMERA, settings=FAST)
    number = len([*source.rglob("*.jpg")])
    shutil.copy(source / "north" / "0000_broken.jpg", source / "north" / "0000_new.jpg")
    message = rf"has changed since the job began: {number} images then, {number + 1} images"
    with pytest.raises(GalleryError, match=message):
        passerby.embed(source, "default", out, options=BY_CAMERA, settings=FAST)
    item = next(iter(read_items(out / "items.parquet", 1)))
    Path(item.path).write_bytes(Path(item.path).read_bytes() + b"\0")
    with pytest.raises(passerby.PasserbyError, match=r"the file has changed\. Embed it in a new job"):
        item.read((32, 16))


@pytest.mark.parametrize("column", ["hat", "x"])
def test_changed_attributes_and_boxes_of_a_table_are_a_changed_source(crops, tmp_path, column):
    paths = sorted(crops.glob("south/*.jpg"))[:3]
    table = tmp_path / "crops.csv"

    def write(value):
        values = {"hat": "red", "x": "0", column: value}
        rows = [f"{path},south,{values['hat']},{values['x']},0,20,40" for path in paths]
        table.write_text("\n".join(["path,camera,hat,x,y,width,height", *rows]), encoding="utf-8")

    write("1")
    passerby.embed(table, "default", tmp_path / "out", settings=FAST)
    write("2")
    with pytest.raises(GalleryError, match="has changed since the job began: 3 images then and now, with other names"):
        passerby.embed(table, "default", tmp_path / "out", settings=FAST)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shard_size": 11}, r"the job began with shard_size 10, now 11\. Give the same, or name another folder"),
        ({"batch": 5}, "the job began with batch 4, now 5"),
        ({"numbers": "fp16"}, "the job began with numbers fp32, now fp16"),
        ({"flip": False, "batch": 5}, "the job began with flip True, now False; batch 4, now 5"),
    ],
)
def test_another_job_in_the_folder_is_refused(job, crops, settings, message):
    changed = passerby.EmbedSettings(**{"runtime": "onnx", "shard_size": 10, "batch": 4, **settings})
    with pytest.raises(GalleryError, match=message):
        passerby.embed(crops, "default", job, options=BY_CAMERA, settings=changed)


def test_another_model_is_refused(job, crops, tiny_run):
    settings = passerby.EmbedSettings(shard_size=10, batch=4, device="cpu", runtime="torch")
    with pytest.raises(
        GalleryError, match=r"began with another model; it differs in architecture, .*dimension, .*weights from model"
    ):
        passerby.embed(crops, tiny_run, job, options=BY_CAMERA, settings=settings)


def test_a_file_in_place_of_the_folder_is_refused(crops, tmp_path):
    out = tmp_path / "out"
    out.write_text("kept", encoding="utf-8")
    with pytest.raises(WriteError, match=r"out: cannot be created \(.*out is no folder\); name another folder"):
        passerby.embed(crops, "default", out, options=BY_CAMERA, settings=FAST)
    assert out.read_text(encoding="utf-8") == "kept"


def test_a_folder_with_other_files_is_refused(crops, tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(GalleryError, match=r"holds other files and no job\.json"):
        passerby.embed(crops, "default", tmp_path, options=BY_CAMERA, settings=FAST)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_source_makes_no_job(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(GalleryError, match="no image in it"):
        passerby.embed(tmp_path / "empty", "default", tmp_path / "out", options=SourceOptions("north"), settings=FAST)
    assert not (tmp_path / "out").exists()
