"""Run the shards of a job as tasks of a Ray cluster; the job's folder is on a file system that all machines share.

Ray starts a task again when its worker or machine is lost. A shard is written by a rename, so a task that runs twice
writes the same file.
"""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from passerby.claims import LEASE
from passerby.errors import GalleryError, explain
from passerby.extraction.job import CONTINUE, Job
from passerby.extraction.worker import decode_threads, do_shard
from passerby.extras import require_extra
from passerby.progress import ProgressCallback
from passerby.runtime.embedder import Embedder

_WAIT = 1.0
"""Seconds between two checks of the tasks."""
_CONNECT = 10.0
"""Seconds in which a cluster has to accept a connection."""
_TRIES = 5
"""Starts of a task after its worker is lost."""


def work_on_ray(job: Job, *, device: str, address: str | None, report: ProgressCallback) -> None:
    """Embed the missing shards of a job on a Ray cluster.

    Args:
        job: The job; its folder has the same path on all machines.
        device: Device of PyTorch.
        address: Address of the cluster; None starts one on this machine and ends it.
        report: Called with the number of shards that are there.

    Raises:
        MissingExtraError: Without the extra `ray`.
        GalleryError: If the cluster cannot be reached, or a shard could not be done.
    """
    ray = require_extra("ray")
    started = not ray.is_initialized()
    if started:
        try:
            _require_answer(address)
            ray.init(address=address, log_to_driver=False, include_dashboard=False, configure_logging=False)
        except (OSError, OverflowError, ValueError, RuntimeError) as error:
            raise GalleryError(
                f"address {address}: no Ray cluster can be reached ({explain(error)}); start one with `ray start "
                "--head`"
            ) from None
    try:
        _run_tasks(ray, job, device, report)
    finally:
        if started:
            ray.shutdown()


def _require_answer(address: str | None) -> None:
    """Connect once to a `host:port`: Ray itself tries for minutes, and logs each try.

    Raises:
        OSError: If there is no answer.
    """
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT).close()


def _run_tasks(ray: Any, job: Job, device: str, report: ProgressCallback) -> None:
    # One processor for each thread of the runtime; decoding takes what is left of it.
    task = ray.remote(num_cpus=job.settings.threads, max_retries=_TRIES)(_do_task)
    shared = ray.put(job)
    waiting = {task.remote(shared, number, device): number for number in job.missing()}
    while waiting:
        report("embed", job.shards - len(job.missing()), job.shards)
        done, _ = ray.wait([*waiting], num_returns=1, timeout=_WAIT)
        for reference in done:
            number = waiting.pop(reference)
            try:
                ray.get(reference)
            except ray.exceptions.RayError as error:
                for other in waiting:
                    ray.cancel(other)
                reason = str(getattr(error, "cause", None) or error).strip().splitlines()
                raise GalleryError(
                    f"{job.folder}: shard {number} could not be done on Ray ({reason[-1] if reason else error}). "
                    f"{CONTINUE}"
                ) from None
    report("embed", job.shards, job.shards)


def _do_task(job: Job, number: int, device: str) -> None:
    """Compute one shard, or wait for another process that computes it."""
    embedder = _load_once(job, device)
    end = time.monotonic() + 3 * LEASE
    with ThreadPoolExecutor(decode_threads(), thread_name_prefix="passerby-decode") as pool:
        while not (do_shard(job, number, embedder, pool) or job.shard_path(number).exists()):
            if time.monotonic() > end:
                raise TimeoutError(f"shard {number}: another process has held its claim for {3 * LEASE:.0f} s")
            time.sleep(_WAIT)


_LOADED: dict[str, Embedder] = {}


def _load_once(job: Job, device: str) -> Embedder:
    """Load the model once in each worker process, which runs many tasks."""
    from passerby.extraction.embed_source import load_for

    key = f"{job.vectors.to_json()} {job.settings} {device}"
    if key not in _LOADED:
        _LOADED.clear()
        _LOADED[key] = load_for(job, device=device)
    return _LOADED[key]
