"""Runs that are killed. Oracle: `tiny_run`, which is not killed: the same bytes, and every step logged once."""

import multiprocessing
import random
import time

import pytest
from safetensors import safe_open

from conftest import SIMPLE, tiny_recipe
from passerby.runs.train import resume, train
from passerby.training.log import read_log

KILLS = 10


@pytest.fixture(scope="module")
def warm_processes():
    """Processes that start with torch already loaded, so that there is time to kill many."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["passerby.runs.train"])
    return context


@pytest.mark.timeout(900)
def test_killed_run_resumes_to_the_same_model(warm_processes, tiny_run, tmp_path):
    """A checkpoint after each step, so that many of the kills fall into the writing of one."""
    moments, out, kills = random.Random(0), tmp_path / "run", 0
    while not (out / "model.safetensors").exists():
        if (out / "manifest.json").exists():
            job, arguments = resume, (out,)
        else:
            job, arguments = train, (tiny_recipe("training.checkpoint_minutes=1e-9"), SIMPLE, out)
        process = warm_processes.Process(target=job, args=arguments, kwargs={"device": "cpu"}, daemon=True)
        process.start()
        if kills < KILLS:
            goal = steps(out) + moments.randint(0, 2)  # 0: anywhere between the start and the first step
            while process.is_alive() and steps(out) < goal:
                time.sleep(0.002)
            time.sleep(moments.random() * 0.1)
            kills += process.is_alive()
            process.kill()
        process.join()
        assert kills <= KILLS
        assert process.exitcode in {0, -9}
        if (out / "checkpoints" / "last.safetensors").exists():
            with safe_open(out / "checkpoints" / "last.safetensors", framework="numpy") as checkpoint:
                assert checkpoint.keys()
    assert kills > KILLS // 2
    resume(out, device="cpu")  # the last kill may have come between the model and its scores
    assert (out / "model.safetensors").read_bytes() == (tiny_run / "model.safetensors").read_bytes()
    assert [record["step"] for record in read_log(out / "log.jsonl")] == list(range(1, 19))
    assert list(out.rglob("*.part")) == []


def steps(out):
    return len(read_log(out / "log.jsonl"))
