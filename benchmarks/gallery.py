"""Measure galleries: time to add, memory and disk, latency of the 50 nearest with and without a filter, recall.

    python benchmarks/gallery.py WHERE [--count 100000] [--dimension 1536] [--queries 200] [--knee 6] [--camera-wise]

WHERE is a new folder, or milvus://host:port/name; the gallery is filled and not deleted. For a server, the script
waits until its index is built, and 30 s longer until the index is in use. Each person has 20 sightings; queries are
further sightings of persons in the gallery.

Vectors are drawn with the spectra of real embeddings, which fill few directions: those of the default model have 99 %
of the variance between persons in 38 dimensions (rendered) or 45 (CUHK01), and of the variance within persons in 92
and 81. The variance in dimension i is proportional to 1 / (1 + (i / knee)^3.3) between persons and 1 / (1 + (i / 1.5
knee)^2.7) within, 0.67 and 0.25 in all, with a common mean of squared length 0.15, and rotated at random: the standard
deviations of real embeddings' dimensions differ little. A larger `--knee` is harder; `--knee 0` spreads both over all
dimensions, in which most of the 50 nearest are other persons at equal distances.

Each query is searched alone, as in a service. Up to 100 of them are also searched under camera-wise normalization, in
turns with a plain search; the first 24 of these read all cells of a large gallery. `--camera-wise` measures this alone,
in a gallery that was filled before. Recall is the fraction of the true 50 nearest, found by exact search over the same
vectors.
Peak memory is that of this process, including the block of vectors of the exact search.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache, partial

import numpy as np

from measure import machine
from passerby.gallery.camera_search import CameraViews, search_across
from passerby.gallery.card import GalleryModel
from passerby.gallery.filters import Filter
from passerby.gallery.sightings import Hit, Sighting
from passerby.gallery.stores.near_cells import SEARCHES
from passerby.gallery.stores.opening import open_gallery
from passerby.gallery.stores.protocol import GalleryStore

TOP = 50
CAMERAS = 20
PER_PERSON = 20
BATCH = 5000


def block(start: int, count: int, dimension: int, knee: float) -> np.ndarray:
    """Draw unit vectors of the sightings from `start`; equal in every call."""
    return _draw(np.arange(start, start + count) // PER_PERSON, dimension, knee, seed=start)


def _draw(people: np.ndarray, dimension: int, knee: float, *, seed: int) -> np.ndarray:
    """Draw one sighting of each of the people."""
    distinct, index = np.unique(people, return_inverse=True)
    numbers = np.arange(1, dimension + 1)
    between, within = (
        (variance / scale.sum() * scale) ** 0.5
        for variance, scale in (
            (0.67, 1 / (1 + (numbers / knee) ** 3.3) if knee else np.ones(dimension)),
            (0.25, 1 / (1 + (numbers / (1.5 * knee)) ** 2.7) if knee else np.ones(dimension)),
        )
    )
    kept = slice(0, min(dimension, int(64 * knee) + 1) if knee else dimension)  # the rest is negligible
    centers = np.stack(
        [np.random.default_rng([0, int(p)]).standard_normal(dimension, np.float32)[kept] for p in distinct]
    )
    noise = np.random.default_rng([1, seed]).standard_normal((len(people), dimension), np.float32)[:, kept]
    vectors = (centers[index] * between[kept] + noise * within[kept]).astype(np.float32)
    vectors[:, -1] += 0.15**0.5
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rotated: np.ndarray = vectors @ _rotation(vectors.shape[1], dimension)
    return rotated


@lru_cache
def _rotation(filled: int, dimension: int) -> np.ndarray:
    """Draw (filled, dimension) orthonormal rows."""
    drawn = np.random.default_rng(3).standard_normal((dimension, filled))
    return np.ascontiguousarray(np.linalg.qr(drawn)[0].T, np.float32)


def blocks(total: int, dimension: int, knee: float) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, total, BATCH):
        yield start, block(start, min(BATCH, total - start), dimension, knee)


class Nearest:
    """The true nearest of (Q, D) queries, of one camera or under camera-wise normalization, found block by block."""

    def __init__(self, queries: np.ndarray, *, camera: int | None = None, views: CameraViews | None = None) -> None:
        self._queries, self._camera, self._views = queries, camera, views
        self._best = np.full((len(queries), TOP), -np.inf, np.float32)
        self._indices = np.full((len(queries), TOP), -1, np.int64)

    def add(self, start: int, vectors: np.ndarray) -> None:
        """Compare with (n, D) vectors from number `start`."""
        numbers = np.arange(start, start + len(vectors))
        if self._views is not None:
            vectors = vectors.copy()
            for number in range(CAMERAS):
                rows = slice((number - start) % CAMERAS, None, CAMERAS)
                vectors[rows] = self._views[f"c{number}"].standardize(vectors[rows])
        similarities = self._queries @ vectors.T
        if self._camera is not None:
            similarities[:, numbers % CAMERAS != self._camera] = -np.inf
        joined = np.concatenate([self._best, similarities], axis=1)
        indices = np.concatenate([self._indices, np.broadcast_to(numbers, similarities.shape)], axis=1)
        top = np.argpartition(-joined, TOP - 1, axis=1)[:, :TOP]
        self._best, self._indices = np.take_along_axis(joined, top, 1), np.take_along_axis(indices, top, 1)

    def rows(self) -> list[set[int]]:
        """Return the indices of each query's nearest."""
        return [set(row.tolist()) for row in self._indices]


