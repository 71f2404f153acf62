"""Recognize the family of a checkpoint from the names and shapes of its tensors."""

from __future__ import annotations

import re
from pathlib import Path

from passerby.errors import WeightsError, argument
from passerby.importers.clip_reid import CLIP_REID
from passerby.importers.family import Family, Recognition, Shapes
from passerby.importers.fastreid import FASTREID
from passerby.importers.ft_net import LAYUMI
from passerby.importers.solider import SOLIDER
from passerby.importers.strong_baseline import STRONG_BASELINE
from passerby.importers.torchreid import TORCHREID
from passerby.importers.transreid import TRANSREID
from passerby.text import plural

FAMILIES: dict[str, Family] = {
    "torchreid": TORCHREID,
    "fastreid": FASTREID,
    "strong-baseline": STRONG_BASELINE,
    "layumi": LAYUMI,
    "transreid": TRANSREID,
    "clip-reid": CLIP_REID,
    "solider": SOLIDER,
}
"""Families by the name that `--from` takes."""
ALIASES = {"boxmot": "torchreid"}
"""Other names that `--from` takes, for toolkits that use files of a family."""
DETECTOR = re.compile(
    r"(rpn\.|roi_heads\.|roi_head\.|bbox_head\.|model\.\d+\.(cv\d|dfl|m)\.|head\.(cls|reg|obj)_|class_embed|bbox_embed|"
    r".*\.anchors?$|head\.(classification|regression)_head\.)"
)
"""Names of tensors that only detectors have: torchvision, MMDetection, YOLO, YOLOX, DETR, SSD and RetinaNet."""

DETECTOR_USE = (
    "expected a re-identification network. A detector finds people in a video: `passerby enroll GALLERY --video VIDEO "
    "--camera NAME --detector FILE`"
)


def recognize(shapes: Shapes, *, family: str | None, source: Path) -> tuple[str, Recognition]:
    """Recognize a checkpoint.

    Args:
        shapes: Shape of each tensor.
        family: A key of `FAMILIES` or `ALIASES`, in place of all families.
        source: The file, for messages.

    Returns:
        Name of the family, and the network.

    Raises:
        WeightsError: For an unknown family, tensors of no family or of several, or those of a detector.
    """
    if family is not None and family not in {**FAMILIES, **ALIASES}:
        raise WeightsError(f"family {family!r}: unknown; expected one of {', '.join([*FAMILIES, *ALIASES])}")
    names = list(FAMILIES) if family is None else [ALIASES.get(family, family)]
    try:
        found = {name: recognition for name in names if (recognition := FAMILIES[name].recognize(shapes)) is not None}
    except ValueError as error:
        raise WeightsError(f"{source}: {error}; a part of a network, or not one of {', '.join(FAMILIES)}") from None
    if len(found) > 1:
        raise WeightsError(
            f"{source}: its tensors fit the networks of {', '.join(found)}; name the toolkit that made it: "
            f"{' or '.join(argument('family', name) for name in found)}"
        )
    if found:
        ((name, recognition),) = found.items()
        return name, recognition
    named = sorted(shapes.items(), key=lambda item: -len(item[1]))[:3]  # counters of batch norms name no network
    held = ", ".join(f"{name} {'x'.join(map(str, shape)) or 'scalar'}" for name, shape in named)
    if any(DETECTOR.match(name) for name in shapes):
        raise WeightsError(
            f"{source}: the checkpoint of a detector ({held}, ...), which has no embedding; {DETECTOR_USE}, as ONNX "
            "or OpenVINO"
        )
    if family is not None:
        raise WeightsError(
            f"{source}: not a network of {FAMILIES[names[0]].title} that can be imported; its tensors are {held}, ...; "
            f"expected {FAMILIES[names[0]].networks}"
        )
    raise WeightsError(
        f"{source}: an unknown network; it has {plural(len(shapes), 'tensor')}: {held}, ...; expected one of "
        f"{', '.join(FAMILIES)} (docs/models.md). Export another network to ONNX where it was made, and import that"
    )
