"""A family of checkpoints: recognition of its networks, and the names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from passerby.text import plural

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]
"""Shape of each tensor of a checkpoint."""
Renames = tuple[tuple[str, str], ...]
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation of ImageNet's pixels, RGB, as fractions of 255."""
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class Recognition:
    """Network and preprocessing of a checkpoint, from its tensors and the toolkit's defaults.

    Attributes:
        model: Options of `model.imported.network.imported`.
        renames: Patterns of names and their replacements, applied to each name from the first to the last.
        size: (height, width) of the toolkit's test images in pixels.
        normalization: Mean and standard deviation, RGB, as fractions of 255.
        interpolation: Filter with which the toolkit resizes.
        assumed: Options of `model` that no tensor shows, with the source of their value.
        prepare: Changes tensors before they are renamed.
        unused: Pattern of further names that may be dropped, layers that this network does not use at test.
    """

    model: dict[str, Any]
    renames: Renames
    size: tuple[int, int] = (256, 128)
    normalization: tuple[tuple[float, float, float], tuple[float, float, float]] = IMAGENET
    interpolation: str = "bilinear"
    assumed: dict[str, str] = field(default_factory=dict)
    prepare: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict
    unused: str = ""

    def rename(self, name: str) -> str:
        """Return the name of a tensor in this package's network."""
        for pattern, replacement in self.renames:
            name = re.sub(pattern, replacement, name)
        return name


@dataclass(frozen=True)
class Family:
    """Checkpoints of one toolkit that share names of tensors.

    Attributes:
        title: Name of the toolkit in messages.
        networks: Its networks that can be imported, for messages.
        recognize: From shapes to a network; None for tensors of another family.
        dropped: Pattern of the names that may be dropped: classifiers, and layers that only training uses.
        embedding: What the toolkit embeds at test, for messages and docs.
    """

    title: str
    networks: str
    recognize: Callable[[Shapes], Recognition | None]
    dropped: str
    embedding: str

    def is_dropped(self, name: str) -> bool:
        """Return whether a tensor may be dropped."""
        return re.fullmatch(self.dropped, name) is not None


MAX_BLOCKS = 64
"""Most blocks of a stage; no network of the families has more than 36."""


def count_numbers(shapes: Shapes, pattern: str) -> int:
    """Count the blocks of a stage, which the pattern's group at the beginning of the names numbers from 0.

    Raises:
        ValueError: If a number is missing or there are more than `MAX_BLOCKS`.

    Example:
        >>> count_numbers({"blocks.0.a": (), "blocks.1.a": ()}, r"blocks[.]([0-9]+)[.]")
        2
        >>> count_numbers({"blocks.0.a": (), "blocks.999999999.a": ()}, r"blocks[.]([0-9]+)[.]")
        Traceback (most recent call last):
        ValueError: the number of a block is 999999999 in blocks.999999999.a, expected 0 to 1 for its 2 blocks
    """
    names = {match[1]: name for name in shapes if (match := re.match(pattern, name))}
    if len(names) > MAX_BLOCKS:
        raise ValueError(f"{len(names)} blocks as that of {next(iter(names.values()))}, expected at most {MAX_BLOCKS}")
    known = {str(number) for number in range(len(names))}
    for number, name in names.items():
        if number not in known:
            raise ValueError(
                f"the number of a block is {number[:20]} in {name[:80]}, expected 0 to {len(names) - 1} for its "
                f"{plural(len(names), 'block')}"
            )
    return len(names)


def count_blocks(shapes: Shapes, prefix: str) -> tuple[int, ...]:
    """Count the residual blocks of the stages `{prefix}layer1` to `{prefix}layer4`, each as `count_numbers`."""
    return tuple(count_numbers(shapes, rf"{re.escape(prefix)}layer{stage}\.(\d+)\.") for stage in (1, 2, 3, 4))


RESNETS: dict[tuple[int, ...], str] = {
    (2, 2, 2, 2): "resnet18",
    (3, 4, 6, 3): "resnet50",
    (3, 4, 23, 3): "resnet101",
    (3, 8, 36, 3): "resnet152",
}
"""timm's names by blocks of each stage; ResNet-34 has the blocks of ResNet-50, of another kind."""


def name_resnet(shapes: Shapes, prefix: str) -> str | None:
    """Return timm's name of the ResNet whose tensors begin with `prefix`; None if there is none."""
    if shapes.get(f"{prefix}conv1.weight") != (64, 3, 7, 7):
        return None
    name = RESNETS.get(count_blocks(shapes, prefix))
    if name == "resnet50" and f"{prefix}layer1.0.conv3.weight" not in shapes:
        return "resnet34"
    return name


def has_ibn(shapes: Shapes, prefix: str) -> bool:
    """Return whether the blocks of a ResNet have instance norms (IBN-a)."""
    return f"{prefix}layer1.0.bn1.IN.weight" in shapes


IBN_RENAMES = ((r"\.bn1\.IN\.", ".bn1.instance."), (r"\.bn1\.BN\.", ".bn1.batch."))
"""From the names of IBN-Net's authors to those of `InstanceBatchNorm`."""
