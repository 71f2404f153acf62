"""Fold the maps of the parts of an embedding into the reduction weights of a network, so that no layer is added.

P parts   C channels   D width of a reduced part
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from passerby.errors import WeightsError
from passerby.metric.part_maps import Parts

if TYPE_CHECKING:
    from passerby.model.convnext_ap import ReID


def find_obstacle(network: ReID) -> str | None:
    """Return why maps cannot be folded into a network, None if they can."""
    import torch

    if network.embedding_kind != "reduced":
        return f"its embedding is {network.embedding_kind}, expected reduced"
    if network.global_neck is not None:
        return "its embedding has a vector of the whole map, which no linear layer reduces"
    for neck in network.part_necks:
        linear = isinstance(getattr(neck, "reduce", None), torch.nn.Linear)
        if not linear or not isinstance(getattr(neck, "norm", None), torch.nn.BatchNorm1d):
            return "its embedding does not end in linear reductions with batch norms"
        if neck.relu:
            return "its embedding ends in a ReLU"
    return None


def fold_maps(network: ReID, maps: Parts) -> None:
    """Multiply the output of each reduction and its norm, in evaluation mode, by the map of its part.

    With y = a (R x + r - m) + b, where a = weight / sqrt(variance + eps): M y = (M a R) x - M (a (m - r) - b).

    Args:
        network: Changed in place; its norms have unit gain afterward.
        maps: (P, D, D).

    Raises:
        WeightsError: For a network without such reductions.
    """
    import torch

    obstacle = find_obstacle(network)
    if obstacle is not None:
        raise WeightsError(f"network: {obstacle}; maps cannot be folded into it")
    with torch.no_grad():
        for neck, matrix in zip(network.part_necks, torch.from_numpy(maps), strict=True):
            _fold(neck, matrix)


def _fold(neck: Any, matrix: Any) -> None:
    reduce, norm = neck.reduce, neck.norm
    gain = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()  # (D,)
    offset = norm.running_mean.double()
    if reduce.bias is not None:
        offset = offset - reduce.bias.double()
        reduce.bias.zero_()
    shift = matrix @ (gain * offset - norm.bias.double())
    reduce.weight.copy_(matrix @ (gain[:, None] * reduce.weight.double()))  # (D, C)
    norm.running_mean.copy_(shift)
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.fill_(1)
    norm.bias.zero_()
