"""A gallery of many: time to add, memory and disk, latency of top-50 alone and with a camera filter, recall.

    python benchmarks/gallery.py WHERE [--count 100000] [--dimension 1536] [--queries 200]

WHERE is a new folder, or milvus://host:port/name; it is filled and left there. People are random centres with 20
sightings each, so that neighbours mean something; queries are further sightings of people who are in it. Each query is
asked alone, as a service would; recall is the share of the true 50 nearest, found by brute force over the same vectors.
The peak of memory is of this process, with the brute force's block of vectors in it.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np

from measure import machine
from passerby.gallery.card import GalleryModel
from passerby.gallery.open import open_gallery
from passerby.gallery.types import Filter, Sighting

TOP = 50
CAMERAS = 20
EACH = 20
BATCH = 5000


def block(start: int, count: int, dimension: int) -> np.ndarray:
    """Unit vectors of the sightings from `start`; the same whenever they are asked for."""
    people = np.arange(start, start + count) // EACH
    found = np.empty((count, dimension), np.float32)
    for person in np.unique(people):
        mine = people == person
        centre = np.random.default_rng([0, int(person)]).standard_normal(dimension)
        noise = np.random.default_rng([1, int(person), start]).standard_normal((int(mine.sum()), dimension))
        found[mine] = centre + 0.9 * noise
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def blocks(total: int, dimension: int) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, total, BATCH):
        yield start, block(start, min(BATCH, total - start), dimension)


def nearest(queries: np.ndarray, total: int, *, camera: int | None) -> list[set[int]]:
    """Places of the true nearest, block by block."""
    best = np.full((len(queries), TOP), -np.inf, np.float32)
    places = np.full((len(queries), TOP), -1, np.int64)
    for start, vectors in blocks(total, queries.shape[1]):
        similar = queries @ vectors.T
        if camera is not None:
            similar[:, (np.arange(start, start + len(vectors)) % CAMERAS) != camera] = -np.inf
        joined = np.concatenate([best, similar], axis=1)
        where = np.concatenate([places, np.broadcast_to(np.arange(start, start + len(vectors)), similar.shape)], axis=1)
        top = np.argpartition(-joined, TOP - 1, axis=1)[:, :TOP]
        best, places = np.take_along_axis(joined, top, 1), np.take_along_axis(where, top, 1)
    return [set(row.tolist()) for row in places]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=1536)
    parser.add_argument("--queries", type=int, default=200)
    chosen = parser.parse_args()
    model = GalleryModel("0" * 64, "0" * 64, {"size": [128, 64]}, chosen.dimension)
    store = open_gallery(chosen.where, model=model, pictures="vectors", who="benchmark")
    print(f"{chosen.count:,} x {chosen.dimension}, {machine()}")

    spent = 0.0
    for start, vectors in blocks(chosen.count, chosen.dimension):
        sightings = [
            Sighting(vector=vector, camera=f"c{(start + i) % CAMERAS}", id=f"{start + i:032d}")
            for i, vector in enumerate(vectors)
        ]
        began = time.perf_counter()
        store.add(sightings)
        spent += time.perf_counter() - began
    print(f"added in {spent:.1f} s, {chosen.count / spent:,.0f} a second")
    size = store.describe().bytes
    print(f"on disk: {'on the server' if size is None else f'{size / 1e9:.2f} GB'}")
    store.close()

    store = open_gallery(chosen.where)
    places = np.random.default_rng(2).choice(chosen.count, chosen.queries, replace=False)
    queries = np.concatenate([block(int(place), 1, chosen.dimension) for place in places])
    began = time.perf_counter()
    store.search(queries[0], top=TOP)
    print(f"first search after opening: {time.perf_counter() - began:.1f} s")
    for name, camera in (("alone", None), ("one camera of 20", 3)):
        where = Filter() if camera is None else Filter(cameras=[f"c{camera}"])
        times, found = [], []
        for query in queries:
            began = time.perf_counter()
            (hits,) = store.search(query, top=TOP, where=where)
            times.append(1000 * (time.perf_counter() - began))
            found.append({int(hit.id) for hit in hits})
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        truth = nearest(queries, chosen.count, camera=camera)
        recall = np.mean([len(a & b) / TOP for a, b in zip(found, truth, strict=True)])
        p50, p95 = np.percentile(times, [50, 95])
        print(f"{name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, recall@{TOP} {recall:.4f}; peak memory {peak:.2f} GB")


if __name__ == "__main__":
    main()
