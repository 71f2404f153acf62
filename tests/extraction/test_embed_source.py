"""Embedding jobs. Oracles: `Embedder.embed` on the same images, and the bytes of a job that was not interrupted."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import passerby
from passerby.errors import GalleryError, WriteError
from passerby.extraction import worker
from passerby.extraction.claims import hold_claim
from passerby.extraction.items import SourceOptions, read_items
from passerby.gallery.shards import read_errors, read_shard

FAST = passerby.EmbedSettings(runtime="onnx", shard_size=10, batch=4)
BY_CAMERA = SourceOptions(folders="camera")


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    """Crops of synthetic people in a folder for each of two cameras, and a damaged file."""
    (data,) = passerby.load_data("synth:identities=24,cameras=2,images=2,seed=0")
    folder = tmp_path_factory.mktemp("source") / "crops"
    for sample in (*data.query, *data.gallery):
        camera = folder / ("north", "south")[sample.camera_id]
        camera.mkdir(parents=True, exist_ok=True)
        shutil.copy(sample.path, camera)
    (folder / "north" / "0000_broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    return folder


def contents(out):
    """Bytes of the shards and of the tables of errors by name."""
    return {path.relative_to(out): path.read_bytes() for path in sorted(out.glob("*/*.parquet"))}


@pytest.fixture(scope="module")
def job(crops, tmp_path_factory):
    """The folder of a finished job."""
    out = tmp_path_factory.mktemp("job") / "shards"
    result = passerby.embed(crops, "default", out, options=BY_CAMERA, settings=FAST)
    readable = len([*crops.rglob("*.jpg")]) - 1
    assert (result.embedded, result.failures, result.shards) == (readable, 1, -(-(readable + 1) // 10))
    assert [Path(source).name for source, _ in result.unreadable] == ["0000_broken.jpg"]
    return out


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


KILLED = """
import os, pathlib, signal, sys
from passerby.extraction import claims
link = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
claims.os.link = link
with claims.hold_claim(pathlib.Path(sys.argv[1])):
    pass
