"""SOLIDER's checkpoints for re-identification: Swin-T, -S and -B with BNNeck.

At test it embeds the average of the last map before the batch norm (`TEST.NECK_FEAT: before`). Its semantic weight
scales and shifts channels by constants; 0.2 is the value of its run.sh.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from passerby.importers.family import HALF, Family, Recognition, Renames, Shapes, count_numbers

if TYPE_CHECKING:
    from torch import Tensor

SEMANTIC_WEIGHT = 0.2
NETWORKS = {(96, 6): "tiny", (96, 18): "small", (128, 18): "base"}
"""Size by channels of the patches and blocks of the third stage."""


def _recognize(shapes: Shapes) -> Recognition | None:
    channels = shapes.get("base.patch_embed.projection.weight", (0,))[0]
    name = NETWORKS.get((channels, count_numbers(shapes, r"base\.stages\.2\.blocks\.(\d+)\.")))
    if name is None or "base.stages.0.blocks.0.attn.w_msa.qkv.weight" not in shapes:
        return None
    semantic = "base.semantic_embed_w.0.weight" in shapes
    weight = {"semantic_weight": f"{SEMANTIC_WEIGHT}, SEMANTIC_WEIGHT of SOLIDER's run.sh"} if semantic else {}
    return Recognition(
        {"backbone": f"solider_swin_{name}", "head": "average-bn", "embedding": "full"},
        _RENAMES,
        size=(384, 128),
        normalization=HALF,
        assumed={"embedding": "before the batch norm, TEST.NECK_FEAT of its configurations"} | weight,
        prepare=_prepare,
    )


def _prepare(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Reorder the four positions that a reduction joins as timm does, and fold scale and shift into it."""
    changed = {name: value for name, value in tensors.items() if ".relative_position_index" not in name}
    for name in list(changed):
        if re.fullmatch(r"base\.stages\.\d\.downsample\.(norm\.(weight|bias)|reduction\.weight)", name):
            changed[name] = _reorder(changed[name])
    for stage in range(3):
        prefix = f"base.stages.{stage}.downsample.reduction."
        weight = changed[f"{prefix}weight"]
        scale, shift = _semantic(changed, stage, weight)
        changed |= {f"{prefix}weight": weight * scale[:, None], f"{prefix}bias": shift}
    return changed


def _reorder(tensor: Tensor) -> Tensor:
    """(..., C x row x column) of nn.Unfold -> (..., column x row x C) of timm."""
    joined = tensor.reshape(*tensor.shape[:-1], -1, 2, 2)
    return joined.movedim(-3, -1).transpose(-3, -2).flatten(-3)


def _semantic(tensors: dict[str, Tensor], stage: int, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Compute scale and shift of the channels after a stage; 1 and 0 without a semantic embedding."""
    key = "base.semantic_embed_{}." + f"{stage}."
    if key.format("w") + "weight" not in tensors:
        return weight.new_ones(len(weight)), weight.new_zeros(len(weight))
    mixed = weight.new_tensor([SEMANTIC_WEIGHT, 1 - SEMANTIC_WEIGHT])
    scale, shift = (tensors[key.format(kind) + "weight"] @ mixed + tensors[key.format(kind) + "bias"] for kind in "wb")
    return scale.exp().log1p(), shift  # softplus


_RENAMES: Renames = (
    (r"^base\.patch_embed\.projection\.", "base.patch_embed.proj."),
    *((rf"^base\.stages\.{stage}\.downsample\.", f"base.layers.{stage + 1}.downsample.") for stage in range(3)),
    (r"^base\.stages\.", "base.layers."),
    (r"\.attn\.w_msa\.", ".attn."),
    (r"\.ffn\.layers\.0\.0\.", ".mlp.fc1."),
    (r"\.ffn\.layers\.1\.", ".mlp.fc2."),
    (r"^base\.norm3\.", "base.norm."),
    (r"^base\.", "backbone.net."),
    (r"^bottleneck\.", "part_necks.0.norm."),
)

SOLIDER = Family(
    title="SOLIDER",
    networks="Swin-T, -S and -B",
    recognize=_recognize,
    dropped=r"classifier\..*|base\.norm[012]\..*|base\.semantic_embed_[wb]\..*",
    embedding="average of the last map, before the batch norm",
)
