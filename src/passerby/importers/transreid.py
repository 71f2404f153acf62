"""TransReID's checkpoints: ViT-B/16, DeiT-B/16 and DeiT-S/16, with and without JPM and side information (SIE).

At test it embeds the class token before its batch norm (`TEST.NECK_FEAT: before`), with JPM beside the four parts'
tokens over 4. SIE adds an embedding of the camera to every position. A crop has no camera of the training, so that the
mean over the cameras is added, times TransReID's SIE_COE of 3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from passerby.importers.family import HALF, Family, Recognition, Renames, Shapes, count_numbers

if TYPE_CHECKING:
    from torch import Tensor

SIE_FACTOR = 3.0
GRIDS = {129: "s16_256x128", 211: "s12_256x128", 193: "s16_384x128", 311: "s12_384x128"}
"""Stride of the patches and size of the images by number of positions, with that of the class token."""
NECK = "before the batch norm, TEST.NECK_FEAT of its configurations; reduced is after it"


def size_of(grid: str) -> tuple[int, int]:
    """Return (height, width) of a value of `GRIDS`."""
    height, width = grid.partition("_")[2].split("x")
    return int(height), int(width)


def _recognize(shapes: Shapes) -> Recognition | None:
    patches = shapes.get("base.patch_embed.proj.weight", (0,))
    positions = shapes.get("base.pos_embed", (0, 0))[1]
    if patches[1:] != (3, 16, 16) or positions not in GRIDS or "base.blocks.0.attn.qkv.bias" not in shapes:
        return None
    depth, grid = count_numbers(shapes, r"base\.blocks\.(\d+)\."), GRIDS[positions]
    jigsaw, side = "b1.0.norm1.weight" in shapes, "base.sie_embed" in shapes
    return Recognition(
        {
            "backbone": f"transreid_vit_{patches[0]}x{depth}_{grid}",
            "head": "jigsaw-bn" if jigsaw else "token-bn",
            "embedding": "full",
        },
        (*(_JIGSAW if jigsaw else _last_block(depth)), *_RENAMES),
        size=size_of(grid),
        normalization=HALF,
        interpolation="bicubic",
        assumed={"embedding": NECK} | ({"cameras": "their mean embedding, times SIE_COE 3"} if side else {}),
        prepare=_add_side_information,
        unused=rf"base\.norm\..*|base\.blocks\.{depth - 1}\..*" if jigsaw else "",
    )


def _add_side_information(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the mean of the cameras' embeddings to the embeddings of all positions."""
    side = tensors.get("base.sie_embed")
    if side is None:
        return tensors
    positions = tensors["base.pos_embed"] + SIE_FACTOR * side.mean(dim=0, keepdim=True)
    return {name: value for name, value in tensors.items() if name != "base.sie_embed"} | {"base.pos_embed": positions}


def _last_block(depth: int) -> Renames:
    return ((rf"^base\.blocks\.{depth - 1}\.", "pooling.block."), (r"^base\.norm\.", "pooling.norm."))


_JIGSAW: Renames = ((r"^b1\.", "pooling.whole."), (r"^b2\.", "pooling.part."))
_RENAMES: Renames = (
    (r"^base\.", "backbone.net."),
    (r"^bottleneck\.", "part_necks.0.norm."),
    (r"^bottleneck_(\d)\.", r"part_necks.\1.norm."),
)

TRANSREID = Family(
    title="TransReID",
    networks="ViT-B/16, DeiT-B/16 and DeiT-S/16 at 256 x 128 and 384 x 128, strides 16 and 12, with JPM and SIE",
    recognize=_recognize,
    dropped=r"classifier(_\d)?\..*|base\.fc\..*",
    embedding="class token before the batch norm; with JPM also four parts over 4",
)
