"""Embedding jobs on a local Ray cluster with two workers. Oracle: the bytes of the same job without Ray."""

import os
import re
import shutil
import signal
import threading
import time

import psutil
import pytest
import ray

import passerby
from passerby.errors import GalleryError
from passerby.extraction.items import SourceOptions

SETTINGS = passerby.EmbedSettings(runtime="onnx", batch=4, shard_size=3)


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    (data,) = passerby.load_data("synth:identities=24,cameras=2,images=2,seed=0")
    folder = tmp_path_factory.mktemp("source") / "crops"
    folder.mkdir()
    for sample in (*data.query, *data.gallery):
        shutil.copy(sample.path, folder)
    return folder


@pytest.fixture(scope="module")
def cluster():
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


def embed(crops, out, **options):
    return passerby.embed(crops, "default", out, options=SourceOptions("north"), settings=SETTINGS, **options)


def contents(out):
    return {path.name: path.read_bytes() for path in sorted(out.glob("shards/*.parquet"))}


def kill_a_worker(out, killed):
    """Kill the first process that holds a claim."""
    end = time.monotonic() + 200
    while time.monotonic() < end and not killed:
        for process in psutil.process_iter(["cmdline"]):
            if "ray::_do_task" in " ".join(process.info["cmdline"] or ()):
                os.kill(process.pid, signal.SIGKILL)
                killed.append(process.pid)
                return
        time.sleep(0.01)


def test_a_job_is_complete_although_a_worker_is_killed(cluster, crops, tmp_path):
    embed(crops, tmp_path / "one")
    killed = []
    thread = threading.Thread(target=kill_a_worker, args=(tmp_path / "two", killed))
    thread.start()
    result = embed(crops, tmp_path / "two", engine="ray")
    thread.join()
    assert killed, "no worker was seen"
    assert result.embedded == len([*crops.iterdir()])
    assert contents(tmp_path / "two") == contents(tmp_path / "one")


def test_an_error_of_a_task_names_the_shard(cluster, crops, tmp_path):
    embed(crops, tmp_path / "out")
    (tmp_path / "out" / "shards" / "00001.parquet").unlink()
    (tmp_path / "out" / "items.parquet").write_bytes(b"damaged")
    with pytest.raises(
        GalleryError, match=r"shard 1 could not be done on Ray \(.*cannot be read.*run the same command"
    ):
        embed(crops, tmp_path / "out", engine="ray")


@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1", "127.0.0.1:99999", "[::1]:1"])
def test_a_cluster_that_cannot_be_reached(crops, tmp_path, monkeypatch, address):
    """Nothing listens on port 1; Ray, which would try for minutes, is asked only about an address without a port."""

    def refuse(**options):
        assert options["address"] == "auto"
        raise ConnectionError("no cluster")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(GalleryError, match=rf"address {re.escape(address)}: no Ray cluster can be reached \("):
        embed(crops, tmp_path / "out", engine="ray", address=address)


@pytest.mark.filterwarnings("ignore:.*is deprecated.*:DeprecationWarning")  # of settings that Ray itself reads
def test_an_embedder_is_a_function_of_ray_data(cluster, crops):
    """Oracle: the vectors of this process; tasks take the embedder, an actor pool a class that loads it."""
    paths = sorted(map(str, crops.iterdir()))
    embedder = passerby.load("default", runtime="onnx")
    expected = dict(zip(paths, embedder.embed(paths), strict=True))

    class Model:
        def __init__(self):
            self.embed = passerby.load("default", runtime="onnx")

        def __call__(self, batch):
            return self.embed(batch)

    table = ray.data.from_items([{"path": path, "camera": "north"} for path in paths], override_num_blocks=4)
    pool = ray.data.ActorPoolStrategy(size=2)
    for function, options in ((embedder, {}), (Model, {"compute": pool})):
        rows = table.map_batches(function, batch_size=8, num_cpus=0.5, **options).take_all()
        assert sorted(row["path"] for row in rows) == paths
        for row in rows:
            assert row["vector"] == pytest.approx(expected[row["path"]], abs=1e-6)
