"""Erasures that are killed with -9 at each step, and repeated. Oracle: the vectors and ids in all files afterward."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import passerby
from gallery.people import MODEL, unit
from passerby.cli.main import main
from passerby.errors import WriteError
from passerby.gallery.adapted_runs import PICTURES_LIST, record_adapted_run
from passerby.gallery.forget import expire, forget
from passerby.gallery.shards import ShardModel, make_shard, read_shard
from passerby.gallery.sightings import SightingInfo
from passerby.gallery.stores.opening import open_gallery
from passerby.runtime.embedding_cache import cache_file
from passerby.runtime.model_manifest import PICTURES

VECTORS = unit(np.random.default_rng(0), 6)
COMMAND = ("gallery", "forget", "people", "--label", "Ada", "--rewrite-shards", "--yes")
KILLED = """
import importlib, os, signal, sys
from passerby.cli.main import main

module, name, count = sys.argv.pop(1), sys.argv.pop(1), int(sys.argv.pop(1))
owner = importlib.import_module(module)
*path, name = name.split(".")
for part in path:
    owner = getattr(owner, part)
function = getattr(owner, name)

def die(*args, **options):
    global count
    count -= 1
    if count == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return function(*args, **options)

setattr(owner, name, die)
main()
"""
STEPS = {
    "before the first shard": ("passerby.gallery.forget", "rewrite_shard", 1),
    "with a draft of the first shard": ("os", "replace", 1),
    "with a draft of the second shard": ("os", "replace", 2),
    "after the shards": ("passerby.gallery.forget", "clear_embedding_cache", 1),
    "before the rows are removed": ("passerby.gallery.stores.sqlite", "check_removal", 1),
    "before the database is written again": ("passerby.gallery.stores.sqlite_database", "Database.erase", 1),
    "after the gallery": ("passerby.gallery.forget", "drop_erased", 1),
    "after the pictures": ("passerby.gallery.adapted_runs", "_write", 1),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two shards, each with a crop of Ada, a gallery of them, an adapted run with a picture of her, and a cache."""
    monkeypatch.setenv("PASSERBY_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        crops = [
            SightingInfo(id="", camera="door", source=f"{number}-{i}.jpg", label="Ada" if i == 0 else None)
            for i in range(3)
        ]
        path = tmp_path / "job" / "shards" / f"{number}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(make_shard(crops, VECTORS[3 * number :][:3], ShardModel(MODEL, False, "fp32")))
    passerby.enroll_shards("people", "job")
    ada = read_shard(path).info[0].id
    record_adapted_run("people", "run", [ada])
    pictures = tmp_path / "run" / PICTURES
    pictures.mkdir(parents=True)
    (pictures / "pairs.png").write_bytes(b"a picture of Ada")
    (pictures / PICTURES_LIST).write_text(json.dumps({"pairs.png": [ada]}))
    cache_file().parent.mkdir(parents=True)
    cache_file().write_bytes(b"vectors")
    return tmp_path


@pytest.mark.parametrize("step", STEPS)
def test_an_erasure_that_was_killed_is_completed_by_the_same_command(folder, monkeypatch, capsys, step):
    words = [sys.executable, "-c", KILLED, *map(str, STEPS[step]), *COMMAND]
    killed = subprocess.run(words, check=False, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    monkeypatch.setattr("sys.argv", ["passerby", *COMMAND])
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main()
    repeated = capsys.readouterr().err
    assert end.value.code == ("nothing matched --label Ada" in repeated)  # 1 if all rows were removed before
    assert sorted(path.name for path in (folder / "job" / "shards").iterdir()) == ["0.parquet", "1.parquet"]
    for number in range(2):
        shard = read_shard(folder / "job" / "shards" / f"{number}.parquet")
        np.testing.assert_allclose(shard.vectors, VECTORS[3 * number + 1 :][:2], atol=1e-6)
    for number, left in enumerate([False, True, True] * 2):
        files = [path for path in (folder / "people").rglob("*") if path.is_file()]
        assert any(VECTORS[number].tobytes()[8:48] in path.read_bytes() for path in files) == left
    store = open_gallery("people")
    assert store.count() == 4
    store.close()
    assert not cache_file().exists()
    assert [path.name for path in (folder / "run" / PICTURES).iterdir()] == [PICTURES_LIST]
    assert f"{folder / 'run'}: was adapted by erased crops" in killed.stderr + repeated
    assert json.loads((folder / "people" / "adapted-runs.json").read_text())["runs"][0]["ids"] == []


def test_a_shard_that_cannot_be_written_leaves_the_gallery_as_it_was(folder, monkeypatch):
    """An error of a full disk is named, and the same call completes the erasure later."""
    replace = os.replace

    def fail(draft, path):
        if os.path.basename(path) == "1.parquet":
            raise OSError(28, "No space left on device")
        replace(draft, path)

    store = open_gallery("people")
    with monkeypatch.context() as full:
        full.setattr(os, "replace", fail)
        with pytest.raises(WriteError, match=r"1\.parquet: not saved .* people still holds all"):
            forget(store, label="Ada", rewrite_shards=True)
    assert store.count() == 6
    assert forget(store, label="Ada", rewrite_shards=True) == 2
    store.close()
    assert [len(read_shard(folder / "job" / "shards" / f"{number}.parquet").info) for number in range(2)] == [2, 2]


def test_shards_are_named_before_the_gallery_forgets_their_rows(folder, monkeypatch, caplog):
    """Without `rewrite_shards` the warning is all that is left of a vector in a shard."""
    store = open_gallery("people")
    monkeypatch.setattr(store, "remove", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        forget(store, label="Ada")
    assert [message.split(": ")[1].split(";")[0] for message in caplog.messages] == ["holds 1 erased vector"] * 2
    store.close()


def test_what_an_interrupted_expiry_left_is_completed_by_the_next(folder, monkeypatch, caplog):
    store = open_gallery("people")
    with monkeypatch.context() as killed:
        killed.setattr("passerby.gallery.forget.drop_erased", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            expire(store, days=0, clock=lambda: 1e11)
    assert (folder / "run" / PICTURES / "pairs.png").exists()
    assert expire(store, days=0, clock=lambda: 1e11) == 0
    assert not (folder / "run" / PICTURES / "pairs.png").exists()
    assert "was adapted by erased crops" in caplog.text
    store.close()
