"""Measure layouts and indexes on a Milvus server. Start a fresh one for each call: its memory is then of one layout.

    python benchmarks/milvus_layouts.py milvus://host:port LAYOUT [--index HNSW] [--count 200000] [--dimension 256]

LAYOUT is one of

- `plain`: one collection, week and camera are fields (the layout of `passerby.gallery.stores.milvus`).
- `partitions`: one collection with a partition for each week; the camera is a filter.
- `keys`: a collection for each week, each with a partition key, the group of the camera.
- `collections`: a collection for each week; the camera is a filter.

Vectors are those of `benchmarks/gallery.py` (clusters of 20 sightings); the sightings of a person are in one week.
There are 8 weeks, and 40 cameras in 10 groups. 200 queries near sightings of the last week are searched one at a time
for the 70 nearest with their vectors, which is what a search of a gallery for 10 hits asks for. Recall is the fraction
of the true 10 nearest that are among the answers. Last, the seven old weeks are released and loaded again, where the
layout can.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import psutil
from pymilvus import DataType, MilvusClient

from gallery import block
from measure import machine

WEEKS, CAMERAS, GROUPS = 8, 40, 10
TOP, CANDIDATES = 10, 70
QUERIES = 200
BATCH = 5000
KNEE = 6.0
SEARCH = {
    "HNSW": {"ef": 256},
    "IVF_FLAT": {"nprobe": 32},
    "IVF_SQ8": {"nprobe": 32},
    "SCANN": {"nprobe": 32},
    "FLAT": {},
}
BUILD = {
    "HNSW": {"M": 16, "efConstruction": 200},
    "IVF_FLAT": {"nlist": 1024},
    "IVF_SQ8": {"nlist": 1024},
    "SCANN": {"nlist": 1024, "with_raw_data": True},
    "FLAT": {},
}


class Layout:
    """Collections and partitions of one layout.

    Args:
        client: Client of the server.
        kind: Name of the layout.
        index: Type of the index.
        dimension: Width of the vectors.
    """

    def __init__(self, client: MilvusClient, kind: str, index: str, dimension: int) -> None:
        self._client, self.kind, self._index = client, kind, index
        split = kind in ("keys", "collections")
        self.collections = [f"week{week}" for week in range(WEEKS)] if split else ["all"]
        for name in self.collections:
            schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", DataType.INT64, is_primary=True)
            schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
            schema.add_field("camera", DataType.INT64)
            schema.add_field("week", DataType.INT64)
            schema.add_field("grouping", DataType.INT64, is_partition_key=kind == "keys")
            parameters = MilvusClient.prepare_index_params()
            parameters.add_index("vector", metric_type="COSINE", index_type=index, params=BUILD[index])
            more: dict[str, Any] = {"num_partitions": GROUPS} if kind == "keys" else {}
            client.create_collection(name, schema=schema, index_params=parameters, consistency_level="Bounded", **more)
            if kind == "partitions":
                for week in range(WEEKS):
                    client.create_partition(name, f"week{week}")

    def insert(self, week: int, rows: list[dict[str, Any]]) -> None:
        """Add rows of one week."""
        if self.kind == "partitions":
            self._client.insert("all", rows, partition_name=f"week{week}")
        else:
            self._client.insert(self.collections[week if len(self.collections) > 1 else 0], rows)

    def wait(self) -> None:
        """Wait until all vectors are in an index."""
        for name in self.collections:
            self._client.flush(name)
        for name in self.collections:
            while int((state := self._client.describe_index(name, "vector"))["pending_index_rows"]):
                time.sleep(1)
            if state["state"] != "Finished":
                raise RuntimeError(f"{name}: the index is {state}")

    def search(self, query: np.ndarray, weeks: Sequence[int], group: int | None) -> list[int]:
        """Return the ids of the nearest candidates in some weeks, of one group of cameras or of all."""
        parts = []
        if self.kind == "plain" and len(weeks) < WEEKS:
            parts.append(f"week in {list(weeks)}")
        if group is not None:
            cameras = [camera for camera in range(CAMERAS) if camera % GROUPS == group]
            parts.append(f"grouping == {group}" if self.kind == "keys" else f"camera in {cameras}")
        names = [f"week{week}" for week in weeks]
        options: dict[str, Any] = {"partition_names": names} if self.kind == "partitions" else {}
        answers = []
        for collection in names if len(self.collections) > 1 else ["all"]:
            (found,) = self._client.search(
                collection,
                data=[query],
                limit=CANDIDATES,
                filter=" and ".join(parts),
                output_fields=["id", "vector"],
                search_params={"metric_type": "COSINE", "params": SEARCH[self._index]},
                consistency_level="Bounded",
                **options,
            )
            answers += [(-result["distance"], result["id"]) for result in found]
        return [name for _, name in sorted(answers)[:CANDIDATES]]

    def release(self, weeks: Sequence[int]) -> bool:
        """Release weeks from the server's memory; False if the layout cannot."""
        if self.kind == "partitions":
            self._client.release_partitions("all", [f"week{week}" for week in weeks])
        elif len(self.collections) > 1:
            for week in weeks:
                self._client.release_collection(f"week{week}")
        return self.kind != "plain"

    def load(self, weeks: Sequence[int]) -> None:
        """Load weeks again."""
        if self.kind == "partitions":
            self._client.load_partitions("all", [f"week{week}" for week in weeks])
        else:
            for week in weeks:
                self._client.load_collection(f"week{week}")


