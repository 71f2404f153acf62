"""Measured times of a model's runtimes on this machine, the choice by them, and their file in the user's cache."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from passerby.errors import WriteError
from passerby.files import cache_folder, read_json, write_atomic
from passerby.types import Result

logger = logging.getLogger(__name__)

MARGIN = 1.03
"""A runtime alone is preferred to a mixture while it is slower by at most this factor at every batch size."""
_FORMAT = 3
_LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
"""Environment variables that hold torch, oneDNN (in torch and OpenVINO) and MKL to some of the instructions."""
_FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "sve", "bf16", "i8mm")


@dataclass(frozen=True, repr=False)
class RuntimeTime(Result):
    """One runtime in one precision.

    Attributes:
        runtime: `torch`, `onnx` (onnxruntime) or `openvino`.
        precision: In which it computes: `fp32`, `bf16`, or that of an exported file.
        version: Version of its library; None if it is not installed.
        milliseconds: Time of an image by batch size, without the mirror image; empty if it was not measured.
        note: Why it was not measured; empty otherwise.
    """

    runtime: str
    precision: str
    version: str | None
    milliseconds: Mapping[int, float]
    note: str = ""


@dataclass(frozen=True, repr=False)
class RuntimeChoice(Result):
    """Chosen runtime of each batch size.

    Attributes:
        runtimes: Runtime of each batch size that is computed.
    """

    runtimes: Mapping[int, str]

    def __str__(self) -> str:
        names = dict.fromkeys(self.runtimes.values())
        parts = [
            f"{name}, batches of {', '.join(str(size) for size, runtime in self.runtimes.items() if runtime == name)}"
            for name in names
        ]
        return "; ".join(parts)


@dataclass(frozen=True, repr=False)
class RuntimeTable(Result):
    """Measured runtimes of a model on this machine.

    Attributes:
        model: The model's name or path.
        processor: Name of the processor, and the instructions that matter here.
        threads: Number of threads.
        rows: Every runtime in every precision.
    """

    model: str
    processor: str
    threads: int
    rows: tuple[RuntimeTime, ...]

    def choose(self, precision: str) -> RuntimeChoice | None:
        """Return the fastest way to compute vectors of one precision; None if no runtime was measured in it.

        Example:
            >>> rows = [("torch", {1: 9.0, 32: 5.0}), ("onnx", {1: 5.0, 32: 4.0})]
            >>> times = tuple(RuntimeTime(name, "fp32", "1", milliseconds) for name, milliseconds in rows)
            >>> str(RuntimeTable("m", "x", 1, times).choose("fp32"))
            'onnx, batches of 1, 32'
        """
        times = {row.runtime: row.milliseconds for row in self.rows if row.precision == precision and row.milliseconds}
        return choose_runtimes(times) if times else None


def choose_runtimes(times: Mapping[str, Mapping[int, float]]) -> RuntimeChoice:
    """Choose a runtime for each batch size: one for all sizes if none is slower than the best by more than `MARGIN`.

    A size that takes longer for an image than a smaller one is left out.

    Args:
        times: Milliseconds of an image by batch size, by runtime; at least one runtime. One without a time at a size
            is not chosen there.

    Example:
        >>> choose_runtimes({"a": {1: 2.0, 32: 0.8}, "b": {1: 1.0, 32: 2.0}}).runtimes
        {1: 'b', 32: 'a'}
        >>> choose_runtimes({"a": {1: 2.0, 8: 1.0, 32: 1.2}}).runtimes
        {1: 'a', 8: 'a'}
    """
    none = float("inf")
    sizes = sorted(set[int]().union(*times.values()))
    best = {size: min(row.get(size, none) for row in times.values()) for size in sizes}
    slowest = {name: max(row.get(size, none) / best[size] for size in sizes) for name, row in times.items()}
    alone = min(slowest, key=lambda name: slowest[name])
    runtimes: dict[int, str] = {}
    least = none
    for size in sizes:
        name = alone if slowest[alone] <= MARGIN else min(times, key=lambda name: times[name].get(size, none))
        if times[name][size] < least:
            runtimes[size] = name
            least = times[name][size]
    return RuntimeChoice(runtimes)


def describe_processor() -> str:
    """Return the processor's name, its vector instructions on which the choice of a runtime depends, and their limits.

    Limits are environment variables such as `ONEDNN_MAX_CPU_ISA=AVX2`, which some of the runtimes obey.
    """
    name, flags = platform.processor() or platform.machine(), ""
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        values = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        name = values.get("model name", name)
        flags = values.get("flags", values.get("Features", ""))
    elif sys.platform == "darwin":
        words = ["sysctl", "-n", "machdep.cpu.brand_string"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        name = done.stdout.strip() or name
    has = [feature for feature in _FEATURES if feature in flags.split()]
    has += [f"{limit}={os.environ[limit]}" for limit in _LIMITS if os.environ.get(limit)]
    return f"{name} ({', '.join(has)})" if has else name


def count_threads() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_cached_table(key: Mapping[str, object], model: str) -> RuntimeTable | None:
    """Read the table that was measured under the same conditions; None if there is none that can be read."""
    path = _path(key)
    try:
        tree = read_json(path)
        if tree["key"] != _plain(key):
            return None
        rows = tuple(
            RuntimeTime(**{**row, "milliseconds": {int(size): float(ms) for size, ms in row["milliseconds"].items()}})
            for row in tree["rows"]
        )
        return RuntimeTable(model, str(key["processor"]), int(str(key["threads"])), rows)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        logger.warning("%s: cannot be read (%s); the runtimes are measured again", path, error)
        return None


def cache_table(key: Mapping[str, object], rows: Sequence[RuntimeTime]) -> None:
    """Store a table. If the folder cannot be written, a warning is logged, and each process measures the runtimes."""
    try:
        tree = {"key": _plain(key), "rows": [asdict(row) for row in rows]}
        write_atomic(_path(key), (json.dumps(tree, indent=1) + "\n").encode())
    except WriteError as error:
        logger.warning("the choice of the runtime is not kept: %s", error)


def _path(key: Mapping[str, object]) -> Path:
    text = json.dumps(_plain(key), sort_keys=True)
    return cache_folder() / "runtimes" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def _plain(key: Mapping[str, object]) -> object:
    return json.loads(json.dumps({"format": _FORMAT, **key}))
