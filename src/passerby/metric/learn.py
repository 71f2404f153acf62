"""Learn the reductions of a frozen network in closed form: principal components, then the map of a metric.

The map of a part is folded into the linear layer and the batch norm behind its pooled vector: no layer is added.

N images   P parts   C channels   D width of a reduced part
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from passerby.errors import DataError, RecipeError
from passerby.metric.covariance import Matrix, pair_covariances
from passerby.metric.fold import find_obstacle
from passerby.metric.part_maps import METHODS
from passerby.types import FloatArray, IntArray

if TYPE_CHECKING:
    from passerby.model.convnext_ap import ReID


def principal_axes(vectors: Matrix, width: int) -> Matrix:
    """Return the axes of the largest variances, as rows of unit length: (N, C) centered -> (at most D, C).

    They are computed from the smaller of the N x N and the C x C products. Directions without variance are left out,
    so that with D of at least N - 1 no distance changes.

    Example:
        >>> principal_axes(np.array([[3.0, 4.0], [-3.0, -4.0]]), 2).round(1)
        array([[0.6, 0.8]])
    """
    few = len(vectors) < vectors.shape[1]
    values, axes = np.linalg.eigh(vectors @ vectors.T if few else vectors.T @ vectors)
    kept = np.flatnonzero(values > 1e-10 * values[-1])[::-1][:width]
    if few:
        return np.asarray(axes[:, kept].T @ vectors / np.sqrt(values[kept])[:, None])
    return np.asarray(axes[:, kept].T)


def learn_reductions(network: ReID, pooled: FloatArray, identities: IntArray, *, method: str, ridge: float) -> None:
    """Set each reduction and its norm to the centered map of a metric on the pooled vectors of its part.

    In evaluation, the reduced part is M V (x - mean) of the pooled vector x, where V has the principal axes and M is
    the root of the metric in them; it is scaled to unit length after it, as every part is.

    Args:
        network: Changed in place.
        pooled: (N, P, C) pooled vectors of training images, `Output.parts`.
        identities: (N,) identity of each.
        method: A key of `METHODS`.
        ridge: Above 0, in mean variances of each covariance.

    Raises:
        RecipeError: For a network whose embedding does not end in linear reductions with batch norms.
        DataError: For identities with one image each, or images that do not differ.
    """
    obstacle = find_obstacle(network)
    if obstacle is not None:
        raise RecipeError(f"metric: {obstacle}; use a network whose parts are reduced, such as lomo or convnext_ap")
    for number, neck in enumerate(network.part_necks):
        vectors = np.asarray(pooled[:, number], np.float64)  # (N, C)
        mean = vectors.mean(axis=0)
        axes = principal_axes(vectors - mean, neck.width)  # type: ignore[arg-type]
        if not len(axes):
            raise DataError("metric: the pooled vectors of all training images are equal")
        covariances = pair_covariances((vectors - mean) @ axes.T, identities)
        _set(neck, METHODS[method](covariances, ridge=ridge) @ axes, mean)


def _set(neck: Any, matrix: Matrix, mean: Matrix) -> None:
    """Make a neck compute matrix (x - mean) in evaluation; dimensions beyond the matrix are 0."""
    import torch

    width = len(matrix)
    with torch.no_grad():
        neck.reduce.weight.zero_()
        neck.reduce.weight[:width] = torch.from_numpy(matrix)
        if neck.reduce.bias is not None:
            neck.reduce.bias.zero_()
        neck.norm.running_mean.zero_()
        neck.norm.running_mean[:width] = torch.from_numpy(matrix @ mean)
        neck.norm.running_var.fill_(1 - neck.norm.eps)
        neck.norm.weight.fill_(1)
        neck.norm.bias.zero_()
