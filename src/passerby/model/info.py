"""What a network costs: parameters and multiply-adds, part by part.

Multiply-adds are those of convolutions and matrix products, half of what torch's FLOP counter counts; norms,
activations and SimAM's element-wise passes are not among them, though they take time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from passerby.model.convnext_ap import ReID, variants
from passerby.model.methods import build_model
from passerby.model.parts import Neck
from passerby.model.simam import SimAM

PIECES = ("backbone", "attention", "parts", "classifiers", "head", "total")
"""`parts` is all between the map and the classifiers, `head` is both: what P adds to a backbone."""


@dataclass(frozen=True)
class ModelInfo:
    """The figures of one network.

    Attributes:
        parameters: Of each of `PIECES`.
        multiply_adds: Of each of `PIECES`, for one image.
        attended_blocks: Blocks with SimAM.
        embedding_width: D.
        map: (C, H, W) of the map that the backbone makes.
        size: (height, width) of the image, pixels.
    """

    parameters: dict[str, int]
    multiply_adds: dict[str, int]
    attended_blocks: int
    embedding_width: int
    map: tuple[int, int, int]
    size: tuple[int, int]


def model_info(network: ReID, *, size: tuple[int, int]) -> ModelInfo:
    """Count a network for images of `size` (height, width) by running it once, on its device; meta is the fastest."""
    training = network.training
    device = next(network.parameters()).device
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = network.eval()(torch.zeros(1, 3, *size, device=device))
    network.train(training)
    names: Mapping[nn.Module, str] = {module: f".{name}" if name else "" for name, module in network.named_modules()}
    counts = counter.get_flop_counts()

    def multiply_adds(module: nn.Module) -> int:
        flops: dict[Any, int] = counts.get(type(network).__name__ + names[module], {})
        return sum(flops.values()) // 2

    channels, height, width = output.map.shape[1:]
    return ModelInfo(
        parameters=_by_piece(network, lambda module: sum(each.numel() for each in module.parameters())),
        multiply_adds=_by_piece(network, multiply_adds),
        attended_blocks=sum(isinstance(module, SimAM) for module in network.modules()),
        embedding_width=output.embedding.shape[1],
        map=(channels, height, width),
        size=size,
    )


def variants_info(arguments: Mapping[str, Any], *, identities: int, size: tuple[int, int]) -> dict[str, ModelInfo]:
    """Count the paper's variants of a network, without its weights; another method has itself alone.

    Args:
        arguments: Of `build_model`; `pretrained` and `weights` are ignored, as they change no figure.
        identities: Training identities.
        size: (height, width) of the image, pixels.

    Raises:
        RecipeError: As `build_model`.
    """
    found = {}
    plain = {**arguments, "pretrained": False, "weights": None}
    method = plain.get("method", "convnext_ap")
    for name, each in (variants(plain) if method == "convnext_ap" else {method: plain}).items():
        with torch.device("meta"):
            network = build_model(**each, identities=identities)
        found[name] = model_info(network, size=size)
    return found


def _by_piece(network: ReID, count: Callable[[nn.Module], int]) -> dict[str, int]:
    """Sum `count` over the modules of each piece."""
    necks = [module for module in network.modules() if isinstance(module, Neck)]
    total = count(network)
    attention = sum(count(module) for module in network.modules() if isinstance(module, SimAM))
    backbone = count(network.backbone) - attention
    classifiers = sum(count(neck.classifier) for neck in necks if neck.classifier is not None)
    head = total - backbone - attention
    return dict(zip(PIECES, (backbone, attention, head - classifiers, classifiers, head, total), strict=True))
