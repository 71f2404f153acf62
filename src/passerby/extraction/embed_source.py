"""Embed the images of a source to shards; the job may be killed, continued, and shared by processes and machines."""

from __future__ import annotations

import logging
import multiprocessing
import os
import time
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, get_args

from passerby.errors import GalleryError, PasserbyError, WriteError, argument
from passerby.extraction.file_systems import ObjectStoreError
from passerby.extraction.items import SourceOptions
from passerby.extraction.job import CONTINUE, Job, JobSettings, open_job, require_job_folder, stored_runtime
from passerby.extraction.worker import decode_threads, work
from passerby.gallery.embedding_model import find_source, read_calibration, record_model
from passerby.gallery.shards import Numbers, ShardModel, count_rows, read_errors
from passerby.model.embed import load
from passerby.progress import ProgressOption, open_progress
from passerby.runtime.embedder import Embedder
from passerby.runtime.mixed_encoder import MixedEncoder
from passerby.text import plural
from passerby.types import Result

logger = logging.getLogger(__name__)
Engine = Literal["local", "ray"]
_LOOK = 0.5
"""Seconds between two checks of the shards of the worker processes."""


@dataclass(frozen=True)
class EmbedSettings:
    """Settings of `embed`.

    Attributes:
        runtime: Runtime that computes; see `load`. A job that is continued keeps the runtime with which it began.
        precision: `fp32`, or `bf16` by openvino; see `load`.
        numbers: Number type of the stored vectors: `fp32`, `fp16` or `int8` (with a scale for each vector).
        flip: Average each image's embedding with that of its mirror image.
        batch: Images per forward pass.
        threads: Threads of the runtime in each worker process.
        shard_size: Images of a shard; a tar file is one shard.
        device: Device of PyTorch; see `load`.

    Raises:
        GalleryError: For a number below 1 or an unknown number type.

    Example:
        >>> EmbedSettings(runtime="onnx", numbers="fp16").batch
        32
    """

    runtime: str = "auto"
    precision: str = "fp32"
    numbers: Numbers = "fp32"
    flip: bool = True
    batch: int = 32
    threads: int = 1
    shard_size: int = 4096
    device: str = "auto"

    def __post_init__(self) -> None:
        for name in ("batch", "threads", "shard_size"):
            if getattr(self, name) < 1:
                raise GalleryError(f"{argument(name)}: got {getattr(self, name)}, expected at least 1")
        if self.numbers not in get_args(Numbers):
            raise GalleryError(
                f"{argument('numbers')}: got {self.numbers!r}, expected one of {', '.join(get_args(Numbers))}"
            )


@dataclass(frozen=True)
class EmbedResult(Result):
    """Result of `embed`.

    Attributes:
        out: Folder of the job.
        shards: Number of shards.
        embedded: Crops with a vector.
        unreadable: (source, reason) of the crops without one, at most 1000; `failures` counts all.
        failures: Crops without a vector.

    Example:
        >>> EmbedResult(Path("shards"), shards=3, embedded=9000, unreadable=(), failures=0)
        EmbedResult(shards: 9,000 embedded in 3 shards, 0 unreadable)
    """

    out: Path
    shards: int
    embedded: int
    unreadable: tuple[tuple[str, str], ...]
    failures: int

    def __repr__(self) -> str:
        counts = f"{self.embedded:,} embedded in {plural(self.shards, 'shard')}, {self.failures:,} unreadable"
        return f"EmbedResult({self.out}: {counts})"