def find_nearest(searches: Sequence[Nearest], total: int, dimension: int, knee: float) -> list[list[set[int]]]:
    """Return the indices of the true nearest of several searches; the vectors are drawn once."""
    for start, vectors in blocks(total, dimension, knee):
        for search in searches:
            search.add(start, vectors)
    return [search.rows() for search in searches]


def wait_for_index(address: str) -> float:
    """Return the seconds until the server has sealed and indexed all vectors; RuntimeError after an hour."""
    from pymilvus import MilvusClient

    from passerby.gallery.stores.milvus_connection import parse_address

    server, token, name, _ = parse_address(address)
    client = MilvusClient(uri=server, token=token)
    begin = time.perf_counter()
    client.flush(name)
    while True:
        state = client.describe_index(name, "vector")
        if state["state"] == "Finished" and not int(state["pending_index_rows"]):
            time.sleep(30)
            return time.perf_counter() - begin
        if time.perf_counter() - begin > 3600:
            raise RuntimeError(f"{address}: an hour after the last vector the index is {state}")
        time.sleep(2)


def fill(store: GalleryStore, count: int, dimension: int, knee: float) -> None:
    spent = 0.0
    for start, vectors in blocks(count, dimension, knee):
        sightings = [
            Sighting(vector=vector, camera=f"c{(start + i) % CAMERAS}", id=f"{start + i:032d}")
            for i, vector in enumerate(vectors)
        ]
        begin = time.perf_counter()
        store.add(sightings)
        spent += time.perf_counter() - begin
    print(f"added in {spent:.1f} s, {count / spent:,.0f} a second")


def open_and_search(where: str, query: np.ndarray, what: str) -> GalleryStore:
    store = open_gallery(where)
    begin = time.perf_counter()
    store.search(query, top=TOP)
    print(f"first search {what}: {time.perf_counter() - begin:.2f} s")
    return store


def measure_openings(where: str, queries: np.ndarray, count: int, knee: float) -> GalleryStore:
    """Time the first search with a stored index, and searches while another connection adds; return an open gallery."""
    store = open_and_search(where, queries[0], "after the next opening")
    times, added = [], 0
    with closing(open_gallery(where)) as other:
        for query in queries:
            vectors = block(count + added, 100, queries.shape[1], knee)
            names = [f"{count + added + i:032d}" for i in range(100)]
            other.add([Sighting(vector=x, camera=f"c{i % CAMERAS}", id=names[i]) for i, x in enumerate(vectors)])
            added += 100
            begin = time.perf_counter()
            store.search(query, top=TOP)
            times.append(1000 * (time.perf_counter() - begin))
    p50, p95 = np.percentile(times, [50, 95])
    print(f"while another connection adds 100 before each search: p50 {p50:.1f} ms, p95 {p95:.1f} ms")
    store.close()
    store = open_and_search(where, queries[0], f"after opening with {added:,} new sightings")
    store.remove(Filter(ids=[f"{i:032d}" for i in range(count, count + added)]))
    return store


