"""Torchreid's checkpoints, and BoxMOT's, which are those under other file names.

At test both embed the output of the last layer before the classifier, compared by cosine or Euclidean distance.
"""

from __future__ import annotations

from typing import Any

from passerby.importers.family import Family, Recognition, Shapes, name_resnet

OSNET_WIDTHS = {64: "x1_0", 48: "x0_75", 32: "x0_5", 16: "x0_25"}
"""Width by channels of the stem."""
MOBILENET_STEMS = {32: "mobilenetv2_x1_0", 44: "mobilenetv2_x1_4"}
"""Network by channels of the stem."""


def _recognize(shapes: Shapes) -> Recognition | None:
    for kind, find in FINDERS.items():
        if (backbone := find(shapes)) is not None:
            layer = shapes.get("fc.0.weight")
            head = f"average-fc{layer[0]}-bn-relu" if layer else "average"
            model: dict[str, Any] = {"backbone": backbone, "head": head}
            assumed = {}
            if kind == "resnet":
                model["last_stride"] = 1 if layer else 2
                assumed["last_stride"] = f"as in Torchreid's {backbone}{'_fc512' if layer else ''}"
            renames = RENAMES["osnet_ibn" if backbone.startswith("osnet_ibn") else kind]
            return Recognition(model, renames + HEAD_RENAMES, assumed=assumed)
    return None


def _find_osnet(shapes: Shapes) -> str | None:
    stem = shapes.get("conv1.conv.weight", (0,))
    if stem[1:] != (3, 7, 7) or stem[0] not in OSNET_WIDTHS or "conv2.0.gate.fc1.weight" not in shapes:
        return None
    kind = "osnet_ain" if "pool2.0.conv.weight" in shapes else "osnet_ibn" if "conv2.0.IN.weight" in shapes else "osnet"
    return f"{kind}_{OSNET_WIDTHS[stem[0]]}"


def _find_mobilenet(shapes: Shapes) -> str | None:
    if "conv2.0.dwconv2.conv.weight" not in shapes:
        return None
    return MOBILENET_STEMS.get(shapes.get("conv1.conv.weight", (0,))[0])


def _find_resnet(shapes: Shapes) -> str | None:
    """Name a ResNet; torchvision's has the same names, and a classifier `fc` of one layer."""
    others = ("NL_", "classifier.add_block.", "fc.weight")
    return None if any(name.startswith(others) for name in shapes) else name_resnet(shapes, "")


FINDERS = {"osnet": _find_osnet, "mobilenet": _find_mobilenet, "resnet": _find_resnet}

_STREAMS = {"a": 0, "b": 1, "c": 2, "d": 3}
_NET = (r"^(?!fc\.)", "backbone.net.")
HEAD_RENAMES = ((r"^fc\.0\.", "part_necks.0.reduce."), (r"^fc\.1\.", "part_necks.0.norm."))
_OSNET_RENAMES = (
    (r"^conv1\.conv\.", "stem.0.0."),
    (r"^conv1\.bn\.", "stem.0.1."),
    *((rf"^pool{stage + 2}\.0\.", f"conv{stage + 2}.2.0.") for stage in (0, 1)),
    (r"^conv5\.", "conv4.2."),
    *((rf"^conv{stage + 2}\.", f"stages.{stage}.") for stage in (0, 1, 2)),
    (r"^(stages\.[01]\.2\.0)\.conv\.", r"\1.0."),
    (r"^(stages\.[01]\.2\.0)\.bn\.", r"\1.1."),
    (r"^(stages\.2\.2)\.conv\.", r"\1.0."),
    (r"^(stages\.2\.2)\.bn\.", r"\1.1."),
    (r"\.conv2a\.", ".streams.0.0."),
    *((rf"\.conv2{letter}\.(\d)\.", rf".streams.{number}.\1.") for letter, number in _STREAMS.items() if number),
    (r"\.conv2\.(\d)\.layers\.(\d)\.", r".streams.\1.\2."),
    (r"(\.streams\.\d\.\d)\.conv1\.", r"\1.0."),
    (r"(\.streams\.\d\.\d)\.conv2\.", r"\1.1."),
    (r"(\.streams\.\d\.\d)\.bn\.", r"\1.2."),
    (r"\.conv1\.conv\.", ".reduce.0."),
    (r"\.conv1\.bn\.", ".reduce.1."),
    (r"\.conv3\.conv\.", ".expand.0."),
    (r"\.conv3\.bn\.", ".expand.1."),
    (r"\.downsample\.conv\.", ".shortcut.0."),
    (r"\.downsample\.bn\.", ".shortcut.1."),
    (r"\.gate\.fc1\.", ".gate.mlp.0."),
    (r"\.gate\.fc2\.", ".gate.mlp.2."),
    (r"\.IN\.", ".expand.1."),
    _NET,
)
_MOBILENET_RENAMES = (
    (r"^conv1\.", "stem."),
    (r"^conv9\.", "last."),
    *((rf"^conv{stage + 2}\.", f"stages.{stage}.") for stage in range(7)),
    (r"^(stages\.\d\.\d)\.conv1\.", r"\1.layers.0."),
    (r"^(stages\.\d\.\d)\.dwconv2\.", r"\1.layers.1."),
    (r"^(stages\.\d\.\d)\.conv3\.", r"\1.layers.2."),
    (r"\.conv\.", ".0."),
    (r"\.bn\.", ".1."),
    _NET,
)
RENAMES = {
    "osnet": _OSNET_RENAMES,
    "osnet_ibn": ((r"\.IN\.", ".style."), *_OSNET_RENAMES),
    "mobilenet": _MOBILENET_RENAMES,
    "resnet": (_NET,),
}
"""By kind of network."""

TORCHREID = Family(
    title="Torchreid, BoxMOT",
    networks="OSNet, OSNet-IBN and OSNet-AIN of all widths, ResNet, ResNet-50 with fc512, MobileNetV2 x1.0 and x1.4",
    recognize=_recognize,
    dropped=r"classifier\..*",
    embedding="output of the last layer before the classifier",
)
