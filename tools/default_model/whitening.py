"""Within-class covariance normalization (WCCN), folded into the reduction weights of the part embeddings.

Source: Hatch, Kajarekar and Stolcke, "Within-Class Covariance Normalization for SVM-based Speaker Recognition" (2006).
Each part is normalized by itself: y -> W^-1/2 y, where W is the mean over identities of the covariance of an identity's
reduced vectors. Directions that vary within an identity (camera, pose, light) shrink; directions that vary between
identities remain. The map is linear, so it is folded into the reduction and its norm, and no layer is added.

    N images   P parts   C channels   D width of a reduced vector
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from passerby.errors import TrainingError
from passerby.model.convnext_ap import ReID
from passerby.model.parts import Neck

RIDGE = 0.3
"""Fraction of W's mean variance added to each direction, chosen on CUHK01's training identities (docs/results.md)."""


def whiten_reductions(network: ReID, batches: Iterable[Tensor], person_ids: ArrayLike, *, ridge: float = RIDGE) -> None:
    """Change the reductions of all parts so that their outputs are whitened.

    Args:
        network: Has reduced parts without ReLU. Left in evaluation mode.
        batches: Normalized images, (B, 3, H, W) each, N in all.
        person_ids: (N,) identity of each image.
        ridge: Above 0, in mean variances; larger values whiten less.

    Raises:
        TrainingError: For a network without such parts, or when no identity has two images. The weights are unchanged.
    """
    necks = [
        neck
        for neck in network.part_necks
        if isinstance(neck, Neck) and isinstance(neck.reduce, nn.Linear) and not neck.relu
    ]
    if not necks or len(necks) < len(network.part_necks) or network.embedding_kind != "reduced":
        raise TrainingError("whitening: expected reduced parts without ReLU, as in the recipe default")
    network.eval()
    with torch.inference_mode():
        pooled = torch.cat([network(batch).parts.float() for batch in batches])  # (N, P, C)
        reduced = [neck(pooled[:, part])[0].double().numpy() for part, neck in enumerate(necks)]
    identities = np.asarray(person_ids)
    matrices = [whitening_matrix(vectors, identities, ridge=ridge) for vectors in reduced]
    with torch.no_grad():
        for neck, matrix in zip(necks, matrices, strict=True):
            assert isinstance(neck.norm, torch.nn.BatchNorm1d)
            _fold_matrix(neck.reduce, neck.norm, torch.from_numpy(matrix))


def whitening_matrix(
    vectors: NDArray[np.float64], person_ids: NDArray[np.int64], *, ridge: float = RIDGE
) -> NDArray[np.float64]:
    """Return (W + ridge * mean variance)^-1/2, symmetric, (D, D).

    Args:
        vectors: (N, D).
        person_ids: (N,).
        ridge: Above 0.

    Raises:
        TrainingError: When no identity has two different images.
    """
    _, labels, counts = np.unique(person_ids, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), vectors.shape[1]))
    np.add.at(means, labels, vectors)
    residuals = vectors - (means / counts[:, None])[labels]  # (N, D)
    variances, axes = np.linalg.eigh(residuals.T @ residuals / len(residuals))
    if variances.mean() <= 0:
        raise TrainingError(
            f"whitening: got {len(counts)} identities in {len(vectors)} images, expected two images of some of them"
        )
    scale = 1 / np.sqrt(np.maximum(variances, 0) / variances.mean() + ridge)
    matrix: NDArray[np.float64] = (axes * scale) @ axes.T
    return matrix


def _fold_matrix(reduce: nn.Module, norm: nn.BatchNorm1d, matrix: Tensor) -> None:
    """Fold `matrix`, which multiplies the norm's output in evaluation mode, into the reduction and the norm.

    With y = a (R x - m) + b, where a = weight / sqrt(var + eps): M y = (M a R) x - M (a m - b).
    """
    assert isinstance(reduce, nn.Linear)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = matrix @ (gain * norm.running_mean.double() - norm.bias.double())
    reduce.weight.copy_(matrix @ (gain[:, None] * reduce.weight.double()))
    norm.running_mean.copy_(shift)
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.fill_(1)
    norm.bias.fill_(0)
