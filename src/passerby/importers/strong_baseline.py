"""Checkpoints of the strong baseline (Luo et al. 2019, michuanhaohao/reid-strong-baseline): ResNet with BNNeck.

At test it embeds the output of the batch norm (`TEST.NECK_FEAT: after`), scaled to unit length.
"""

from __future__ import annotations

from passerby.importers.family import IBN_RENAMES, Family, Recognition, Renames, Shapes, has_ibn, name_resnet

PREFIX = "base."


def _recognize(shapes: Shapes) -> Recognition | None:
    name = name_resnet(shapes, PREFIX)
    if name is None:
        return None
    ibn = has_ibn(shapes, PREFIX)
    neck = "bottleneck.running_var" in shapes
    return Recognition(
        {
            "backbone": f"{name}_ibn" if ibn else f"baseline_{name}",
            "head": f"average{'-bn' * neck}",
            "last_stride": 1,
            "embedding": "reduced",
        },
        _RENAMES,
        assumed={
            "last_stride": "the strong baseline's LAST_STRIDE",
            "embedding": "after the batch norm, the strong baseline's TEST.NECK_FEAT; full is before it",
        },
    )


_RENAMES: Renames = (
    (r"^base\.", "backbone.net."),
    (r"^bottleneck\.", "part_necks.0.norm."),
    *IBN_RENAMES,
)

STRONG_BASELINE = Family(
    title="the strong baseline",
    networks="ResNet-18 to -152 and ResNet-50 with IBN, with and without BNNeck",
    recognize=_recognize,
    dropped=r"classifier\..*|base\.fc\..*",
    embedding="output of the batch norm (BNNeck)",
)
