"""Rendered people: images a second on one core, drawn alone and written to disk as a data set.

    python benchmarks/render.py [--people 64] [--repeats 5]

128 x 64, 2 x 2 rays a pixel, people in 4 of 200 cameras each. The median of the repeats; each draws
other people.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from measure import machine
from passerby.synthesis.dataset import SynthSettings, shard_images
from passerby.synthesis.write import write_people


def settings(people: int, seed: int) -> SynthSettings:
    return SynthSettings(identities=people, cameras=200, images=2, views=4, test=0, seed=seed)


def drawn(people: int, seed: int) -> float:
    """Images a second, without files."""
    chosen, began, count = settings(people, seed), time.perf_counter(), 0
    for shard in range(chosen.shards):
        count += sum(1 for _ in shard_images(chosen, shard))
    return count / (time.perf_counter() - began)


def written(people: int, seed: int) -> float:
    """Images a second as `passerby synth --workers 1` writes them, masks and table included."""
    chosen = settings(people, seed)
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        write_people(Path(folder) / "people", chosen, workers=0)
        return chosen.total / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    written(2, 0)  # compiles, and imports what writes
    print(machine())
    for name, measured in (("drawn", drawn), ("written", written)):
        rates = [measured(chosen.people, seed) for seed in range(1, chosen.repeats + 1)]
        print(f"{name}: {statistics.median(rates):.0f} images a second ({min(rates):.0f} to {max(rates):.0f})")


if __name__ == "__main__":
    main()