def embed(
    source: str | Path,
    model: str | Path,
    out: str | Path,
    *,
    options: SourceOptions | None = None,
    settings: EmbedSettings | None = None,
    workers: int = 1,
    engine: Engine = "local",
    address: str | None = None,
    progress: ProgressOption = False,
) -> EmbedResult:
    """Embed the images of a source to Parquet shards, which `Gallery.enroll_shards` reads.

    The same call continues a job that was stopped or killed: shards that are there are kept, and the result is the same
    to the bit on one type of processor. Several processes, on several machines with a common folder, may run it at the
    same time; each shard is done once.

    Args:
        source: A folder, an image, a `.csv` or `.parquet` table, a data set as for `load_data`, a `.tar` file in
            WebDataset's layout or a folder of them, or a folder of an object store such as `s3://bucket/crops`. The
            column `path` of a table may hold addresses of an object store.
        model: Model, as `load` takes it.
        out: Folder of the job; it is made.
        options: Camera and other values for all images; see `SourceOptions`.
        settings: Settings of the computation; see `EmbedSettings`.
        workers: Worker processes on this machine, each with the model in memory; 1 works in this process.
        engine: `local`, or `ray` to run on a Ray cluster.
        address: Address of the Ray cluster; None starts one on this machine.
        progress: True for a bar on stderr, or a callback; see `ProgressCallback`.

    Returns:
        Counts, and what could not be read. One image that cannot be read does not stop the job.

    Raises:
        GalleryError: If the folder holds another job, the source has changed, is empty or has no cameras, or a worker
            process has ended before the job was complete.
        DataError: If the source cannot be read.
        WeightsError: If the model cannot be loaded.
        WriteError: If a file cannot be written, such as on a full disk; the shards that are there stay.

    Example:
        >>> from passerby.extraction.items import SourceOptions
        >>> passerby.embed("crops", "runs/m", "shards", options=SourceOptions(folders="camera"))
        EmbedResult(shards: 52 embedded in 1 shard, 0 unreadable)
    """
    options, settings, folder = options or SourceOptions(), settings or EmbedSettings(), Path(out)
    if workers < 1:
        raise GalleryError(f"{argument('workers')}: got {workers}, expected at least 1")
    if engine not in get_args(Engine):
        raise GalleryError(f"{argument('engine')}: got {engine!r}, expected one of {', '.join(get_args(Engine))}")
    if address is not None and engine != "ray":
        raise GalleryError(f"{argument('address')}: is for engine ray, got engine {engine}")
    require_job_folder(folder)
    embedder = _open(str(model), folder, settings)
    name = find_source(model)
    job = open_job(
        folder,
        str(source),
        options=options,
        settings=JobSettings(
            model=name,
            runtime=embedder.encoder.runtime,
            precision=settings.precision,
            threads=settings.threads,
            batch=settings.batch,
            shard_size=settings.shard_size,
        ),
        vectors=ShardModel(
            record_model(embedder, calibration=read_calibration(name), source=name), settings.flip, settings.numbers
        ),
    )
    with open_progress(progress) as report:
        if engine == "ray":
            from passerby.extraction.ray_engine import work_on_ray

            work_on_ray(job, device=settings.device, address=address, report=report)
        elif workers == 1:
            try:
                work(job, embedder, threads=decode_threads(), report=report)
            except (ObjectStoreError, WriteError) as error:
                raise type(error)(f"{error}. {CONTINUE}") from None
        else:
            _work_in_processes(job, workers, device=settings.device, report=report)
    return _count(job)


def _open(model: str, folder: Path, settings: EmbedSettings) -> Embedder:
    """Load the model in one runtime, which all processes of the job can load again."""
    runtime = settings.runtime
    if runtime == "auto":
        runtime = stored_runtime(folder) or "auto"
    embedder = _load(model, runtime, settings.precision, settings.threads, settings.device)
    encoder = embedder.encoder
    if isinstance(encoder, MixedEncoder):  # its choice by batch size is that of this machine
        chosen = encoder.runtime_of(settings.batch)
        return _load(model, chosen, settings.precision, settings.threads, settings.device)
    return embedder


def _load(model: str, runtime: str, precision: str, threads: int, device: str) -> Embedder:
    return load(model, runtime=runtime, precision=precision, threads=threads, device=device)  # type: ignore[arg-type]


def load_for(job: Job, *, device: str) -> Embedder:
    """Load the model of a job, with its settings, in another process.

    Raises:
        WeightsError: As `load`.
    """
    settings = job.settings
    return _load(settings.model, settings.runtime, settings.precision, settings.threads, device)


def _work_in_processes(job: Job, workers: int, *, device: str, report: Any) -> None:
    """Run worker processes until the job is complete.

    Raises:
        GalleryError: If all have ended and shards are missing.
    """
    context = multiprocessing.get_context("spawn")
    messages = context.Queue()
    processes: list[BaseProcess] = [
        context.Process(target=_run_worker, args=(job, device, workers, messages), daemon=True) for _ in range(workers)
    ]
    for process in processes:
        process.start()
    try:
        while any(process.is_alive() for process in processes):
            report("embed", job.shards - len(job.missing()), job.shards)
            time.sleep(_LOOK)
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
            process.join()
    codes = [process.exitcode for process in processes if process.exitcode]
    missing = len(job.missing())
    reason = "" if messages.empty() else f": {messages.get()}"
    if missing:
        raise GalleryError(
            f"{job.folder}: missing {missing:,} of {plural(job.shards, 'shard')}; {len(codes)} of "
            f"{plural(workers, 'worker')} ended with exit code {codes[0] if codes else 0}{reason}. {CONTINUE}"
        )
    if codes:
        logger.warning(
            "%s: %d of %d workers ended (exit code %d); the others did their shards",
            job.folder,
            len(codes),
            workers,
            codes[0],
        )
    report("embed", job.shards, job.shards)


def _run_worker(job: Job, device: str, workers: int, messages: Any) -> None:
    """Work in a process of its own."""
    from passerby.progress import no_progress

    try:
        embedder = load_for(job, device=device)
        if job.settings.runtime == "torch":
            import torch

            torch.set_num_threads(job.settings.threads)
        work(job, embedder, threads=max(1, decode_threads() // workers), report=no_progress)
    except (PasserbyError, OSError) as error:
        messages.put(str(error))
        messages.close()
        messages.join_thread()
        os._exit(1)


_SHOWN = 1000


def _count(job: Job) -> EmbedResult:
    embedded = sum(count_rows(job.shard_path(number)) for number in range(job.shards))
    unreadable: list[tuple[str, str]] = []
    failures = 0
    for number in range(job.shards):
        path = job.errors_path(number)
        if path.exists():
            failures += count_rows(path)
            unreadable += read_errors(path)[: _SHOWN - len(unreadable)] if len(unreadable) < _SHOWN else []
    return EmbedResult(job.folder, job.shards, embedded, tuple(unreadable), failures)
