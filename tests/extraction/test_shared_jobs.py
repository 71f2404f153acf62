"""Several processes in one job, and killed ones. Oracle: the bytes of the job of one process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

import passerby
from extraction.jobs import BY_CAMERA, FAST, contents
from passerby.extraction import worker

KILLED = """
import os, pathlib, signal, sys
from passerby import claims
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
