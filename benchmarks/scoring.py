"""Scoring: time and memory of `passerby.score` and of evaluations that sort every list.

    python benchmarks/scoring.py [market] [msmt17] [market500k] [--repeats 5]

`market`: 3,368 x 15,913 given distances. The alternatives are Torchreid's Python evaluation, if it is installed (`pip
install --no-deps torchreid`; the package on PyPI has no Cython source), and `numpy.argsort` of the matrix alone, which
is the first step of Torchreid's Cython evaluation and a lower bound of its time.
`msmt17`: 11,659 x 82,161 from float32 vectors of 1,536. `market500k`: 3,368 x 516,000, the gallery a memory-mapped file
of float16 vectors. Vectors are random with unit length, identities and cameras are random: matches at every distance,
which is the worst case.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from pathlib import Path

from measure import machine, measure, table

LABELS = """
import numpy as np
from passerby import Embeddings, Labels, score
generator = np.random.default_rng(0)
def labels(count, people, cameras, distractors=0.0):
    ids = generator.integers(1, people + 1, count)
    ids[generator.random(count) < distractors] = 0
    return Labels(ids, generator.integers(0, cameras, count))
def vectors(count, dtype=np.float32):
    rows = np.empty((count, 1536), dtype=dtype)
    for start in range(0, count, 4096):
        part = generator.standard_normal((min(4096, count - start), 1536), dtype=np.float32)
        rows[start:start + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return rows
warm = Labels(np.ones(1, int), np.zeros(1, int)), Labels(np.ones(1, int), np.ones(1, int))
score(*warm, distances=np.ones((1, 1), np.float32))
"""
MARKET = (
    LABELS
    + """
query, gallery = labels(3368, 750, 6), labels(15913, 750, 6, distractors=0.18)

distances = generator.normal(1, 0.025, (3368, 15913)).astype(np.float32)  # as between random unit vectors
"""
)
TORCHREID = """
import importlib.util, pathlib, warnings
package = importlib.util.find_spec("torchreid").submodule_search_locations[0]
path = pathlib.Path(package) / "reid" / "metrics" / "rank.py"
spec = importlib.util.spec_from_file_location("torchreid_rank", path)
module = importlib.util.module_from_spec(spec)
with warnings.catch_warnings(action="ignore"):
    spec.loader.exec_module(module)
"""


def market(repeats: int) -> str:
    alternatives = {
        "passerby.score": (MARKET, "score(query, gallery, distances=distances)"),
        "numpy.argsort alone": (MARKET, "np.argsort(distances, axis=1)"),
    }
    if importlib.util.find_spec("torchreid"):
        ids = "query.person_ids, gallery.person_ids, query.camera_ids, gallery.camera_ids"
        alternatives["Torchreid, Python"] = (
            MARKET + TORCHREID,
            f"module.evaluate_rank(distances, {ids}, use_cython=False)",
        )
    rows = measure(alternatives, repeats=repeats)
    return table("Market-1501 size, distances given", rows, ours="passerby.score")


def msmt17(repeats: int) -> str:
    setup = (
        LABELS
        + """
def people(count):
    ids = labels(count, 3060, 15)
    return Embeddings(vectors(count), ids.person_ids, ids.camera_ids)
query, gallery = people(11659), people(82161)
"""
    )
    rows = measure({"passerby.score": (setup, "score(query, gallery)")}, repeats=repeats)
    return table("MSMT17 size, from vectors", rows, ours="passerby.score")


def market500k(repeats: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.npy"
        write = f"""
out = np.lib.format.open_memmap({str(path)!r}, mode="w+", dtype=np.float16, shape=(516000, 1536))
for start in range(0, 516000, 4096):
    out[start:start + 4096] = vectors(min(4096, 516000 - start), np.float16)
out.flush()
"""
        measure({"write the gallery": (LABELS, write)}, repeats=1)
        read = f"""
ids = labels(516000, 750, 6, distractors=0.975)
gallery = Embeddings(np.load({str(path)!r}, mmap_mode="r"), ids.person_ids, ids.camera_ids)
ids = labels(3368, 750, 6)
query = Embeddings(vectors(3368, np.float16), ids.person_ids, ids.camera_ids)
"""
        rows = measure({"passerby.score": (LABELS + read, "score(query, gallery)")}, repeats=repeats)
        return table("Market-1501 + 500k size, float16 vectors in a mapped file", rows, ours="passerby.score")


SIZES = {"market": market, "msmt17": msmt17, "market500k": market500k}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=list(SIZES), help=", ".join(SIZES))
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    print(machine(), end="\n\n")
    for size in chosen.sizes:
        print(SIZES[size](chosen.repeats), end="\n\n", flush=True)