def server_memory() -> float:
    """Resident memory of the server in GB, shared with no other process."""
    servers = [process for process in psutil.process_iter(["name"]) if process.info["name"] == "milvus"]
    return float(sum(process.memory_full_info().uss for process in servers)) / 1e9


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("layout", choices=("plain", "partitions", "keys", "collections"))
    parser.add_argument("--index", default="HNSW", choices=[*SEARCH])
    parser.add_argument("--count", type=int, default=200_000)
    parser.add_argument("--dimension", type=int, default=256)
    chosen = parser.parse_args()
    client = MilvusClient(uri=chosen.address.replace("milvus://", "http://"))
    print(f"{chosen.layout}, {chosen.index}, {chosen.count:,} x {chosen.dimension}; {machine()}", flush=True)
    empty = server_memory()
    layout = Layout(client, chosen.layout, chosen.index, chosen.dimension)
    per_week = chosen.count // WEEKS
    vectors = np.concatenate([block(start, BATCH, chosen.dimension, KNEE) for start in range(0, chosen.count, BATCH)])
    ids = np.arange(chosen.count)
    weeks, cameras = ids // per_week, np.random.default_rng(2).integers(0, CAMERAS, chosen.count)

    def insert() -> None:
        for start in range(0, chosen.count, BATCH):
            for week in np.unique(weeks[start : start + BATCH]).tolist():
                rows = [i for i in range(start, start + BATCH) if weeks[i] == week]
                layout.insert(
                    week,
                    [
                        {
                            "id": i,
                            "vector": vectors[i],
                            "camera": int(cameras[i]),
                            "week": week,
                            "grouping": int(cameras[i]) % GROUPS,
                        }
                        for i in rows
                    ],
                )

    seconds = timed(insert)
    built = timed(layout.wait)
    time.sleep(30)  # until the indexes are in use
    print(
        f"added {chosen.count / seconds:,.0f} a second, index {built:.0f} s more; "
        f"memory {server_memory() - empty:.2f} GB more than the empty server",
        flush=True,
    )
    newest = block(chosen.count - BATCH, BATCH, chosen.dimension, KNEE)
    noise = np.random.default_rng(3).standard_normal((QUERIES, chosen.dimension)).astype(np.float32) * 0.01
    queries = newest[:: BATCH // QUERIES][:QUERIES] + noise
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    similarities = queries @ vectors.T
    everything = list(range(WEEKS))
    print("| weeks | cameras | p50 ms | p95 ms | recall |\n| --- | --- | ---: | ---: | ---: |")
    for chosen_weeks in ([WEEKS - 1], everything):
        for group in (3, None):
            allowed = np.isin(weeks, chosen_weeks) & ((cameras % GROUPS == group) if group is not None else True)
            true = np.argsort(np.where(allowed, -similarities, np.inf), axis=1)[:, :TOP]
            for query in queries[:10]:
                layout.search(query, chosen_weeks, group)
            times, found = [], 0
            for query, nearest in zip(queries, true, strict=True):
                began = time.perf_counter()
                answer = layout.search(query, chosen_weeks, group)
                times.append(1000 * (time.perf_counter() - began))
                found += len({*answer} & {*nearest.tolist()})
            p50, p95 = np.percentile(times, [50, 95])
            names = ("last" if len(chosen_weeks) == 1 else "all", "all" if group is None else "a tenth")
            print(f"| {names[0]} | {names[1]} | {p50:.1f} | {p95:.1f} | {found / QUERIES / TOP:.4f} |", flush=True)
    old = everything[:-1]
    before = server_memory()
    if layout.release(old):
        time.sleep(20)
        released = server_memory()
        again = timed(lambda: layout.load(old))
        print(f"seven weeks released: {before - released:.2f} GB less; loaded again in {again:.1f} s")


if __name__ == "__main__":
    main()