"""


def test_a_process_that_is_killed_while_it_claims_a_shard_leaves_nothing_in_the_finished_job(job, crops, tmp_path):
    out = tmp_path / "shards"
    shutil.copytree(job, out)
    (out / "shards" / "00001.parquet").unlink()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(out / "claims" / "00001")], check=False)
    assert killed.returncode == -signal.SIGKILL
    (draft,) = (out / "claims").iterdir()
    live = draft.with_name(draft.name.replace(f"-{draft.name.split('-')[1]}-", f"-{os.getpid()}-"))
    live.write_bytes(b"of a process that runs")
    passerby.embed(crops, "default", out, options=BY_CAMERA, settings=FAST)
    assert contents(out) == contents(job)
    assert [*(out / "claims").iterdir()] == [live]


def test_several_processes_share_a_job(job, crops, tmp_path):
    out = tmp_path / "shards"
    passerby.embed(crops, "default", out, options=BY_CAMERA, settings=FAST, workers=2)
    assert contents(out) == contents(job)


def test_claim_of_an_ended_process_is_taken_over(job, crops, tmp_path):
    out = tmp_path / "shards"
    shutil.copytree(job, out)
    (out / "shards" / "00001.parquet").unlink()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    claim = {"host": socket.gethostname(), "pid": ended.pid, "id": "x"}
    (out / "claims" / "00001").write_text(json.dumps(claim), encoding="utf-8")
    passerby.embed(crops, "default", out, options=BY_CAMERA, settings=FAST)
    assert contents(out) == contents(job)


def test_claim_of_another_machine_is_taken_over_after_its_lease(tmp_path):
    claim = tmp_path / "00001"
    claim.write_text(json.dumps({"host": "another", "pid": 1, "id": "x"}), encoding="utf-8")
    with hold_claim(claim) as claimed:
        assert not claimed
    assert claim.exists()
    before = time.time() - 1000
    os.utime(claim, (before, before))
    with hold_claim(claim) as claimed:
        assert claimed
        with hold_claim(claim) as twice:
            assert not twice
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(("shift", "claimed"), [(1000, True), (20, False)])
def test_claim_from_before_the_clock_was_set_back_is_taken_over(tmp_path, shift, claimed):
    """Of another machine, with a time in the future; a difference within the lease may be that of two clocks."""
    claim = tmp_path / "00001"
    claim.write_text(json.dumps({"host": "another", "pid": 1, "id": "x"}), encoding="utf-8")
    os.utime(claim, (time.time() + shift,) * 2)
    with hold_claim(claim) as held:
        assert held is claimed


def test_waiting_for_another_process_is_logged_once(job, crops, tmp_path, monkeypatch, caplog):
    out = tmp_path / "shards"
    shutil.copytree(job, out)
    shard = out / "shards" / "00001.parquet"
    content = shard.read_bytes()
    shard.unlink()
    claim = out / "claims" / "00001"
    claim.write_text(json.dumps({"host": "another", "pid": 1, "id": "x"}), encoding="utf-8")
    checks = []

    def wait(_seconds):
        checks.append(_seconds)
        if len(checks) == 2 * worker._PATIENCE:
            shard.write_bytes(content)  # by the other process

    monkeypatch.setattr(worker.time, "sleep", wait)
    passerby.embed(crops, "default", out, options=BY_CAMERA, settings=FAST)
    (message,) = [record.getMessage() for record in caplog.records if "waiting" in record.getMessage()]
    assert f"waiting for 1 shard of other processes; {claim} names one" in message


@pytest.mark.parametrize(("numbers", "least"), [("fp16", 0.99999), ("int8", 0.999)])
def test_narrow_numbers_keep_the_direction(job, crops, tmp_path, numbers, least):
    out = tmp_path / "shards"
    settings = passerby.EmbedSettings(runtime="onnx", shard_size=10, batch=4, numbers=numbers)
    passerby.embed(crops, "default", out, options=BY_CAMERA, settings=settings)
    for path in sorted(out.glob("shards/*.parquet")):
        exact, narrow = read_shard(job / "shards" / path.name).vectors, read_shard(path).vectors
        assert (exact * narrow).sum(axis=1).min() > least
        assert not np.array_equal(exact, narrow)


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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shard_size": 11}, "the job began with shard_size 10, now 11; give the same, or name another folder"),
        ({"batch": 5}, "the job began with batch 4, now 5"),
        ({"numbers": "fp16"}, "a job of another model or number type"),
        ({"flip": False}, "a job of another model or number type"),
    ],
)
def test_another_job_in_the_folder_is_refused(job, crops, settings, message):
    changed = passerby.EmbedSettings(**{"runtime": "onnx", "shard_size": 10, "batch": 4, **settings})
    with pytest.raises(GalleryError, match=message):
        passerby.embed(crops, "default", job, options=BY_CAMERA, settings=changed)


def test_another_model_is_refused(job, crops, tiny_run):
    settings = passerby.EmbedSettings(shard_size=10, batch=4, device="cpu", runtime="torch")
    with pytest.raises(GalleryError, match="a job of another model or number type"):
        passerby.embed(crops, tiny_run, job, options=BY_CAMERA, settings=settings)


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
    with pytest.raises(GalleryError, match="has changed since the job began: 3 images then, 3 images now"):
        passerby.embed(table, "default", tmp_path / "out", settings=FAST)


def test_a_file_in_place_of_the_folder_is_refused(crops, tmp_path):
    out = tmp_path / "out"
    out.write_text("kept", encoding="utf-8")
    with pytest.raises(GalleryError, match="out: a file; expected a new or an empty folder, or that of a job"):
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


def test_a_full_disk_stops_the_job_and_keeps_its_shards(crops, tmp_path, monkeypatch):
    out, write = tmp_path / "shards", worker.write_atomic

    def fail(path, data):
        if path.name == "00002.parquet" and path.parent.name == "shards":
            raise WriteError(f"{path}: not saved (No space left on device)")
        write(path, data)

    monkeypatch.setattr(worker, "write_atomic", fail)
    with pytest.raises(WriteError, match="No space left on device"):
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
    assert f"1 of {shards} shards are missing; `passerby embed` continues the job" in message
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
