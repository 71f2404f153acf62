"""A gallery of many: time to add, memory and disk, latency of top-50 alone and with a camera filter, recall.

    python benchmarks/gallery.py WHERE [--count 100000] [--dimension 1536] [--queries 200] [--knee 6]

WHERE is a new folder, or milvus://host:port/name; it is filled and left there. A server is waited for until it has
indexed what it was given, and 30 s longer, in which it puts the index to use. People have 20 sightings each; queries
are further sightings of people who are in it. Embeddings of people fill a few directions of their space: those of the
default model have 99 % of the variance between people in 38 dimensions (rendered) or 45 (CUHK01), and of the variance
within in 92 and 81. Vectors are drawn with spectra of that shape: variance 1 / (1 + (i / knee)^3.3) between people,
knee 6, and 1 / (1 + (i / 1.5 knee)^2.7) within, 0.67 and 0.25 in all, beside a common mean of 0.15. A larger `--knee`
is harder; `--knee 0` spreads both over all dimensions, where most of the 50 nearest are strangers as far away as any
other, and only brute force finds them.

Each query is asked alone, as a service would, and 20 of them under camera-wise normalization, too; recall is the share
of the true 50 nearest, found by brute force over the same vectors. The peak of memory is of this process, with the
brute force's block of vectors in it.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator

import numpy as np

from measure import machine
from passerby.gallery.camera_search import CameraViews, search_across
from passerby.gallery.card import GalleryModel
from passerby.gallery.filters import Filter
from passerby.gallery.sightings import Sighting
from passerby.gallery.stores.opening import open_gallery

TOP = 50
CAMERAS = 20
EACH = 20
BATCH = 5000


def block(start: int, count: int, dimension: int, knee: float) -> np.ndarray:
    """Unit vectors of the sightings from `start`; the same whenever they are asked for."""
    return _drawn(np.arange(start, start + count) // EACH, dimension, knee, seed=start)


def _drawn(people: np.ndarray, dimension: int, knee: float, *, seed: int) -> np.ndarray:
    """A sighting of each of the people, in their order."""
    different, which = np.unique(people, return_inverse=True)
    places = np.arange(1, dimension + 1)
    between, within = (
        (share / scale.sum() * scale) ** 0.5
        for share, scale in (
            (0.67, 1 / (1 + (places / knee) ** 3.3) if knee else np.ones(dimension)),
            (0.25, 1 / (1 + (places / (1.5 * knee)) ** 2.7) if knee else np.ones(dimension)),
        )
    )
    kept = slice(0, min(dimension, int(64 * knee)) if knee else dimension)  # what follows is nothing
    centers = np.stack(
        [np.random.default_rng([0, int(p)]).standard_normal(dimension, np.float32)[kept] for p in different]
    )
    noise = np.random.default_rng([1, seed]).standard_normal((len(people), dimension), np.float32)[:, kept]
    found = np.zeros((len(people), dimension), np.float32)
    found[:, kept] = centers[which] * between[kept] + noise * within[kept]
    found[:, -1] += 0.15**0.5
    unit: np.ndarray = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def blocks(total: int, dimension: int, knee: float) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, total, BATCH):
        yield start, block(start, min(BATCH, total - start), dimension, knee)


def nearest(queries: np.ndarray, total: int, knee: float, *, camera: int | None) -> list[set[int]]:
    """Places of the true nearest, block by block."""
    best = np.full((len(queries), TOP), -np.inf, np.float32)
    places = np.full((len(queries), TOP), -1, np.int64)
    for start, vectors in blocks(total, queries.shape[1], knee):
        similar = queries @ vectors.T
        if camera is not None:
            similar[:, (np.arange(start, start + len(vectors)) % CAMERAS) != camera] = -np.inf
        joined = np.concatenate([best, similar], axis=1)
        where = np.concatenate([places, np.broadcast_to(np.arange(start, start + len(vectors)), similar.shape)], axis=1)
        top = np.argpartition(-joined, TOP - 1, axis=1)[:, :TOP]
        best, places = np.take_along_axis(joined, top, 1), np.take_along_axis(where, top, 1)
    return [set(row.tolist()) for row in places]


def wait_for_index(address: str) -> float:
    """Seconds until the server has sealed and indexed all vectors of the gallery; RuntimeError after an hour."""
    from pymilvus import MilvusClient

    from passerby.gallery.stores.milvus import parse_address

    server, token, name, _ = parse_address(address)
    client = MilvusClient(uri=server, token=token)
    began = time.perf_counter()
    client.flush(name)
    while True:
        state = client.describe_index(name, "vector")
        if state["state"] == "Finished" and not int(state["pending_index_rows"]):
            time.sleep(30)
            return time.perf_counter() - began
        if time.perf_counter() - began > 3600:
            raise RuntimeError(f"{address}: an hour after the last vector the index is {state}")
        time.sleep(2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=1536)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--knee", type=float, default=6.0)
    chosen = parser.parse_args()
    model = GalleryModel("0" * 64, "0" * 64, {"size": [128, 64]}, chosen.dimension)
    store = open_gallery(chosen.where, model=model, keep="vectors", user="benchmark")
    print(f"{chosen.count:,} x {chosen.dimension}, knee {chosen.knee:g}, {machine()}")

    spent = 0.0
    for start, vectors in blocks(chosen.count, chosen.dimension, chosen.knee):
        sightings = [
            Sighting(vector=vector, camera=f"c{(start + i) % CAMERAS}", id=f"{start + i:032d}")
            for i, vector in enumerate(vectors)
        ]
        began = time.perf_counter()
        store.add(sightings)
        spent += time.perf_counter() - began
    print(f"added in {spent:.1f} s, {chosen.count / spent:,.0f} a second")
    size = store.stats().bytes
    print(f"on disk: {'on the server' if size is None else f'{size / 1e9:.2f} GB'}")
    store.close()
    if chosen.where.startswith("milvus://"):
        print(f"indexed by the server after {wait_for_index(chosen.where):.0f} s more")

    store = open_gallery(chosen.where)
    places = np.random.default_rng(2).choice(chosen.count, chosen.queries, replace=False)
    queries = _drawn(places // EACH, chosen.dimension, chosen.knee, seed=chosen.count + 1)
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
        truth = nearest(queries, chosen.count, chosen.knee, camera=camera)
        recall = np.mean([len(a & b) / TOP for a, b in zip(found, truth, strict=True)])
        p50, p95 = np.percentile(times, [50, 95])
        print(f"{name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, recall@{TOP} {recall:.4f}; peak memory {peak:.2f} GB")
    began = time.perf_counter()
    views = CameraViews(store)
    print(f"learned what {CAMERAS} cameras do in {time.perf_counter() - began:.1f} s")
    times = []
    for query in queries[:20]:
        began = time.perf_counter()
        search_across(store, views, query, seen_by="c3", top=TOP, where=Filter())
        times.append(1000 * (time.perf_counter() - began))
    print("under camera-wise normalization: p50 {:.0f} ms, p95 {:.0f} ms".format(*np.percentile(times, [50, 95])))


if __name__ == "__main__":
    main()
