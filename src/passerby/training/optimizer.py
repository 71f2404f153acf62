"""Optimizers: learning rate and weight decay of each parameter, clipping of gradients."""

from collections.abc import Iterable
from typing import Any

import torch
from timm.optim import param_groups_layer_decay  # type: ignore[attr-defined]  # public, and not in its __all__
from torch import Tensor, nn

FUSED_DEVICES = ("cuda",)
"""Devices on which all parameters are updated in one kernel. Such a step also skips an overflow of fp16 on the device;
without it, the loss scaler reads at every step whether there was one."""


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
    """Build SGD or AdamW over groups of parameters: backbone or head, with weight decay or without.

    Biases, norms and layer scales (all parameters of one dimension) have no weight decay. Each group has a `scale`, a
    factor on the schedule's learning rate.

    Args:
        network: With a module `backbone`. Parameters that require no gradient are left out.
        name: `sgd` or `adamw`.
        backbone_scale: Scale of the backbone's parameters; the others have 1.
        weight_decay: At least 0.
        momentum: Momentum of SGD.
        nesterov: Nesterov of SGD.
        betas: Betas of AdamW.
        layer_decay: Below 1, each layer of the backbone (as timm divides it) has its scale multiplied by this once
            more than the layer above (Clark et al., "ELECTRA", 2020).

    Returns:
        The optimizer, with learning rate 0 until `set_learning_rate`.
    """
    if layer_decay < 1:
        groups = _by_layer(network.backbone, backbone_scale, weight_decay=weight_decay, layer_decay=layer_decay)
        groups += _groups(network, [(False, 1.0)], weight_decay=weight_decay)
    else:
        groups = _groups(network, [(True, backbone_scale), (False, 1.0)], weight_decay=weight_decay)
    fused = groups[0]["params"][0].device.type in FUSED_DEVICES or None  # None is torch's default
    if name == "adamw":
        return torch.optim.AdamW(groups, betas=betas, fused=fused)
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov and momentum > 0, fused=fused)


def _groups(network: nn.Module, scales: list[tuple[bool, float]], *, weight_decay: float) -> list[dict[str, Any]]:
    """Build two groups for each (in the backbone, scale): with weight decay and without."""
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
    """Build groups of the backbone's parameters by layer, as timm divides it."""
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
    """Set the learning rate of every group to `rate` times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float | None) -> Tensor:
    """Scale all gradients together so that their norm is at most `limit`; None leaves them as they are.

    Returns:
        The norm of all gradients before that: a scalar on their device, so that no step waits for it.
    """
    members = list(parameters)
    norm = nn.utils.get_total_norm([parameter.grad for parameter in members if parameter.grad is not None])
    if limit is not None:
        nn.utils.clip_grads_with_norm_(members, limit, norm)
    return norm
