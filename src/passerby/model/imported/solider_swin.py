"""SOLIDER's Swin: timm's, with a scale and a shift of the channels after each reduction of the map.

Chen et al., "Beyond Appearance: A Semantic Controllable Self-Supervised Learning Framework for Human-Centric Visual
Tasks" (CVPR 2023). Scale and shift depend on a weight that is the same for all images; the importer folds them into the
reduction, a linear layer that has a bias here.
"""

from __future__ import annotations

from typing import Any

import timm
from timm.models.swin_transformer import SwinTransformerBlock
from torch import Tensor, nn
from torch.nn import functional as F

SWINS = {f"solider_swin_{name}": f"swin_{name}_patch4_window7_224" for name in ("tiny", "small", "base")}
"""timm's name of each network."""


class PaddedSwinBlock(SwinTransformerBlock):
    """timm's block, which pads incomplete windows before it shifts them; timm shifts first."""

    def _attn(self, x: Tensor) -> Tensor:
        """(B, h, w, C) -> (B, h, w, C)."""
        height, width = x.shape[1:3]
        rows, columns = (-side % window for side, window in zip((height, width), self.window_size, strict=True))
        attended: Tensor = super()._attn(F.pad(x, (0, 0, 0, columns, 0, rows)))  # type: ignore[no-untyped-call]
        return attended[:, :height, :width]


def solider_swin(name: str) -> Any:
    """Build the Swin of a timm name for images of any size; its windows are 7 x 7 in all stages, padded."""
    net: Any = timm.create_model(
        name, num_classes=0, global_pool="", strict_img_size=False, always_partition=True, drop_path_rate=0.0
    )
    for block in (block for stage in net.layers for block in stage.blocks):
        block.__class__ = PaddedSwinBlock  # the same tensors, another order of two steps
    for stage in net.layers[1:]:
        reduction = stage.downsample.reduction
        stage.downsample.reduction = nn.Linear(reduction.in_features, reduction.out_features)
    return net
