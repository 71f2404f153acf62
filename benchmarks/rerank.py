"""k-reciprocal re-ranking: ours beside Torchreid's, which is the authors' code.

    python benchmarks/rerank.py [market] [random] [msmt17] [--repeats 5] [--ours]

`market`: 3,368 x 15,913 vectors of 512, from vectors to distances, of 750 people that cluster as a trained model's do.
`random`: the same number of unit vectors in no order at all. `msmt17`: 11,659 x 82,161 of 512, in strips. Torchreid's
re-ranking is measured on the first two, if it is installed (`pip install --no-deps torchreid`); `--ours` leaves it out:
it takes minutes and 9 GB. Compilation, once per installation, is not measured.
"""

from __future__ import annotations

import argparse
import importlib.util

from measure import machine, measure, table

VECTORS = """
import numpy as np
from passerby import Embeddings
from passerby.ranking.rerank import rerank, rerank_blocks
generator = np.random.default_rng(0)
def people(count, centres, noise):
    ids = generator.integers(0, len(centres), count)
    found = np.empty((count, 512), dtype=np.float32)
    for start in range(0, count, 4096):
        some = noise * generator.standard_normal((min(4096, count - start), 512), dtype=np.float32)
        some += centres[ids[start:start + 4096]]
        found[start:start + 4096] = some / np.linalg.norm(some, axis=1, keepdims=True)
    return Embeddings(found, ids + 1, generator.integers(0, 6, count))
def walk(query, gallery):
    for _ in rerank_blocks(query, gallery):
        pass
warm = [people(count, np.ones((1, 512), np.float32), 1.0) for count in (2, 40)]
walk(*warm)
"""
CLUSTERS = "centres = generator.standard_normal(({people}, 512), dtype=np.float32)\nnoise = 1.0\n"
NOISE = "centres = np.zeros((1, 512), dtype=np.float32)\nnoise = 1.0\n"
SIDES = "query, gallery = people({query}, centres, noise), people({gallery}, centres, noise)\n"
TORCHREID = """
import importlib.util, pathlib
package = importlib.util.find_spec("torchreid").submodule_search_locations[0]
path = pathlib.Path(package) / "reid" / "utils" / "rerank.py"
spec = importlib.util.spec_from_file_location("torchreid_rerank", path)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
def apart(a, b):
    return np.sqrt(np.maximum(2 - 2 * (a.vectors @ b.vectors.T), 0))
"""


def market_size(title: str, setup: str, *, repeats: int, ours: bool) -> str:
    alternatives = {"passerby.rerank": (setup, "rerank(query, gallery)")}
    if not ours and importlib.util.find_spec("torchreid"):
        pairs = "apart(query, gallery), apart(query, query), apart(gallery, gallery)"
        alternatives["Torchreid"] = setup + TORCHREID, f"module.re_ranking({pairs})"
    return table(title, measure(alternatives, repeats=repeats), ours="passerby.rerank")


def market(*, repeats: int, ours: bool) -> str:
    setup = VECTORS + CLUSTERS.format(people=750) + SIDES.format(query=3368, gallery=15913)
    return market_size("Market-1501 size, people that cluster", setup, repeats=repeats, ours=ours)


def random(*, repeats: int, ours: bool) -> str:
    setup = VECTORS + NOISE + SIDES.format(query=3368, gallery=15913)
    return market_size("Market-1501 size, random unit vectors", setup, repeats=repeats, ours=ours)


def msmt17(*, repeats: int, ours: bool) -> str:  # nothing else fits into memory
    setup = VECTORS + CLUSTERS.format(people=3060) + SIDES.format(query=11659, gallery=82161)
    rows = measure({"passerby.ranking.rerank_blocks": (setup, "walk(query, gallery)")}, repeats=repeats)
    return table("MSMT17 size, people that cluster", rows, ours="passerby.ranking.rerank_blocks")


SIZES = {"market": market, "random": random, "msmt17": msmt17}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=list(SIZES), help=", ".join(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ours", action="store_true", help="leave the alternative out")
    chosen = parser.parse_args()
    print(machine(), end="\n\n")
    for size in chosen.sizes:
        print(SIZES[size](repeats=chosen.repeats, ours=chosen.ours), end="\n\n", flush=True)
