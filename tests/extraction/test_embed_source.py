"""Embedding jobs. Oracles: `Embedder.embed` on the same images, and the bytes of a job that was not interrupted."""

import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import passerby
from extraction.jobs import BY_CAMERA, FAST, contents
from passerby.errors import GalleryError, WriteError
from passerby.extraction import worker
from passerby.gallery.shards import read_errors, read_shard


def test_vectors_are_those_of_the_embedder(job, crops):
    paths = sorted(path for path in crops.rglob("*.jpg") if "broken" not in path.name)
    shards = [read_shard(path) for path in sorted(job.glob("shards/*.parquet"))]
    assert [info.source for shard in shards for info in shard.info] == [str(path) for path in paths]
    assert {info.camera for shard in shards for info in shard.info} == {"north", "south"}
    expected = passerby.load("default", runtime="onnx").embed(paths, batch=4)
    np.testing.assert_allclose(np.concatenate([shard.vectors for shard in shards]), expected, atol=1e-5)
    ((source, reason),) = read_errors(next(job.glob("errors/*.parquet")))
    assert source.endswith("0000_broken.jpg")
    assert "damaged or truncated JPEG" in reason


def test_a_finished_job_does_nothing(job, crops):
    before = {path: path.stat().st_mtime_ns for path in job.glob("*/*.parquet")}
    passerby.embed(crops, "default", job, options=BY_CAMERA, settings=FAST)
    assert {path: path.stat().st_mtime_ns for path in job.glob("*/*.parquet")} == before


