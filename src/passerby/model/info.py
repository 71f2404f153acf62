"""Cost of a network: parameters and multiply-adds by piece.

Multiply-adds are those of convolutions and matrix products, half of the count of torch's FLOP counter. Norms,
activations and SimAM's element-wise passes are not counted, though they take time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from passerby.model.backbone import takes_attention
from passerby.model.convnext_ap import ReID
from passerby.model.methods import build_model
from passerby.model.parts import Neck
from passerby.model.simam import SimAM
from passerby.text import plural
from passerby.types import Result

PIECES = ("backbone", "attention", "parts", "classifiers", "head", "total")
"""`parts` is everything between the map and the classifiers; `head` is `parts` and `classifiers` together."""


@dataclass(frozen=True)
class ModelInfo(Result):
    """Cost of one network.

    Attributes:
        parameters: Number of parameters by piece, see `PIECES`.
        multiply_adds: Multiply-adds for one image, by piece.
        attended_blocks: Number of blocks with SimAM.
        embedding_width: D.
        map: (C, H, W) of the backbone's map.
        size: (height, width) of the image, pixels.
    """

    parameters: dict[str, int]
    multiply_adds: dict[str, int]
    attended_blocks: int
    embedding_width: int
    map: tuple[int, int, int]
    size: tuple[int, int]

    def __repr__(self) -> str:
        total, adds = self.parameters["total"], self.multiply_adds["total"]
        height, width = self.size
        return f"ModelInfo({plural(total, 'parameter')}, {adds:,} multiply-adds at {height} x {width})"


def model_info(network: ReID, *, size: tuple[int, int]) -> ModelInfo:
    """Count parameters and multiply-adds of a network by one forward pass on its device (the meta device is fastest).

    Args:
        network: Left in its mode.
        size: (height, width) of the image in pixels.

    Example:
        >>> network = passerby.convnext_ap("test_convnext", parts=2, part_dim=16)
        >>> model_info(network, size=(64, 32))
        ModelInfo(...)
    """
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
        parameters=_by_piece(network, lambda module: sum(parameter.numel() for parameter in module.parameters())),
        multiply_adds=_by_piece(network, multiply_adds),
        attended_blocks=sum(isinstance(module, SimAM) for module in network.modules()),
        embedding_width=output.embedding.shape[1],
        map=(channels, height, width),
        size=size,
    )


def configuration_info(arguments: Mapping[str, Any], *, identities: int, size: tuple[int, int]) -> ModelInfo:
    """Count a network without loading its weights.

    Args:
        arguments: Keyword arguments of `build_model`; `pretrained` and `weights` are ignored, as no count depends on
            them.
        identities: Training identities.
        size: (height, width) of the image in pixels.

    Raises:
        RecipeError: As `build_model`.

    Example:
        >>> configuration_info({"backbone": "convnext_atto", "parts": 4}, identities=10, size=(64, 32)).embedding_width
        1024
    """
    with torch.device("meta"):
        network = build_model(**{**arguments, "pretrained": False, "weights": None}, identities=identities)
    return model_info(network, size=size)


def variants(arguments: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """List the paper's ablation variants of a network.

    Args:
        arguments: Keyword arguments of `convnext_ap`. P and AP have their parts, or 6 refined ones if it has none.

    Returns:
        Keyword arguments of `convnext_ap` for Baseline, A, P and AP; only Baseline and P for a backbone that is not a
        ConvNeXt.

    Example:
        >>> variants({"parts": 4, "refine": False})["A"]["parts"]
        0
    """
    whole = {**arguments, "parts": 0, "refine": False, "global_branch": False}
    parted = {**arguments} if arguments.get("parts", 6) else {**arguments, "parts": 6, "refine": True}
    options = {
        "Baseline": {**whole, "attention": False},
        "A": {**whole, "attention": True},
        "P": {**parted, "attention": False},
        "AP": {**parted, "attention": True},
    }
    if not takes_attention(arguments.get("backbone", "convnext_base")):
        del options["A"], options["AP"]
    return options


def variants_info(arguments: Mapping[str, Any], *, identities: int, size: tuple[int, int]) -> dict[str, ModelInfo]:
    """Count the paper's variants of a network without loading weights; for another method, the network itself only.

    Args:
        arguments: As for `configuration_info`.
        identities: As for `configuration_info`.
        size: As for `configuration_info`.

    Returns:
        Counts by variant: Baseline, A, P and AP.

    Raises:
        RecipeError: As `build_model`.

    Example:
        >>> counts = variants_info({"backbone": "convnext_atto"}, identities=10, size=(64, 32))
        >>> list(counts)
        ['Baseline', 'A', 'P', 'AP']
    """
    method = arguments.get("method", "convnext_ap")
    configurations = variants(arguments) if method == "convnext_ap" else {method: arguments}
    return {
        name: configuration_info(options, identities=identities, size=size) for name, options in configurations.items()
    }


def _by_piece(network: ReID, count: Callable[[nn.Module], int]) -> dict[str, int]:
    """Sum the counts over the modules of each piece."""
    necks = [module for module in network.modules() if isinstance(module, Neck)]
    total = count(network)
    attention = sum(count(module) for module in network.modules() if isinstance(module, SimAM))
    backbone = count(network.backbone) - attention
    classifiers = sum(count(neck.classifier) for neck in necks if neck.classifier is not None)
    head = total - backbone - attention
    return dict(zip(PIECES, (backbone, attention, head - classifiers, classifiers, head, total), strict=True))
