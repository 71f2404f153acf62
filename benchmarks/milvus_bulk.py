"""Measure the enrollment of shards into a Milvus server by upserts and by its bulk insertion.

    python benchmarks/milvus_bulk.py milvus://host:port STORAGE [--count 100000] [--dimension 256] [--repeats 3]

STORAGE is the folder, or the address of an object store, that the server reads files from. The shards are written first
(clusters of 20, as in `benchmarks/gallery.py`). Both ways are run in turns, each into a new gallery; the time is that
of the whole call of `enroll_shards`, after which a count finds every sighting.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

import passerby
from gallery import block
from measure import machine
from passerby.gallery.card import GalleryModel
from passerby.gallery.shards import ShardModel, make_shard
from passerby.gallery.sightings import SightingInfo
from passerby.gallery.stores.opening import open_gallery

ROWS, KNEE = 10_000, 6.0


def write_shards(folder: Path, *, count: int, dimension: int) -> None:
    """Write shards of 10,000 random crops."""
    model = GalleryModel("a" * 64, "b" * 64, {"size": [128, 64], "mean": [0.5] * 3, "std": [0.5] * 3}, dimension)
    (folder / "shards").mkdir(parents=True)
    for start in range(0, count, ROWS):
        vectors = block(start, min(ROWS, count - start), dimension, KNEE)
        crops = [
            SightingInfo(id="", camera=f"cam{i % 40}", source=f"{i}.jpg", time=float(i))
            for i in range(start, start + len(vectors))
        ]
        path = folder / "shards" / f"{start:09d}.parquet"
        path.write_bytes(make_shard(crops, vectors, ShardModel(model, False, "fp32")))


def main() -> None:
    """Print the rates of both ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("server")
    parser.add_argument("storage")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(machine())
    rates: dict[str, list[float]] = {"upsert": [], "bulk": []}
    with tempfile.TemporaryDirectory() as name:
        job = Path(name)
        write_shards(job, count=arguments.count, dimension=arguments.dimension)
        for repeat in range(arguments.repeats):
            for way, bulk in (("upsert", None), ("bulk", arguments.storage)):
                address = f"{arguments.server}/{way}{time.time_ns()}"
                start, processor = time.perf_counter(), time.process_time()
                result = passerby.enroll_shards(address, job, bulk=bulk)
                seconds, processor = time.perf_counter() - start, time.process_time() - processor
                store = open_gallery(address)
                found = store.count()
                store.close()
                if result.new != arguments.count or found != arguments.count:
                    raise SystemExit(f"{way}: {result.new} new, {found} found")
                rates[way].append(arguments.count / seconds)
                print(f"{repeat} {way}: {rates[way][-1]:,.0f}/s, {processor:.1f} s of processor time here", flush=True)
    upsert, bulk_rate = (float(np.median(rates[way])) for way in ("upsert", "bulk"))
    print(f"median: upsert {upsert:,.0f}/s, bulk {bulk_rate:,.0f}/s, {bulk_rate / upsert:.2f} times")


if __name__ == "__main__":
    main()
