"""Check of an imported network by the embeddings of two test images."""

from __future__ import annotations

import numpy as np

from passerby.runtime.embedder import Encoder

SMALLEST_DIFFERENCE = 1e-6
"""Least difference of the embeddings of two different images in one number, as unit vectors."""


def find_problem(encoder: Encoder, size: tuple[int, int]) -> str | None:
    """Describe why the embeddings of two different images are useless: not finite, zero, or the same.

    Args:
        encoder: The network.
        size: (height, width) of its images in pixels.

    Returns:
        What an embedding holds, for a message; None if it can be one.
    """
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    images[1] //= 4  # darker
    vectors = encoder.encode(images)
    if not np.isfinite(vectors).all():
        return "numbers that are not finite"
    if not vectors.any(axis=1).all():
        return "zeros"
    if np.abs(vectors[0] - vectors[1]).max() < SMALLEST_DIFFERENCE:
        return "the same numbers for different images"
    return None