def measure_camera_wise(store: GalleryStore, queries: np.ndarray, count: int, knee: float) -> None:
    """Time searches under camera-wise normalization, the first ones and those after the cells are learned.

    Each is followed by a plain search for the same query. Times of the processor are those of this process.
    """
    begin = time.perf_counter()
    views = CameraViews(store)
    print(f"estimated the statistics of {CAMERAS} cameras in {time.perf_counter() - begin:.1f} s")
    camera_wise = partial(search_across, store, views, seen_by="c3", where=Filter())
    searches: tuple[Callable[..., list[list[Hit]]], ...] = camera_wise, store.search
    standardized = views["c3"].standardize(queries).astype(np.float32)
    both = Nearest(standardized, views=views), Nearest(queries)
    truths = find_nearest(both, count, queries.shape[1], knee)
    pairs = [*zip(searches, truths, strict=True)]
    measured = np.array(
        [[_measure(search, query, truth[i]) for search, truth in pairs] for i, query in enumerate(queries)]
    )
    for name, part in (("first", slice(0, SEARCHES)), ("later", slice(SEARCHES, None))):
        for number, kind in enumerate(("camera-wise", "plain")):
            (p50, processor, _), (p95, _, _) = np.percentile(measured[part, number], [50, 95], axis=0)
            recall = measured[part, number, 2].mean()
            print(
                f"{kind}, {name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, processor p50 {processor:.1f} ms, "
                f"recall@{TOP} {recall:.4f}"
            )
        ratios = np.median(measured[part, 0] / measured[part, 1], axis=0)
        print(f"camera-wise / plain, {name}: {ratios[0]:.2f}, of the processor {ratios[1]:.2f}")


def _measure(search: Callable[..., list[list[Hit]]], query: np.ndarray, truth: set[int]) -> tuple[float, float, float]:
    """Return the ms of a search, the ms of the processor, and the recall."""
    begin = time.perf_counter(), time.process_time()
    (hits,) = search(query, top=TOP)
    end = time.perf_counter(), time.process_time()
    recall = len({int(hit.id) for hit in hits} & truth) / TOP
    return 1000 * (end[0] - begin[0]), 1000 * (end[1] - begin[1]), recall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("where")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=1536)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--knee", type=float, default=6.0)
    parser.add_argument("--camera-wise", action="store_true")
    options = parser.parse_args()
    model = GalleryModel("0" * 64, "0" * 64, {"size": [128, 64]}, options.dimension)
    store = open_gallery(options.where, model=model, keep="vectors", user="benchmark")
    print(f"{options.count:,} x {options.dimension}, knee {options.knee:g}, {machine()}")

    drawn = np.random.default_rng(2).choice(options.count, options.queries, replace=False)
    queries = _draw(drawn // PER_PERSON, options.dimension, options.knee, seed=options.count + 1)
    if options.camera_wise:
        measure_camera_wise(store, queries[:100], options.count, options.knee)
        return
    fill(store, options.count, options.dimension, options.knee)
    size = store.stats().bytes
    print(f"on disk: {'on the server' if size is None else f'{size / 1e9:.2f} GB'}")
    begin = time.perf_counter()
    store.close()
    print(f"closed, with its index, in {time.perf_counter() - begin:.0f} s")
    if options.where.startswith("milvus://"):
        print(f"indexed by the server after {wait_for_index(options.where):.0f} s more")

    store = open_gallery(options.where)
    begin = time.perf_counter()
    store.search(queries[0], top=TOP)
    print(f"first search after opening: {time.perf_counter() - begin:.1f} s")
    if not options.where.startswith("milvus://"):
        store.close()
        store = measure_openings(options.where, queries, options.count, options.knee)
    for name, camera in (("alone", None), ("one camera of 20", 3)):
        where = Filter() if camera is None else Filter(cameras=[f"c{camera}"])
        times, answers = [], []
        for query in queries:
            begin = time.perf_counter()
            (hits,) = store.search(query, top=TOP, where=where)
            times.append(1000 * (time.perf_counter() - begin))
            answers.append({int(hit.id) for hit in hits})
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        (truth,) = find_nearest([Nearest(queries, camera=camera)], options.count, options.dimension, options.knee)
        recall = np.mean([len(a & b) / TOP for a, b in zip(answers, truth, strict=True)])
        p50, p95 = np.percentile(times, [50, 95])
        print(f"{name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, recall@{TOP} {recall:.4f}; peak memory {peak:.2f} GB")
    measure_camera_wise(store, queries[:100], options.count, options.knee)


if __name__ == "__main__":
    main()
