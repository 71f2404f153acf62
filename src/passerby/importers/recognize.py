"""Recognize the family of a checkpoint from the names and shapes of its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from passerby.errors import WeightsError, argument
from passerby.importers.clip_reid import CLIP_REID
from passerby.importers.family import Family, Recognition, Shapes
from passerby.importers.fastreid import FASTREID
from passerby.importers.ft_net import LAYUMI
from passerby.importers.read_checkpoint import Checkpoint
from passerby.importers.solider import SOLIDER
from passerby.importers.strong_baseline import STRONG_BASELINE
from passerby.importers.torchreid import TORCHREID
from passerby.importers.transreid import TRANSREID
from passerby.text import plural

if TYPE_CHECKING:
    from torch import Tensor

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
ATTRIBUTES = ("model.", "net.", "network.")
"""Attributes of a training's module that hold its network, such as those of PyTorch Lightning's `LightningModule`."""
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
    names = _list_families(family)
    try:
        found = _find(shapes, names)
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


def unwrap_network(checkpoint: Checkpoint, *, family: str | None) -> Checkpoint:
    """Take the network out of the module that trained it, if the tensors under their own names fit no family.

    The names of its tensors begin with an entry of `ATTRIBUTES`. The other tensors, such as those of losses and
    metrics, are moved to `outside`.

    Args:
        checkpoint: As it was read.
        family: As for `recognize`.

    Raises:
        WeightsError: For an unknown family.
    """
    from passerby.model.weights import strip_wrappers

    names = _list_families(family)
    if _fits(checkpoint.tensors, names):
        return checkpoint
    for attribute in ATTRIBUTES:
        inside = {key: tensor for key, tensor in checkpoint.tensors.items() if key.startswith(attribute)}
        network = strip_wrappers({key.removeprefix(attribute): tensor for key, tensor in inside.items()})
        if _fits(network, names):
            return replace(checkpoint, tensors=dict(network), outside=tuple(sorted(checkpoint.tensors.keys() - inside)))
    return checkpoint


def _list_families(family: str | None) -> list[str]:
    """List the families to try: all, or the one that is named."""
    if family is not None and family not in {**FAMILIES, **ALIASES}:
        raise WeightsError(f"family {family!r}: unknown; expected one of {', '.join([*FAMILIES, *ALIASES])}")
    return list(FAMILIES) if family is None else [ALIASES.get(family, family)]


def _find(shapes: Shapes, names: Iterable[str]) -> dict[str, Recognition]:
    """Find the families that the tensors fit.

    Raises:
        ValueError: As `count_numbers`.
    """
    return {name: found for name in names if (found := FAMILIES[name].recognize(shapes)) is not None}


def _fits(tensors: Mapping[str, Tensor], names: Iterable[str]) -> bool:
    """Return whether tensors fit a family, or are near enough to one for an error of their own."""
    try:
        return bool(_find({key: tuple(tensor.shape) for key, tensor in tensors.items()}, names))
    except ValueError:
        return True
