"""Measure which runtime embeds fastest on this machine, and open the model in it.

B batch   H W image height and width
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from passerby.errors import PasserbyError, WeightsError
from passerby.model.open_model import ModelFiles, NamedRuntime, is_installed
from passerby.runtime.embedder import Embedder
from passerby.runtime.file_model import BATCHES
from passerby.runtime.mixed_encoder import MixedEncoder
from passerby.runtime.networks import ComputePrecision, default_threads
from passerby.runtime.runtime_table import (
    RuntimeTable,
    RuntimeTime,
    cache_table,
    count_threads,
    describe_processor,
    find_cached_table,
)
from passerby.runtime.weights_hash import hash_file
from passerby.types import DEFAULT

logger = logging.getLogger(__name__)

LIBRARIES: dict[NamedRuntime, str] = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
"""Distribution of each runtime."""
_TURNS = 5
_LARGE, _SLOW = 8, 1.5
"""A runtime that takes more than 1.5 times the fastest one's time for 8 images is not measured at larger sizes."""
_SECONDS = 5.0
"""Time of the measurement of one precision, of the clock that is measured by."""
_Row = tuple[NamedRuntime, ComputePrecision]


def model_runtimes(model: str | Path = DEFAULT, *, threads: int | None = None, measure: bool = False) -> RuntimeTable:
    """Measure a model's runtimes on this machine, or read the measurement that is kept in the user's cache.

    It is kept for the processor, the model's content, the versions of the libraries and the number of threads. Times
    are the least of up to 5 turns, of the processor with one thread and of the clock with several. Each precision is
    measured for about 5 seconds. Not measured are batch sizes for which no time is left, and batches above 8 in a
    runtime that takes more than 1.5 times the fastest one's time for 8.

    Args:
        model: Folder or file of the model, as for `load`.
        threads: Number of threads; None is `OMP_NUM_THREADS`, or all processors of this process.
        measure: Measure again, and replace what is kept.

    Raises:
        WeightsError: As `load`.

    Example:
        >>> table = passerby.model_runtimes("runs/m")
        >>> [row.runtime for row in table.rows if row.milliseconds]
        ['torch']
        >>> str(table.choose("fp32"))[:5]
        'torch'
    """
    files, threads = ModelFiles(model), _resolve(threads)
    rows: list[RuntimeTime] = []
    for precision in dict.fromkeys(computes for _, computes in files.list_runtimes()):
        measured = _measure_or_read(files, precision, threads=threads, measure=measure).rows
        rows += [_name_precision(row, files.file_precision) for row in measured]
    return RuntimeTable(str(files.path), describe_processor(), threads, tuple(rows))


def _name_precision(row: RuntimeTime, stored: str) -> RuntimeTime:
    """Name the precision of a file that is not stored in fp32: no other precision can be chosen for it."""
    return row if row.runtime == "torch" or stored == "fp32" else replace(row, precision=stored)


def open_fastest(
    files: ModelFiles, names: Sequence[NamedRuntime], *, precision: ComputePrecision, threads: int | None
) -> Embedder:
    """Open a model in the fastest of several runtimes that compute the same vectors.

    Args:
        files: The model.
        names: The runtimes.
        precision: In which they compute.
        threads: Number of threads; None is `OMP_NUM_THREADS`, or all processors of this process.
    """
    threads = _resolve(threads)

    def open_one(name: NamedRuntime) -> Embedder:
        return files.open(name, device="cpu", precision=precision, threads=threads)

    table = _measure_or_read(files, precision, threads=threads, measure=False)
    choice = table.choose(precision)
    if choice is None:  # none could be measured: the first one's error is raised
        return open_one(names[0])
    used = list(dict.fromkeys(choice.runtimes.values()))
    embedders: dict[str, Embedder] = {name: open_one(name) for name in names if name in used}
    embedder = embedders[used[0]]
    if used == ["torch"]:
        return embedder
    encoders = {size: embedders[name].encoder for size, name in choice.runtimes.items()}
    largest = max(size for row in table.rows for size in row.milliseconds)
    if largest in encoders:  # the sizes for which there was no time to measure
        encoders |= {size: encoders[largest] for size in BATCHES if size > largest}
    mixed = Embedder(MixedEncoder(encoders), embedder.preprocessing, embedder.manifest, exported=embedder.exported)
    return mixed.with_network(files.load_network) if files.trained else mixed


