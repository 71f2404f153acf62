"""Whitening: what images of one person differ by counts less, written into the weights of the reductions.

Within-class covariance normalization (Hatch, Kajarekar and Stolcke, "Within-Class Covariance Normalization for
SVM-based Speaker Recognition", 2006), for each part by itself: y -> W^-1/2 y, where W is the mean over people of the
covariance of one person's reduced vectors. Directions in which a camera, a pose or the light move somebody shrink, and
those in which people differ stay. It is linear, so the reduction and its norm take it in: no layer is added.

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
"""How much of W's mean variance is added to each direction; chosen on CUHK01's training people, see docs/results.md."""


def whiten(network: ReID, batches: Iterable[Tensor], person_ids: ArrayLike, *, ridge: float = RIDGE) -> None:
    """Change the reductions of every part so that what they put out is whitened.

    Args:
        network: With reduced parts, without ReLU behind them; left in evaluation mode.
        batches: Images, each (B, 3, H, W), normalized; N in all.
        person_ids: (N,) who is on each.
        ridge: Above 0, in mean variances: large is gentle.

    Raises:
        TrainingError: For a network without such parts, or when nobody has two images; it is as it was.
    """
    necks = [
        neck
        for neck in network.part_necks
        if isinstance(neck, Neck) and isinstance(neck.reduce, nn.Linear) and not neck.relu
    ]
    if not necks or len(necks) < len(network.part_necks) or network.embedding_kind != "reduced":
        raise TrainingError("whitening: needs reduced parts without a ReLU, as the default model has them")
    network.eval()
    with torch.inference_mode():
        pooled = torch.cat([network(batch).parts.float() for batch in batches])  # (N, P, C)
        reduced = [neck(pooled[:, part])[0].double().numpy() for part, neck in enumerate(necks)]
    people = np.asarray(person_ids)
    matrices = [whitening(vectors, people, ridge=ridge) for vectors in reduced]
    with torch.no_grad():
        for neck, matrix in zip(necks, matrices, strict=True):
            _take_in(neck.reduce, neck.norm, torch.from_numpy(matrix))


def whitening(
    vectors: NDArray[np.float64], person_ids: NDArray[np.int64], *, ridge: float = RIDGE
) -> NDArray[np.float64]:
    """(W + ridge * mean variance)^-1/2, symmetric: (D, D).

    Args:
        vectors: (N, D).
        person_ids: (N,).
        ridge: Above 0.

    Raises:
        TrainingError: When nobody has two images that differ.
    """
    _, who, counts = np.unique(person_ids, return_inverse=True, return_counts=True)
    means = np.zeros((len(counts), vectors.shape[1]))
    np.add.at(means, who, vectors)
    rest = vectors - (means / counts[:, None])[who]  # (N, D)
    within = rest.T @ rest / len(rest)
    variances, axes = np.linalg.eigh(within)
    if variances.mean() <= 0:
        raise TrainingError(
            f"whitening: got {len(counts)} people in {len(vectors)} images, expected two images of some of them"
        )
    scale = 1 / np.sqrt(np.maximum(variances, 0) / variances.mean() + ridge)
    found: NDArray[np.float64] = (axes * scale) @ axes.T
    return found


def _take_in(reduce: nn.Module, norm: nn.BatchNorm1d, matrix: Tensor) -> None:
    """Let a reduction and its norm, in evaluation mode, put out `matrix` times what it did.

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
