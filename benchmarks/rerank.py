"""k-reciprocal re-ranking: time and memory of Passerby and of Torchreid, which uses the authors' code.

    python benchmarks/rerank.py [market] [random] [msmt17] [growth] [--repeats 5] [--ours]

`market`: 3,368 x 15,913 vectors of 512, clustered around 750 identities as those of a trained model; from vectors to
distances. `random`: as many random unit vectors. `msmt17`: 11,659 x 82,161 vectors of 512, in blocks. Torchreid is
measured on the first two if it is installed (`pip install --no-deps torchreid`); it takes minutes and 9 GB, and
`--ours` leaves it out. `growth`: cost of 1,000 queries besides distances and neighbors, for galleries of 10,000 to
80,000 images, 8 per identity. Compilation, once per installation, is not measured.
"""

from __future__ import annotations

import argparse
import importlib.util

from measure import Measured, machine, measure, table

VECTORS = """
import numpy as np
from passerby import Embeddings
from passerby.ranking.rerank import rerank, rerank_blocks
generator = np.random.default_rng(0)
def people(count, centers, noise):
    ids = generator.integers(0, len(centers), count)
    vectors = np.empty((count, 512), dtype=np.float32)
    for start in range(0, count, 4096):
        part = noise * generator.standard_normal((min(4096, count - start), 512), dtype=np.float32)
        part += centers[ids[start:start + 4096]]
        vectors[start:start + 4096] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return Embeddings(vectors, ids + 1, generator.integers(0, 6, count))
def walk(query, gallery):
    for _ in rerank_blocks(query, gallery):
        pass
warm = [people(count, np.ones((1, 512), np.float32), 1.0) for count in (2, 40)]
walk(*warm)
"""
CLUSTERS = "centers = generator.standard_normal(({people}, 512), dtype=np.float32)\nnoise = 1.0\n"
NOISE = "centers = np.zeros((1, 512), dtype=np.float32)\nnoise = 1.0\n"
SIDES = "query, gallery = people({query}, centers, noise), people({gallery}, centers, noise)\n"
TORCHREID = """
import importlib.util, pathlib
package = importlib.util.find_spec("torchreid").submodule_search_locations[0]
path = pathlib.Path(package) / "reid" / "utils" / "rerank.py"
spec = importlib.util.spec_from_file_location("torchreid_rerank", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
def euclidean(a, b):
    return np.sqrt(np.maximum(2 - 2 * (a.vectors @ b.vectors.T), 0))
"""

JACCARD = """
from passerby.ranking.neighbors import find_neighbors
from passerby.ranking.reciprocal import average_neighbors, encode_neighbors, subtract_overlap
vectors = np.concatenate([query.vectors, gallery.vectors])
neighbors = find_neighbors(vectors, k=21)
weights = average_neighbors(encode_neighbors(vectors, neighbors, half=10, power=1), neighbors.indices[:, :6])
inverted = weights[len(query):].tocsc()
lists = [(rows.indptr, rows.indices, rows.data) for rows in (weights, inverted)]
block = np.full((len(query), len(gallery)), 0.5, dtype=np.float32)  # in memory before it is timed
subtract_overlap(block[:1], 0, *lists, 0.7)
"""


def market_size(title: str, setup: str, *, repeats: int, ours: bool) -> str:
    alternatives = {"passerby.rerank": (setup, "rerank(query, gallery)")}
    if not ours and importlib.util.find_spec("torchreid"):
        pairs = "euclidean(query, gallery), euclidean(query, query), euclidean(gallery, gallery)"
        alternatives["Torchreid"] = setup + TORCHREID, f"module.re_ranking({pairs})"
    return table(title, measure(alternatives, repeats=repeats), ours="passerby.rerank")


def market(*, repeats: int, ours: bool) -> str:
    setup = VECTORS + CLUSTERS.format(people=750) + SIDES.format(query=3368, gallery=15913)
    return market_size("Market-1501 size, clustered identities", setup, repeats=repeats, ours=ours)


def random(*, repeats: int, ours: bool) -> str:
    setup = VECTORS + NOISE + SIDES.format(query=3368, gallery=15913)
    return market_size("Market-1501 size, random unit vectors", setup, repeats=repeats, ours=ours)


def msmt17(*, repeats: int, ours: bool) -> str:  # Torchreid does not fit into memory
    setup = VECTORS + CLUSTERS.format(people=3060) + SIDES.format(query=11659, gallery=82161)
    rows = measure({"passerby.ranking.rerank_blocks": (setup, "walk(query, gallery)")}, repeats=repeats)
    return table("MSMT17 size, clustered identities", rows, ours="passerby.ranking.rerank_blocks")


def growth(*, repeats: int, ours: bool) -> str:
    del ours  # Torchreid has no separate step to measure
    rows: dict[str, Measured] = {}
    for gallery in (10_000, 20_000, 40_000, 80_000):
        setup = VECTORS + CLUSTERS.format(people=gallery // 8) + SIDES.format(query=1000, gallery=gallery)
        alternatives = {f"{gallery:,} gallery images": (setup + JACCARD, "subtract_overlap(block, 0, *lists, 0.7)")}
        rows |= measure(alternatives, repeats=repeats)
    return table("1,000 queries besides distances and neighbors", rows, ours="10,000 gallery images")


SIZES = {"market": market, "random": random, "msmt17": msmt17, "growth": growth}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=list(SIZES), help=", ".join(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ours", action="store_true", help="leave Torchreid out")
    chosen = parser.parse_args()
    print(machine(), end="\n\n")
    for size in chosen.sizes:
        print(SIZES[size](repeats=chosen.repeats, ours=chosen.ours), end="\n\n", flush=True)
