"""Checkpoints of layumi/Person_reID_baseline_pytorch: `ft_net`, its relatives with other backbones, and PCB.

At test it removes the last classifier and embeds the output of the layer before it; of PCB the six pooled parts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from passerby.importers.family import (
    IBN_RENAMES,
    Family,
    Recognition,
    Renames,
    Shapes,
    count_numbers,
    has_ibn,
    name_resnet,
)

PREFIX = "model."
STRIDE = {"last_stride": "the option --stride of layumi's train.py"}
_NET: Renames = ((r"^model\.", "backbone.net."),)


@dataclass(frozen=True)
class _Relative:
    """A relative of `ft_net`.

    Attributes:
        backbone: Its name here.
        renames: As for `Recognition`, behind those of the head.
        size: (height, width) of the images of layumi's test.py.
    """

    backbone: str
    renames: Renames = _NET
    size: tuple[int, int] = (256, 128)


def _recognize(shapes: Shapes) -> Recognition | None:
    if "classifier5.add_block.0.weight" in shapes:
        return _recognize_pcb(shapes)
    if not any(name.startswith("classifier.add_block.") for name in shapes):
        return None
    relative = next((found for find in FINDERS if (found := find(shapes)) is not None), None)
    if relative is None:
        return None
    resnet = relative.backbone.startswith("resnet")
    return Recognition(
        {"backbone": relative.backbone, "head": _head(shapes), "last_stride": 2},
        (*_head_renames(shapes), *relative.renames),
        size=relative.size,
        interpolation="bicubic",
        assumed=STRIDE if resnet else {},
    )


def _find_resnet(shapes: Shapes) -> _Relative | None:
    name = name_resnet(shapes, PREFIX)
    if name is None or any(key.startswith("usam_") for key in shapes):
        return None
    return _Relative(f"{name}{'_ibn' * has_ibn(shapes, PREFIX)}", (*IBN_RENAMES, *_NET))


def _find_densenet(shapes: Shapes) -> _Relative | None:
    blocks = tuple(
        _count_from_one(shapes, rf"model\.features\.denseblock{number}\.denselayer(\d+)\.") for number in (1, 2, 3, 4)
    )
    return _Relative("layumi_densenet121") if blocks == (6, 12, 24, 16) else None


def _find_swin(shapes: Shapes) -> _Relative | None:
    blocks = tuple(count_numbers(shapes, rf"model\.layers\.{stage}\.blocks\.(\d+)\.") for stage in (0, 1, 2, 3))
    if blocks != (2, 2, 18, 2) or shapes.get("model.patch_embed.proj.weight") != (128, 3, 4, 4):
        return None
    # timm 0.6 and earlier counted the reduction of the map to the stage before it
    early = "model.layers.0.downsample.reduction.weight" in shapes
    moved = tuple(
        (rf"^model\.layers\.{stage}\.downsample\.", f"backbone.net.layers.{stage + 1}.downsample.")
        for stage in (0, 1, 2)
    )
    renames = (*(moved if early else ()), *_NET)
    if "model.layers.0.blocks.0.attn.logit_scale" in shapes:
        return _Relative("layumi_swinv2_base", renames)
    return _Relative("swin_base_patch4_window7_224", renames, size=(224, 224))


def _find_convnext(shapes: Shapes) -> _Relative | None:
    blocks = tuple(count_numbers(shapes, rf"model\.stages\.{stage}\.blocks\.(\d+)\.") for stage in (0, 1, 2, 3))
    fits = blocks == (3, 3, 27, 3) and shapes.get("model.stem.0.weight") == (128, 3, 4, 4)
    return _Relative("layumi_convnext_base") if fits else None


def _find_hrnet(shapes: Shapes) -> _Relative | None:
    fits = shapes.get("model.stage4.0.branches.0.0.conv1.weight") == (18, 18, 3, 3)
    return _Relative("hrnet_w18") if fits else None


def _find_efficientnet(shapes: Shapes) -> _Relative | None:
    fits = shapes.get("model._conv_stem.weight") == (48, 3, 3, 3) and "model._blocks.31._bn2.weight" in shapes
    return _Relative("layumi_efficientnet_b4", _efficientnet_renames()) if fits else None


FINDERS: tuple[Callable[[Shapes], _Relative | None], ...] = (
    _find_resnet,
    _find_densenet,
    _find_swin,
    _find_convnext,
    _find_hrnet,
    _find_efficientnet,
)


def _count_from_one(shapes: Shapes, pattern: str) -> int:
    """Count the layers of a dense block, which torchvision numbers from 1."""
    zero = pattern.replace(r"(\d+)", "0").replace("\\", "")
    return count_numbers({**shapes, zero: ()}, pattern) - 1


EFFICIENTNET_B4 = (2, 4, 4, 6, 6, 8, 2)
"""Blocks of each stage."""


def _efficientnet_renames() -> Renames:
    """Rename from the package efficientnet-pytorch, which numbers all blocks in one row, to timm."""
    renames: list[tuple[str, str]] = []
    number = 0
    for stage, count in enumerate(EFFICIENTNET_B4):
        for block in range(count):
            renames.append((rf"^model\._blocks\.{number}\.", f"backbone.net.blocks.{stage}.{block}."))
            number += 1
    first = r"(net\.blocks\.0\.\d\.)"  # without an expansion
    return (
        *renames,
        (first + r"_depthwise_conv\.", r"\1conv_dw."),
        (first + r"_bn(\d)\.", r"\1bn\2."),
        (first + r"_project_conv\.", r"\1conv_pw."),
        (r"\._expand_conv\.", ".conv_pw."),
        (r"\._depthwise_conv\.", ".conv_dw."),
        (r"\._project_conv\.", ".conv_pwl."),
        (r"\._se_(reduce|expand)\.", r".se.conv_\1."),
        (r"^model\._conv_(stem|head)\.", r"backbone.net.conv_\1."),
        *((rf"^model\._bn{norm}\.", f"backbone.net.bn{norm + 1}.") for norm in (0, 1)),
        *((rf"(blocks\.\d\.\d\.)_bn{norm}\.", rf"\g<1>bn{norm + 1}.") for norm in (0, 1, 2)),
    )


def _recognize_pcb(shapes: Shapes) -> Recognition | None:
    name = name_resnet(shapes, PREFIX)
    if name is None:
        return None
    return Recognition(
        {"backbone": name, "head": "stripes6", "last_stride": 1},
        _NET,
        size=(384, 192),
        interpolation="bicubic",
        assumed={"last_stride": "as in layumi's PCB"},
    )


def _head(shapes: Shapes) -> str:
    """Describe the class block before its classifier: an optional linear layer, then a batch norm."""
    layer = shapes.get("classifier.add_block.0.weight", ())
    return f"average-fc{layer[0]}-bn" if len(layer) == 2 else "average-bn"


def _head_renames(shapes: Shapes) -> Renames:
    if len(shapes.get("classifier.add_block.0.weight", ())) == 2:
        return (
            (r"^classifier\.add_block\.0\.", "part_necks.0.reduce."),
            (r"^classifier\.add_block\.1\.", "part_necks.0.norm."),
        )
    return ((r"^classifier\.add_block\.0\.", "part_necks.0.norm."),)


LAYUMI = Family(
    title="layumi's baseline",
    networks="ft_net (ResNet-50, IBN), its relatives with DenseNet-121, Swin-B, Swin-V2-B, ConvNeXt-B, HRNet-W18 and "
    "EfficientNet-B4, and PCB",
    recognize=_recognize,
    dropped=r"classifier\.classifier\..*|classifier\d\..*|model\.(_?fc|classifier)\..*|"
    r"model\..*\.(attn_mask|relative_position_index|relative_coords_table)",
    embedding="output of the class block without its classifier; of PCB six parts, each of unit length",
)
