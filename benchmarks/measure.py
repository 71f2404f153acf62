"""Time and peak memory of a few lines, each in its own process; alternatives run in turns, so that noise is shared."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MEASURED = """
import json, resource, sys, time
{setup}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
_started = time.perf_counter()  # a name that the work does not use
{work}
seconds = time.perf_counter() - _started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("MEASURED", seconds, before, peak)
"""


@dataclass(frozen=True)
class Measured:
    """Medians of one alternative.

    Attributes:
        seconds: Time of the work, without imports and setup.
        peak: Peak resident memory of the process in bytes, setup included.
        setup: Peak resident memory in bytes before the work.
        times: Seconds of each repetition.
    """

    seconds: float
    peak: float
    setup: float
    times: tuple[float, ...]


def measure(
    alternatives: Mapping[str, tuple[str, str]], *, repeats: int = 5, threads: int = 2, timeout: float = 3600
) -> dict[str, Measured]:
    """Run each (setup, work) pair `repeats` times, in turns, each time in a fresh Python process.

    Raises:
        RuntimeError: When a process fails, with the end of its error output.
    """
    counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")}
    results: dict[str, list[tuple[float, float, float]]] = {name: [] for name in alternatives}
    for _ in range(repeats):
        for name, (setup, work) in alternatives.items():
            done = subprocess.run(
                [sys.executable, "-c", _MEASURED.format(setup=setup, work=work)],
                env=os.environ | counts,
                cwd=Path(__file__).parent,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
            lines = [line for line in done.stdout.splitlines() if line.startswith("MEASURED")]
            if done.returncode or not lines:
                raise RuntimeError(f"{name}: ended with {done.returncode}\n{done.stderr[-2000:]}")
            seconds, before, peak = map(float, lines[-1].split()[1:])
            results[name].append((seconds, before * _UNIT, peak * _UNIT))
            print(f"  {name}: {seconds:.2f} s, {peak * _UNIT / 1e6:,.0f} MB", file=sys.stderr)
    return {
        name: Measured(statistics.median(seconds), statistics.median(peak), statistics.median(before), tuple(seconds))
        for name, runs in results.items()
        for seconds, before, peak in [tuple(zip(*runs, strict=True))]
    }


_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


def table(title: str, rows: Mapping[str, Measured], *, ours: str) -> str:
    """Format a Markdown table: seconds, range, peak memory, and the time relative to the row `ours`."""
    lines = [
        f"**{title}**",
        "",
        "| | median s | range s | peak MB | before, MB | time / ours |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {row.seconds:.2f} | {min(row.times):.2f} - {max(row.times):.2f} | {row.peak / 1e6:,.0f} "
            f"| {row.setup / 1e6:,.0f} | {row.seconds / rows[ours].seconds:.1f} |"
        )
    return "\n".join(lines)


def machine() -> str:
    """Describe the machine in one line."""
    import numpy as np

    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}"
    return f"{os.cpu_count()} cores of {model}, {platform.system()}, {versions}"
