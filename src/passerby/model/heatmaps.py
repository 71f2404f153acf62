"""Heatmaps of a network: strength of its map, and the positions of an image that a similarity comes from.

B batch   C channels   h w map height and width   P parts   D embedding width
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from passerby.model.convnext_ap import ReID
from passerby.types import FloatArray


def activation_maps(network: ReID, images: Tensor) -> FloatArray:
    """Compute the mean square over the channels of the last map, before the norm that evens out its positions.

    Args:
        network: In evaluation mode, on the device of `images`.
        images: (B, 3, H, W) normalized.

    Returns:
        (B, h, w) at least 0.

    Example:
        >>> network = passerby.convnext_ap("test_convnext").eval()
        >>> activation_maps(network, torch.zeros(2, 3, 128, 64)).shape
        (2, 4, 2)
    """
    with torch.inference_mode():
        return _array(network.backbone.before_norm(images).square().mean(dim=1))


def similarity_maps(network: ReID, images: Tensor, others: ArrayLike) -> FloatArray:
    """Compute HiResCAM (Draelos & Carin 2020) of the cosine similarity to another image's embedding.

    It is the positive part of gradient times map, summed over the channels. Grad-CAM averages the gradient over all
    positions first; with parts that have weights of their own, that average shows none of them.

    Args:
        network: In evaluation mode, on the device of `images`.
        images: (B, 3, H, W) normalized.
        others: (B, D) unit vectors: for each image the one that it is compared with.

    Returns:
        (B, h, w) at least 0: contribution of each position to the similarity, without a unit.

    Example:
        >>> network = passerby.convnext_ap("test_convnext").eval()
        >>> others = np.eye(2, network.embedding_width)
        >>> similarity_maps(network, torch.zeros(2, 3, 128, 64), others).shape
        (2, 4, 2)
    """
    vectors = torch.from_numpy(np.array(others, dtype=np.float32)).to(images.device)  # (B, D)
    with torch.enable_grad():
        output = network(images.detach().requires_grad_())
        similarities = (output.embedding * vectors).sum(dim=1)  # (B,)
        (gradient,) = torch.autograd.grad(similarities.sum(), output.map)  # (B, C, h, w)
    return _array((gradient * output.map).sum(dim=1).relu())


def part_assignments(network: ReID, images: Tensor) -> NDArray[np.float32] | None:
    """Compute the probability of each part at each position of the map.

    Args:
        network: In evaluation mode, on the device of `images`.
        images: (B, 3, H, W) normalized.

    Returns:
        (B, P, h, w), sums of 1 over P; None for a network without refinement.

    Example:
        >>> network = passerby.convnext_ap("test_convnext", parts=3).eval()
        >>> part_assignments(network, torch.zeros(2, 3, 128, 64)).shape
        (2, 3, 4, 2)
    """
    with torch.inference_mode():
        assignment = network(images).assignment
    return None if assignment is None else _array(assignment)


def part_similarities(first: ArrayLike, second: ArrayLike, *, widths: tuple[int, ...]) -> NDArray[np.float64]:
    """Split the cosine similarity of two embeddings by part, exactly: an embedding is its parts side by side.

    Args:
        first: (D,) unit vector.
        second: (D,) unit vector.
        widths: Width of each part, with sum D; `ReID.embedding_parts`.

    Returns:
        (P,) scalar products of the parts; their sum is the cosine similarity.

    Example:
        >>> part_similarities([0.6, 0.8], [0.6, 0.8], widths=(1, 1)).round(2).tolist()
        [0.36, 0.64]
    """
    products = np.asarray(first, dtype=np.float64) * np.asarray(second, dtype=np.float64)
    return np.add.reduceat(products, np.cumsum(widths) - np.array(widths))


def _array(values: Tensor) -> FloatArray:
    array: FloatArray = values.detach().float().cpu().numpy()
    return array
