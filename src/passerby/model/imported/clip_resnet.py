"""CLIP-ReID's ResNet-50: timm's CLIP ResNet whose last stage keeps its map, and attention pooling over it.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (ICML 2021).

    B batch   C channels   h w map height and width   D width of the projection
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from timm.layers.attention_pool2d import AttentionPool2d
from timm.models.byobnet import ByobNet, model_cfgs
from torch import Tensor, nn

from passerby.errors import RecipeError
from passerby.model.backbone import Backbone

NAME = re.compile(r"clip_resnet50_(?P<height>\d{2,4})x(?P<width>\d{2,4})")
"""With height and width of the images, on which the embeddings of positions depend."""
STRIDE = 16


class ClipResNetBackbone(Backbone):
    """CLIP's ResNet-50 with stride 16.

    Args:
        name: As `NAME`.
    """

    def __init__(self, name: str) -> None:
        match = NAME.fullmatch(name)
        assert match is not None
        settings = model_cfgs["resnet50_clip_gap"]
        *stages, last = settings.blocks
        net: Any = ByobNet(
            replace(settings, blocks=(*stages, replace(last, s=1))),  # type: ignore[type-var]
            num_classes=0,
            global_pool="",
        )
        super().__init__(net, channels=net.num_features, stride=STRIDE)
        self.size = (int(match["height"]), int(match["width"]))
        self.grid = (self.size[0] // STRIDE, self.size[1] // STRIDE)

    def require_size(self, size: tuple[int, int]) -> None:
        """Raise RecipeError for another image size than that of the position embeddings."""
        if tuple(size) != self.size:
            raise RecipeError(
                f"images.size: {list(size)} does not fit the network's embeddings of positions; set "
                f"images.size={list(self.size)}"
            )


class AttentionPooling(nn.Module):
    """The average of the map, and the output of CLIP's attention pooling with the average as its query."""

    def __init__(self, channels: int, *, projected: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.attention = AttentionPool2d(
            channels, feat_size=grid, out_features=projected, head_dim=64, qkv_separate=True
        )

    def forward(self, features: Tensor) -> list[Tensor]:
        """(B, C, h, w) -> (B, C) and (B, D)."""
        projected: Tensor = self.attention(features)
        return [features.mean(dim=(2, 3)), projected]
