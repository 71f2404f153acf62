"""Modules of a method inside a ResNet or a ConvNeXt of timm: after a stage, or in place of the last one.

B batch   C channels   H W map height and width
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from timm.models.convnext import ConvNeXt
from timm.models.resnet import ResNet
from torch import Tensor, nn

from passerby.errors import RecipeError
from passerby.model.backbone import Backbone


class Inserted(nn.Module):
    """Apply a module that the network holds, not the backbone.

    Its tensors and its learning rate are those of the head, and the backbone's names stay timm's.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._held = (module,)  # a tuple, so that it is not registered a second time

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> the module's output."""
        output: Tensor = self._held[0](features)
        return output


def stage_channels(backbone: Backbone, stage: int) -> int:
    """Return C after stage 1 to 4.

    Raises:
        RecipeError: For a backbone that is neither a ResNet nor a ConvNeXt.

    Example:
        >>> from passerby.model.backbone import build_backbone
        >>> stage_channels(build_backbone("resnet18", attention=False), 2)
        128
    """
    channels: int = _net(backbone).feature_info[stage - 5]["num_chs"]
    return channels


def insert_after_stage(backbone: Backbone, stage: int, module: nn.Module) -> None:
    """Apply `module` to the map of stage 1 to 4; pass it to `ReID` as `inserted`, too, alone or in a module list.

    Raises:
        RecipeError: As `stage_channels`.
    """
    _stage_blocks(_net(backbone), stage).append(Inserted(module))


def append_to_last_stage(backbone: Backbone, module: nn.Module) -> None:
    """Apply a module without parameters to the map of stage 4.

    Raises:
        RecipeError: As `stage_channels`.
    """
    _stage_blocks(_net(backbone), 4).append(module)


def move_norm_into_last_stage(backbone: Backbone) -> None:
    """Apply a ConvNeXt's final norm at the end of its last stage, so that modules after the stage see its output."""
    if backbone.norm_in_head:
        net = _net(backbone)
        _stage_blocks(net, 4).append(net.head["norm"])
        net.head = nn.ModuleDict()
        backbone.norm_in_head = False


def replace_last_stage(backbone: Backbone, build: Callable[[nn.Module], nn.Module]) -> None:
    """Replace stage 4 by `build(stage)`.

    Raises:
        RecipeError: As `stage_channels`.
    """
    net = _net(backbone)
    if hasattr(net, "layer4"):
        net.layer4 = build(net.layer4)
    else:
        net.stages[-1] = build(net.stages[-1])


def _net(backbone: Backbone) -> Any:
    net = backbone.net
    if isinstance(net, ResNet | ConvNeXt):
        return net
    raise RecipeError(
        f"model.backbone: this method has modules between the stages of a ResNet or a ConvNeXt, got a "
        f"{type(net).__name__}; use one such as resnet50 or convnext_tiny"
    )


def _stage_blocks(net: Any, stage: int) -> nn.Sequential:
    blocks: nn.Sequential = getattr(net, f"layer{stage}") if isinstance(net, ResNet) else net.stages[stage - 1].blocks
    return blocks
