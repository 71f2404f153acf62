"""Which parameter learns how fast, and which is pulled towards zero."""

from collections.abc import Iterable
from typing import Any

import torch
from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]  # public, and not in its __all__
from torch import Tensor, nn


def build_optimizer(
    network: nn.Module,
    *,
    name: str,
    backbone_scale: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
    betas: tuple[float, float],
    layer_decay: float = 1.0,
) -> torch.optim.Optimizer:
    """SGD or AdamW over groups: backbone or head, decayed or not.

    Weight decay leaves biases, norms and layer scales alone (every parameter of one dimension). Each group carries
    `scale`, the factor on the schedule's learning rate: `backbone_scale` for what is under `network.backbone`, 1 for
    the rest, so that a pretrained backbone moves slowly while its new head learns. With a `layer_decay` below 1 every
    layer of the backbone has groups of its own, each that much slower than the one above it (timm's layers; Clark et
    al., "ELECTRA", 2020): the first ones know edges and colors already.
    """
    if layer_decay < 1:
        groups = _by_layer(network.backbone, backbone_scale, weight_decay=weight_decay, layer_decay=layer_decay)
        groups += _groups(network, [(False, 1.0)], weight_decay=weight_decay)
    else:
        groups = _groups(network, [(True, backbone_scale), (False, 1.0)], weight_decay=weight_decay)
    if name == "adamw":
        return torch.optim.AdamW(groups, betas=betas)
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov and momentum > 0)


def _groups(network: nn.Module, scales: list[tuple[bool, float]], *, weight_decay: float) -> list[dict[str, Any]]:
    """For each (whether in the backbone, scale): what is decayed, and what is not."""
    groups = []
    for in_backbone, scale in scales:
        for decayed, decay in ((True, weight_decay), (False, 0.0)):
            members = [
                parameter
                for key, parameter in network.named_parameters()
                if parameter.requires_grad
                and key.startswith("backbone.") == in_backbone
                and (parameter.ndim > 1) == decayed
            ]
            if members:
                groups.append({"params": members, "weight_decay": decay, "scale": scale, "lr": 0.0})
    return groups


def _by_layer(backbone: Any, scale: float, *, weight_decay: float, layer_decay: float) -> list[dict[str, Any]]:
    """The backbone's parameters layer by layer, as timm tells layers apart."""
    layers = param_groups_layer_decay(backbone.net, weight_decay=weight_decay, layer_decay=layer_decay)
    return [
        {
            "params": layer["params"],
            "weight_decay": layer["weight_decay"],
            "scale": scale * layer["lr_scale"],
            "lr": 0.0,
        }
        for layer in layers
    ]


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the schedule's rate times its own scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float | None) -> Tensor:
    """Scale all gradients together so that their norm is at most `limit`; None leaves them as they are.

    Returns:
        The norm of all gradients before that: a scalar on their device, so that no step waits for it.
    """
    members = list(parameters)
    norm = nn.utils.get_total_norm([each.grad for each in members if each.grad is not None])
    if limit is not None:
        nn.utils.clip_grads_with_norm_(members, limit, norm)
    return norm
