"""Compute golden vectors of a toolkit's networks with the toolkit's own code, and write them to tests/golden/imported.

Run it in an environment in which the toolkit can be imported, with torch and NumPy:

    python -m tools.peers torchreid

It fills the toolkit's network with the tensors of `random_weights`, and stores names and shapes of its state dict and
the vectors that it embeds. tests/importers builds the same state dict, imports it and compares.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tools.peers.cases import CASES, Case
from tools.peers.random_weights import block_images, random_tensor

GOLDEN = Path(__file__).parents[2] / "tests" / "golden" / "imported"
STORED = 512
"""Numbers that are stored of each vector, at equal distances; the vector has unit length before."""


def compute(case: Case) -> tuple[list[list[Any]], np.ndarray]:
    """Return names and shapes of a network's tensors, and its vectors of `block_images`."""
    network, embed = case.build()
    network.eval()
    state = network.state_dict()
    floats = {name: value for name, value in state.items() if value.is_floating_point()}
    drawn = {name: random_tensor(name, tuple(value.shape)) for name, value in floats.items()}
    network.load_state_dict({name: torch.from_numpy(np.asarray(value)) for name, value in drawn.items()}, strict=False)
    mean, std = (np.array(values, np.float32) for values in case.normalization)
    pixels = (block_images(case.size).astype(np.float32) / 255 - mean) / std
    with torch.no_grad():
        vectors = embed(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()).float()
    vectors = torch.nn.functional.normalize(vectors).numpy()
    return [[name, list(value.shape)] for name, value in state.items()], vectors


def stored(vectors: np.ndarray) -> np.ndarray:
    """Return at most `STORED` columns, at equal distances."""
    return vectors[:, np.linspace(0, vectors.shape[1] - 1, min(STORED, vectors.shape[1]), dtype=int)]


def main() -> None:
    """Compute the cases of one toolkit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("toolkit", choices=CASES)
    toolkit = parser.parse_args().toolkit
    arrays: dict[str, Any] = {}
    for name, case in CASES[toolkit].items():
        tensors, vectors = compute(case)
        arrays |= {f"{name}/tensors": np.array(json.dumps(tensors)), f"{name}/vectors": stored(vectors)}
        arrays[f"{name}/width"] = np.array(vectors.shape[1])
        cosine = float(vectors[0] @ vectors[1])
        print(f"{name}: {len(tensors)} tensors, {vectors.shape[1]} dimensions, cosine of two images {cosine:.4f}")
    GOLDEN.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(GOLDEN / f"{toolkit}.npz", **arrays)


if __name__ == "__main__":
    main()
