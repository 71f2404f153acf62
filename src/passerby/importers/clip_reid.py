"""CLIP-ReID's checkpoints: the image encoder of CLIP, ViT-B/16 or ResNet-50.

At test it embeds the class token (ResNet: the average of the map) and its projection side by side, before their batch
norms (`TEST.NECK_FEAT: before`).
Side information (SIE) adds an embedding of the camera to the class token; the mean over the cameras is added here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passerby.importers.family import (
    HALF,
    IMAGENET,
    Family,
    Recognition,
    Renames,
    Shapes,
    count_blocks,
    count_numbers,
)
from passerby.importers.transreid import GRIDS, NECK, SIE_FACTOR, size_of

if TYPE_CHECKING:
    from torch import Tensor

VIT = "image_encoder."


def _recognize(shapes: Shapes) -> Recognition | None:
    if f"{VIT}attnpool.positional_embedding" in shapes:
        return _recognize_resnet(shapes)
    patches = shapes.get(f"{VIT}conv1.weight", (0,))
    positions = shapes.get(f"{VIT}positional_embedding", (0,))[0]
    if patches[1:] != (3, 16, 16) or positions not in GRIDS or f"{VIT}proj" not in shapes:
        return None
    depth, grid = count_numbers(shapes, r"image_encoder\.transformer\.resblocks\.(\d+)\."), GRIDS[positions]
    return Recognition(
        {
            "backbone": f"clip_vit_{patches[0]}x{depth}_{grid}",
            "head": f"clip{shapes[f'{VIT}proj'][1]}-bn",
            "embedding": "full",
        },
        _renames(depth),
        size=size_of(grid),
        normalization=HALF,
        assumed={"embedding": NECK} | ({"cameras": "their mean, times SIE_COE 3"} if "cv_embed" in shapes else {}),
        prepare=_prepare,
    )


def _recognize_resnet(shapes: Shapes) -> Recognition | None:
    """Recognize CLIP's ResNet-50; its side information is not used by CLIP-ReID."""
    size = RESNET_SIZES.get(shapes[f"{VIT}attnpool.positional_embedding"][0])
    if size is None or count_blocks(shapes, VIT) != (3, 4, 6, 3) or f"{VIT}conv3.weight" not in shapes:
        return None
    width = shapes.get(f"{VIT}attnpool.c_proj.weight", (0,))[0]
    return Recognition(
        {"backbone": f"clip_resnet50_{size[0]}x{size[1]}", "head": f"clip{width}-bn", "embedding": "full"},
        (*_RESNET_RENAMES, *_NECK_RENAMES),
        size=size,
        normalization=IMAGENET,
        assumed={"embedding": NECK},
        unused="cv_embed",
    )


RESNET_SIZES = {129: (256, 128), 193: (384, 128)}
"""(height, width) of the images by number of positions, with that of the average."""
_RESNET_RENAMES: Renames = (
    (r"^image_encoder\.conv(\d)\.", r"backbone.net.stem.conv\1.conv."),
    (r"^image_encoder\.bn(\d)\.", r"backbone.net.stem.conv\1.bn."),
    *((rf"^image_encoder\.layer{stage + 1}\.", f"backbone.net.stages.{stage}.") for stage in range(4)),
    *(
        (rf"(stages\.\d\.\d+)\.{old}{number}\.", rf"\1.{name}.{new}.")
        for number, name in ((1, "conv1_1x1"), (2, "conv2_kxk"), (3, "conv3_1x1"))
        for old, new in (("conv", "conv"), ("bn", "bn"))
    ),
    (r"\.downsample\.0\.", ".shortcut.conv.conv."),
    (r"\.downsample\.1\.", ".shortcut.conv.bn."),
    (r"^image_encoder\.attnpool\.positional_embedding$", "pooling.attention.pos_embed"),
    (r"^image_encoder\.attnpool\.([qkv])_proj\.", r"pooling.attention.\1."),
    (r"^image_encoder\.attnpool\.c_proj\.", "pooling.attention.proj."),
)
_NECK_RENAMES: Renames = (
    (r"^bottleneck\.", "part_necks.0.norm."),
    (r"^bottleneck_proj\.", "part_necks.1.norm."),
)


def _prepare(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Turn the projection into a linear layer's weight, and add the mean of the cameras' embeddings."""
    changed = {**tensors, f"{VIT}proj": tensors[f"{VIT}proj"].T}
    if (side := changed.pop("cv_embed", None)) is not None:
        changed[f"{VIT}class_embedding"] = changed[f"{VIT}class_embedding"] + SIE_FACTOR * side.mean(dim=0)
    return changed


def _renames(depth: int) -> Renames:
    return (
        (rf"^image_encoder\.transformer\.resblocks\.{depth - 1}\.", "pooling.block."),
        (r"^image_encoder\.transformer\.resblocks\.", "backbone.net.blocks."),
        (r"^image_encoder\.conv1\.", "backbone.net.patch_embed.proj."),
        (r"^image_encoder\.class_embedding$", "backbone.net.cls_token"),
        (r"^image_encoder\.positional_embedding$", "backbone.net.pos_embed"),
        (r"^image_encoder\.ln_pre\.", "backbone.net.norm_pre."),
        (r"^image_encoder\.ln_post\.", "pooling.norm."),
        (r"^image_encoder\.proj$", "pooling.projection.weight"),
        (r"\.ln_(\d)\.", r".norm\1."),
        (r"\.attn\.in_proj_", ".attn.qkv."),
        (r"\.attn\.out_proj\.", ".attn.proj."),
        (r"\.mlp\.c_fc\.", ".mlp.fc1."),
        (r"\.mlp\.c_proj\.", ".mlp.fc2."),
        *_NECK_RENAMES,
    )


CLIP_REID = Family(
    title="CLIP-ReID",
    networks="ViT-B/16 at 256 x 128 and 384 x 128, strides 16 and 12, with SIE; ResNet-50 at 256 x 128 and 384 x 128",
    recognize=_recognize,
    dropped=r"classifier(_proj)?\..*|(text_encoder|prompt_learner)\..*",
    embedding="class token (ResNet: average of the map) and its projection, before their batch norms",
)
