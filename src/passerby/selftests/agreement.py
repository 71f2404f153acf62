"""Vectors, distances and rank lists of a device against those of the CPU.

Q queries   G gallery items   D embedding width
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch

from passerby.evaluation.score import score
from passerby.model.torch_encoder import TorchEncoder
from passerby.ranking.distance import distance_blocks
from passerby.ranking.rerank import rerank_blocks
from passerby.recipe import Recipe
from passerby.runtime.embedder import Embedder
from passerby.runtime.preprocessing import Preprocessing
from passerby.selftests.check_table import CheckRow
from passerby.types import DataSet, Embeddings, as_array

if TYPE_CHECKING:
    from passerby.model.convnext_ap import ReID

LEAST_COSINE = 0.999
"""Of a vector to the CPU's; TF32 convolutions of a GPU differ by about 1e-4."""
LARGEST_DIFFERENCE = 1e-6
"""Of a distance to the CPU's: sums are float64, results float32."""
METRIC_TOLERANCE = 0.02
"""Of Rank-1 and mAP on vectors that differ by rounding."""


def compare_distances(shape: tuple[int, int, int], device: torch.device) -> CheckRow:
    """Compare distances and metrics of random clustered vectors.

    Args:
        shape: Q, G and D.
        device: Device that is checked.
    """
    queries, items, width = shape
    generator = np.random.default_rng(0)
    centers = generator.normal(size=(max(2, queries // 4), width))
    query, gallery = (_draw(generator, centers, count) for count in (queries, items))
    largest = max(
        float(np.abs(as_array(on_device) - on_cpu).max())
        for (_, on_device), (_, on_cpu) in zip(
            distance_blocks(query.vectors, gallery.vectors, block=256, device=str(device)),
            distance_blocks(query.vectors, gallery.vectors, block=256),
            strict=True,
        )
    )
    first, second = (score(query, gallery, device=name) for name in (str(device), "cpu"))
    equal = first.mAP == second.mAP and bool(np.array_equal(first.first_match, second.first_match))
    good = largest <= LARGEST_DIFFERENCE and abs(first.mAP - second.mAP) <= LARGEST_DIFFERENCE
    text = f"{queries} x {items} x {width}: largest difference of a distance {largest:.1e}, mAP {first.mAP:.4f}" + (
        ", all first ranks equal" if equal else f" and {second.mAP:.4f}"
    )
    values = {"largest_difference": largest, "mAP": first.mAP, "mAP_cpu": second.mAP, "equal": equal}
    return CheckRow("ranking", "passed" if good else "failed", text, values)


def _draw(generator: np.random.Generator, centers: np.ndarray, count: int) -> Embeddings:
    persons = generator.integers(len(centers), size=count)
    vectors = centers[persons] + 2 * generator.normal(size=(count, centers.shape[1]))
    return Embeddings(vectors.astype(np.float32), persons + 1, generator.integers(6, size=count))


def compare_vectors(network: ReID, recipe: Recipe, data: DataSet, device: torch.device) -> list[CheckRow]:
    """Compare the vectors of a network, and rank lists and re-ranked lists of them.

    Args:
        network: Network with trained or random weights.
        recipe: Its image size and normalization.
        data: Queries and gallery.
        device: Device that is checked.
    """
    images = recipe.images
    preprocessing = Preprocessing(size=images.size, mean=images.mean, std=images.std)
    sides = []
    for place in (device, torch.device("cpu")):
        embedder = Embedder(TorchEncoder(deepcopy(network), preprocessing, device=place), preprocessing, {})
        sides.append([embedder.embed_samples(samples) for samples in (data.query, data.gallery)])
    cosines = np.concatenate([(a.vectors * b.vectors).sum(axis=1) for a, b in zip(*sides, strict=True)])
    plain = [score(*side, device="cpu") for side in sides]
    k1 = min(20, len(data.gallery))
    mixed = [score(*side, distances=rerank_blocks(*side, k1=k1, k2=min(6, k1))) for side in sides]
    rows = []
    for name, (first, second), extra in (
        ("embedding", plain, f"least cosine to the CPU's vectors {cosines.min():.6f}, "),
        ("re-ranking", mixed, "of the device's vectors (it computes on the CPU): "),
    ):
        good = abs(first.mAP - second.mAP) <= METRIC_TOLERANCE and bool(cosines.min() >= LEAST_COSINE)
        text = f"{extra}mAP {first.mAP:.4f}, of the CPU's vectors {second.mAP:.4f}"
        values = {"least_cosine": float(cosines.min()), "mAP": first.mAP, "mAP_cpu": second.mAP}
        rows.append(CheckRow(name, "passed" if good else "failed", text, values))
    return rows
