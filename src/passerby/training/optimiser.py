"""Which parameter learns how fast, and which is pulled towards zero."""

from collections.abc import Iterable

import torch
from torch import nn


def build_optimiser(
    network: nn.Module,
    *,
    name: str,
    backbone_scale: float,
    weight_decay: float,
    momentum: float,
    nesterov: bool,
    betas: tuple[float, float],
) -> torch.optim.Optimizer:
    """SGD or AdamW over four groups: backbone or head, decayed or not.

    Weight decay leaves biases, norms and layer scales alone (every parameter of one dimension). Each group carries
    `scale`, the factor on the schedule's learning rate: `backbone_scale` for what is under `network.backbone`, 1 for
    the rest, so that a pretrained backbone moves slowly while its new head learns.
    """
    groups = []
    for in_backbone, scale in ((True, backbone_scale), (False, 1.0)):
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
    if name == "adamw":
        return torch.optim.AdamW(groups, betas=betas)
    return torch.optim.SGD(groups, lr=0.0, momentum=momentum, nesterov=nesterov and momentum > 0)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the schedule's rate times its own scale."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float | None) -> float:
    """Scale all gradients together so that their norm is at most `limit`; None leaves them alone.

    Returns:
        The norm of all gradients before that.
    """
    members = list(parameters)
    norm = nn.utils.get_total_norm([each.grad for each in members if each.grad is not None])
    if limit is not None:
        nn.utils.clip_grads_with_norm_(members, limit, norm)
    return float(norm)
