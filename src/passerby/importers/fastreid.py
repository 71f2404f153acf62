"""FastReID's checkpoints: bag of tricks (BoT) and stronger baseline (SBS), ResNet with and without IBN and non-local.

At test it embeds the output of the head's batch norm, compared by cosine distance.
"""

from __future__ import annotations

import re

from passerby.importers.family import (
    IBN_RENAMES,
    Family,
    Recognition,
    Renames,
    Shapes,
    count_blocks,
    has_ibn,
    name_resnet,
)

PREFIX = "backbone."


def _recognize(shapes: Shapes) -> Recognition | None:
    name = name_resnet(shapes, PREFIX)
    if name is None or not any(key.startswith("heads.") for key in shapes):
        return None
    non_local = any(key.startswith(f"{PREFIX}NL_") for key in shapes)
    gem = "heads.pool_layer.p" in shapes
    reduction = shapes.get("heads.bottleneck.0.weight", ())
    reduced = len(reduction) == 4
    head = f"{'gem' if gem else 'average'}{f'-fc{reduction[0]}' if reduced else ''}-bn"
    return Recognition(
        {
            "backbone": f"fastreid_{name}{'_ibn' * has_ibn(shapes, PREFIX)}{'_nl' * non_local}",
            "head": head,
            "last_stride": 1,
        },
        (*_non_local_renames(shapes), *_HEADS[reduced], *_RENAMES),
        size=(384, 128) if gem else (256, 128),
        interpolation="bicubic",
        assumed={"last_stride": "FastReID's LAST_STRIDE"},
    )


_HEADS: dict[bool, Renames] = {
    True: ((r"^heads\.bottleneck\.0\.", "part_necks.0.reduce."), (r"^heads\.bottleneck\.1\.", "part_necks.0.norm.")),
    False: ((r"^heads\.bottleneck\.0\.", "part_necks.0.norm."),),
}
"""By whether the head reduces the pooled vector."""
_RENAMES: Renames = (
    (r"^heads\.pool_layer\.", "pooling."),
    *IBN_RENAMES,
    (r"\.theta\.", ".query."),
    (r"\.phi\.", ".key."),
    (r"\.g\.", ".value."),
    (r"\.W\.", ".out."),
    (r"^backbone\.", "backbone.net."),
)


def _non_local_renames(shapes: Shapes) -> Renames:
    """Move non-local block i of a stage, and the residual block before it, into one `NonLocalBlock`."""
    renames: list[tuple[str, str]] = []
    for stage, blocks in enumerate(count_blocks(shapes, PREFIX), start=1):
        count = sum(name.startswith(f"{PREFIX}NL_{stage}.") and name.endswith(".theta.bias") for name in shapes)
        for number in range(count):
            block = f"layer{stage}.{blocks - count + number}"
            renames.append((rf"^backbone\.{re.escape(block)}\.", f"backbone.{block}.block."))
            renames.append((rf"^backbone\.NL_{stage}\.{number}\.", f"backbone.{block}.non_local."))
    return tuple(renames)


FASTREID = Family(
    title="FastReID",
    networks="BoT and SBS with ResNet-18 to -101, with IBN, non-local blocks and generalized mean pooling",
    recognize=_recognize,
    dropped=r"heads\.weight|heads\.(classifier|cls_layer)\..*|pixel_(mean|std)",
    embedding="output of the head's batch norm",
)