def test_a_killed_job_continues_to_the_same_bytes(job, crops, tmp_path):
    out = tmp_path / "shards"
    command = [sys.executable, "-m", "passerby", "embed", str(crops), "--out", str(out), "--folders", "camera"]
    command += ["--runtime", "onnx", "--shard-size", "10", "--batch", "4"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not [*out.glob("shards/*.parquet")] and process.poll() is None and time.monotonic() < end:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (out / "job.json").exists()
    passerby.embed(crops, "default", out, options=BY_CAMERA, settings=FAST)
    assert contents(out) == contents(job)
    assert [*(out / "claims").iterdir()] == []


@pytest.mark.parametrize(("numbers", "least"), [("fp16", 0.99999), ("int8", 0.999)])
def test_narrow_numbers_keep_the_direction(job, crops, tmp_path, numbers, least):
    out = tmp_path / "shards"
    settings = passerby.EmbedSettings(runtime="onnx", shard_size=10, batch=4, numbers=numbers)
    passerby.embed(crops, "default", out, options=BY_CAMERA, settings=settings)
    for path in sorted(out.glob("shards/*.parquet")):
        exact, narrow = read_shard(job / "shards" / path.name).vectors, read_shard(path).vectors
        assert (exact * narrow).sum(axis=1).min() > least
        assert not np.array_equal(exact, narrow)


def test_a_full_disk_stops_the_job_and_keeps_its_shards(crops, tmp_path, monkeypatch):
    out, write = tmp_path / "shards", worker.write_atomic

    def fail(path, data):
        if path.name == "00002.parquet" and path.parent.name == "shards":
            raise WriteError(f"{path}: not saved (No space left on device)")
        write(path, data)

    monkeypatch.setattr(worker, "write_atomic", fail)
    with pytest.raises(WriteError, match=r"No space left on device.*run the same command again to continue"):
        passerby.embed(crops, "default", out, options=BY_CAMERA, settings=FAST)
    assert [path.name for path in sorted((out / "shards").iterdir())] == ["00000.parquet", "00001.parquet"]
    assert [*(out / "claims").iterdir()] == []


def test_arguments_are_checked(crops, tmp_path):
    with pytest.raises(GalleryError, match="workers: got 0, expected at least 1"):
        passerby.embed(crops, "default", tmp_path / "out", workers=0)
    with pytest.raises(GalleryError, match="engine: got 'spark', expected one of local, ray"):
        passerby.embed(crops, "default", tmp_path / "out", engine="spark")
    with pytest.raises(GalleryError, match="address: is for engine ray, got engine local"):
        passerby.embed(crops, "default", tmp_path / "out", address="ray://x")
    with pytest.raises(GalleryError, match="batch: got 0, expected at least 1"):
        passerby.EmbedSettings(batch=0)
    with pytest.raises(GalleryError, match="numbers: got 'fp8', expected one of fp32, fp16, int8"):
        passerby.EmbedSettings(numbers="fp8")


def test_shards_are_enrolled_once(job, crops, tmp_path):
    readable = len([*crops.rglob("*.jpg")]) - 1
    result = passerby.enroll_shards(tmp_path / "people", job)
    assert (result.new, result.known, len(result.unreadable)) == (readable, 0, 1)
    assert passerby.enroll_shards(tmp_path / "people", job).known == readable
    with passerby.Gallery(tmp_path / "people") as gallery:
        path = next(path for path in sorted(crops.rglob("*.jpg")) if "broken" not in path.name)
        assert gallery.search(path, top=1)[0][0].source == str(path)
        again = gallery.enroll(passerby.list_crops(path, camera="north"))
        assert again.new == 0


def test_shards_that_are_missing_are_reported_and_added_later(job, crops, tmp_path, caplog):
    """Nothing is lost: the warning names the number, and the completed job adds the rest."""
    part, gallery = tmp_path / "part", tmp_path / "gallery"
    shutil.copytree(job, part)
    (part / "shards" / "00001.parquet").unlink()
    first = passerby.enroll_shards(gallery, part)
    (message,) = [record.getMessage() for record in caplog.records]
    shards = len([*job.glob("shards/*.parquet")])
    assert f"missing 1 of {shards} shards; `passerby embed` continues the job" in message
    caplog.clear()
    passerby.embed(crops, "default", part, options=BY_CAMERA, settings=FAST)
    second = passerby.enroll_shards(gallery, part)
    assert (second.new, second.known) == (10, first.new)
    assert not caplog.records


def test_damaged_shards_are_refused_and_add_nothing(job, tmp_path):
    copy = tmp_path / "job"
    shutil.copytree(job, copy)
    shard = copy / "shards" / "00001.parquet"
    table = pq.read_table(shard)
    kind = table.schema.field("vector").type
    vectors = table.column("vector").to_pylist()
    bad = {
        "a vector without length": [[0.0] * kind.list_size, *vectors[1:]],
        "rows without a vector": [None, *vectors[1:]],
    }
    for message, values in bad.items():
        position = table.column_names.index("vector")
        pq.write_table(table.set_column(position, "vector", pa.array(values, kind)), shard)
        with pytest.raises(GalleryError, match=message):
            read_shard(shard)
    pq.write_table(table.drop_columns(["camera"]), shard)
    with pytest.raises(GalleryError, match="no column camera"):
        read_shard(shard)
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(GalleryError, match="cannot be read as a shard"):
        passerby.enroll_shards(tmp_path / "people", copy)
    assert not (tmp_path / "people").exists()
    pq.write_table(table.replace_schema_metadata({}), shard)
    with pytest.raises(GalleryError, match="a Parquet file, but not a shard"):
        passerby.enroll_shards(tmp_path / "people", copy)
    with pytest.raises(GalleryError, match=r"no shards/\*.parquet in it"):
        passerby.enroll_shards(tmp_path / "people", tmp_path)


def test_shards_of_another_model_are_refused(job, tmp_path, tiny_run):
    with passerby.Gallery(tmp_path / "people", model=tiny_run, device="cpu"):
        pass
    with pytest.raises(GalleryError, match="distances between them have no meaning"):
        passerby.enroll_shards(tmp_path / "people", job)


def test_shards_without_the_mirror_image_make_a_gallery_without_it(job, crops, tmp_path):
    settings = passerby.EmbedSettings(runtime="onnx", shard_size=100, batch=4, flip=False)
    passerby.embed(crops, "default", tmp_path / "plain", options=BY_CAMERA, settings=settings)
    passerby.enroll_shards(tmp_path / "people", tmp_path / "plain")
    with passerby.Gallery(tmp_path / "people") as gallery:
        assert not gallery.store.card.flip
        assert gallery.search(next(crops.rglob("0001*.jpg")), top=1)[0][0].distance < 1e-5
    with pytest.raises(GalleryError, match="a gallery holds one kind"):
        passerby.enroll_shards(tmp_path / "people", job)


def test_the_automatic_runtime_is_one_that_the_job_can_load_again(crops, tmp_path):
    settings = passerby.EmbedSettings(shard_size=100, batch=4, device="cpu")
    passerby.embed(crops, "default", tmp_path / "out", options=BY_CAMERA, settings=settings)
    before = contents(tmp_path / "out")
    chosen = json.loads((tmp_path / "out" / "job.json").read_text(encoding="utf-8"))["settings"]["runtime"]
    assert chosen in ("torch", "onnx", "openvino")
    (tmp_path / "out" / "shards" / "00000.parquet").unlink()
    passerby.embed(crops, "default", tmp_path / "out", options=BY_CAMERA, settings=settings)
    assert contents(tmp_path / "out") == before
