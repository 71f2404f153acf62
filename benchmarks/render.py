"""Rendering of synthetic people: images per second on one core, in memory and written as a data set.

    python benchmarks/render.py [--identities 64] [--repeats 5]

128 x 64 pixels, 2 x 2 rays per pixel, identities in 4 of 200 cameras each. Prints the median of the repeats; each
repeat renders another seed.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from measure import machine
from passerby.synthesis.dataset import SynthSettings, render_shard
from passerby.synthesis.write import synth


def build_settings(identities: int, seed: int) -> SynthSettings:
    return SynthSettings(identities=identities, cameras=200, images=2, views=4, test=0, seed=seed)


def measure_rendering(identities: int, seed: int) -> float:
    """Return images per second without files."""
    settings, started, count = build_settings(identities, seed), time.perf_counter(), 0
    for shard in range(settings.shards):
        count += sum(1 for _ in render_shard(settings, shard))
    return count / (time.perf_counter() - started)


def measure_writing(identities: int, seed: int) -> float:
    """Return images per second of `passerby synth --workers 1`, with masks and table."""
    settings = build_settings(identities, seed)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        synth(Path(folder) / "rendered", settings, workers=0)
        return settings.total / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--identities", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    measure_writing(2, 0)  # compiles the renderer and imports the writer
    print(machine())
    for name, measure in (("rendered", measure_rendering), ("written", measure_writing)):
        rates = [measure(options.identities, seed) for seed in range(1, options.repeats + 1)]
        print(f"{name}: {statistics.median(rates):.0f} images per second ({min(rates):.0f} to {max(rates):.0f})")


if __name__ == "__main__":
    main()
