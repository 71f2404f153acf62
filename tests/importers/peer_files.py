"""Checkpoints of other toolkits with random weights, under the toolkit's names, and the toolkit's own vectors."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

import passerby
from tools.peers.__main__ import stored
from tools.peers.random_weights import block_images, random_tensor

GOLDEN = Path(__file__).parents[1] / "golden" / "imported"
TOLERANCE = 1e-4
"""Largest difference of two unit vectors, as a fraction of the distance between the vectors of two images."""


def cases(toolkit):
    """Names of the networks with golden vectors."""
    with np.load(GOLDEN / f"{toolkit}.npz") as file:
        return sorted({key.rpartition("/")[0] for key in file.files})


def peer_shapes(toolkit, case):
    """Names and shapes of the tensors of a toolkit's network."""
    with np.load(GOLDEN / f"{toolkit}.npz") as file:
        return json.loads(str(file[f"{case}/tensors"]))


def peer_state(toolkit, case):
    """The state dict that `python -m tools.peers` has filled the toolkit's network with."""
    tensors = peer_shapes(toolkit, case)
    return {name: torch.from_numpy(np.asarray(random_tensor(name, tuple(shape)))) for name, shape in tensors}


def write(state, path):
    """Save a state dict as a pickle, or as safetensors by the name of the file; tests use both."""
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def import_case(toolkit, case, folder, *, ending=".safetensors", **options):
    """Save a case's checkpoint and import it."""
    path = write(peer_state(toolkit, case), folder / f"{case}{ending}")
    return passerby.import_model(path, folder / "run", **options)


def assert_same_vectors(toolkit, case, run, *, size):
    """The imported run embeds images as the toolkit's own code does."""
    with np.load(GOLDEN / f"{toolkit}.npz") as file:
        expected, width = file[f"{case}/vectors"], int(file[f"{case}/width"])
    embedder = passerby.load(run, device="cpu")
    assert embedder.preprocessing.size == size
    vectors = embedder.embed(block_images(size), flip=False)
    assert vectors.shape == (2, width)
    between = np.linalg.norm(stored(vectors)[0] - stored(vectors)[1])
    assert between > 1e-3, "the two images have the same vector: the comparison shows nothing"
    difference = np.linalg.norm(stored(vectors) - expected, axis=1).max()
    assert difference < TOLERANCE * between, (difference, between)
