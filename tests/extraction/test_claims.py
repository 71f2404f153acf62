"""Claims of shards. Oracle: the bytes of the job of one process."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

import passerby
from extraction.jobs import BY_CAMERA, FAST, contents
from passerby.extraction import worker
from passerby.extraction.claims import hold_claim

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