def _measure_or_read(files: ModelFiles, precision: ComputePrecision, *, threads: int, measure: bool) -> RuntimeTable:
    """Measure the runtimes that compute in one precision, or read what was measured."""
    runtimes = tuple(row for row in files.list_runtimes() if row[1] == precision)
    key = {
        "processor": describe_processor(),
        "threads": threads,
        "model": hash_file(files.weights_file),
        "runtimes": runtimes,
        "versions": {name: find_version(name) for name in LIBRARIES},
    }
    table = None if measure else find_cached_table(key, str(files.path))
    if table is None:
        rows = _measure_all(files, runtimes, threads)
        table = RuntimeTable(str(files.path), describe_processor(), threads, tuple(rows))
        if any(row.milliseconds for row in rows):
            cache_table(key, rows)
        if (choice := table.choose(precision)) is not None:
            logger.info("%s: %s", files.path, choice)
    return table


def _measure_all(files: ModelFiles, runtimes: Sequence[_Row], threads: int) -> list[RuntimeTime]:
    """Measure every runtime that is installed, in turns, and tell why the others were not measured."""
    rows: dict[_Row, RuntimeTime] = {}
    opened: dict[_Row, Embedder] = {}
    for runtime, precision in runtimes:
        found = find_version(runtime)
        note = "" if found else "not installed"
        if found:
            try:
                opened[runtime, precision] = _open(files, runtime, precision, threads)
            except PasserbyError as error:
                note = str(error)
        rows[runtime, precision] = RuntimeTime(runtime, precision, found, {}, note)
    if opened:
        logger.info("%s: the runtimes are measured, once on this machine, for about %g s", files.path, _SECONDS)
    for key, times in _measure(opened, threads).items():
        rows[key] = RuntimeTime(*key, rows[key].version, times)
    return [*rows.values()]


def _open(files: ModelFiles, runtime: NamedRuntime, precision: ComputePrecision, threads: int) -> Embedder:
    if runtime == "torch":
        import torch

        if torch.get_num_threads() != threads:
            raise WeightsError(f"PyTorch has {torch.get_num_threads()} threads in this process: set OMP_NUM_THREADS")
    return files.open(runtime, device="cpu", precision=precision, threads=threads)


def _resolve(threads: int | None) -> int:
    return threads or default_threads() or count_threads()


def _measure(opened: Mapping[_Row, Embedder], threads: int) -> dict[_Row, dict[int, float]]:
    """Return the least milliseconds of an image by batch size, of as many sizes as there is time for.

    Every turn measures all sizes: a moment of other work on the machine does not fall on one size alone.
    """
    clock: Callable[[], float] = process_time if threads == 1 else perf_counter
    generator = np.random.default_rng(0)
    times: dict[_Row, dict[int, float]] = {key: {} for key in opened}
    started = clock()
    for turn in range(_TURNS):
        for size in BATCHES:
            rows = [key for key in opened if size in times[key]] if turn else _list_candidates(times)
            expected = 2 * size * sum(min(times[key].values(), default=0) for key in rows) / 1000
            if clock() - started + expected > _SECONDS:
                break
            for key in rows:
                pixels = generator.integers(0, 256, (size, *opened[key].preprocessing.size, 3), dtype=np.uint8)
                opened[key].encoder.encode(pixels)  # threads of the others go to sleep, memory is allocated
                start = clock()
                opened[key].encoder.encode(pixels)
                milliseconds = 1000 * (clock() - start) / size
                times[key][size] = min(times[key].get(size, milliseconds), milliseconds)
    return times


def _list_candidates(times: Mapping[_Row, Mapping[int, float]]) -> list[_Row]:
    """List the runtimes to measure at the next larger size, by the times of the largest so far."""
    size = max((size for row in times.values() for size in row), default=0)
    if size < _LARGE:
        return [*times]
    least = min(row[size] for row in times.values() if size in row)
    return [key for key, row in times.items() if row.get(size, float("inf")) <= _SLOW * least]


def find_version(runtime: NamedRuntime) -> str | None:
    """Return the version of a runtime's library; None if it is not installed.

    Example:
        >>> find_version("onnx") is not None
        True
    """
    try:
        return version(LIBRARIES[runtime]) if is_installed(runtime) else None
    except PackageNotFoundError:
        return None
