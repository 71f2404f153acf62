"""Rendered people with their joints and parts, as batches for the training of the body estimator.

B batch   H W image height and width   K key points
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from passerby.model.body_estimator import BODY_PARTS, KEY_POINTS
from passerby.synthesis.dataset import SynthSettings, render_image
from passerby.synthesis.photograph import Photograph
from passerby.synthesis.solids import PARTS

LABELS = {"legs": "lower", "occluder": "background", "passer-by": "background"}
"""Part of the renderer -> part of the estimator, where the names differ."""
_LABEL = np.array([BODY_PARTS.index(LABELS.get(name, name)) for name in PARTS], dtype=np.uint8)
_MIRRORED = [
    KEY_POINTS.index(name.replace("right", "LEFT").replace("left", "right").replace("LEFT", "left"))
    for name in KEY_POINTS
]


@dataclass
class Examples:
    """B examples.

    Attributes:
        pixels: (B, 3, H, W) uint8.
        labels: (B, H, W) index into `BODY_PARTS`.
        points: (B, K, 2) column and row as fractions of width and height.
        visible: (B, K) whether a key point is in the image and not hidden.
    """

    pixels: Tensor
    labels: Tensor
    points: Tensor
    visible: Tensor

    def __len__(self) -> int:
        return len(self.pixels)


def stack(photographs: list[Photograph]) -> Examples:
    """Stack photographs of one size."""
    return Examples(
        torch.from_numpy(np.stack([photo.pixels for photo in photographs])).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(np.stack([_LABEL[photo.mask] for photo in photographs])).long(),
        torch.from_numpy(np.stack([photo.joints for photo in photographs])).float(),
        torch.from_numpy(np.stack([photo.visible for photo in photographs])),
    )


class RenderedPeople:
    """Batches of rendered people, an eighth of each new and the rest drawn from the `kept` newest ones, augmented.

    Args:
        settings: People and cameras.
        batch: Examples per batch, 8 or more.
        kept: Photographs that are used again.
    """

    def __init__(self, settings: SynthSettings, *, batch: int, kept: int = 4096) -> None:
        self.settings, self.batch, self.kept = settings, batch, kept
        self.rng = np.random.default_rng([settings.seed, 1])
        self.pool: list[Photograph] = []
        self.drawn = 0

    def draw(self) -> Examples:
        """Return the next batch."""
        new = [self._render() for _ in range(self.batch // 8 if self.pool else self.batch)]
        old = [self.pool[self.rng.integers(len(self.pool))] for _ in range(self.batch - len(new))]
        self.pool = (self.pool + new)[-self.kept :]
        examples = stack(new + old)
        augment(examples, self.rng)
        return examples

    def _render(self) -> Photograph:
        person, camera = (int(self.rng.integers(count)) for count in (self.settings.identities, self.settings.cameras))
        self.drawn += 1
        return render_image(self.settings, person, camera, self.drawn)


def augment(examples: Examples, rng: np.random.Generator) -> None:
    """Mirror half of the examples, erase a rectangle of a third, remove colors of a tenth, and change contrast."""
    for i in range(len(examples)):
        if rng.random() < 0.5:
            examples.pixels[i] = examples.pixels[i].flip(-1)
            examples.labels[i] = examples.labels[i].flip(-1)
            points = examples.points[i][_MIRRORED]
            points[:, 0] = 1 - points[:, 0]
            examples.points[i], examples.visible[i] = points, examples.visible[i][_MIRRORED]
        if rng.random() < 0.1:
            examples.pixels[i] = examples.pixels[i].float().mean(dim=0).to(torch.uint8)
        gamma = np.exp(rng.normal(0, 0.25))
        table: NDArray[np.uint8] = np.rint(255 * np.linspace(0, 1, 256) ** gamma).astype(np.uint8)
        examples.pixels[i] = torch.from_numpy(table)[examples.pixels[i].long()]
        if rng.random() < 1 / 3:
            _erase(examples, i, rng)


def _erase(examples: Examples, i: int, rng: np.random.Generator) -> None:
    """Hide a rectangle of an example behind one color or noise."""
    height, width = examples.pixels.shape[2:]
    tall, wide = (int(side * rng.uniform(0.15, 0.6)) for side in (height, width))
    top, left = int(rng.integers(height - tall + 1)), int(rng.integers(width - wide + 1))
    colors = rng.integers(0, 256, (3, 1, 1) if rng.random() < 0.5 else (3, tall, wide), dtype=np.uint8)
    examples.pixels[i, :, top : top + tall, left : left + wide] = torch.from_numpy(colors)
    examples.labels[i, top : top + tall, left : left + wide] = 0
    x, y = examples.points[i, :, 0] * width, examples.points[i, :, 1] * height
    covered = (x >= left) & (x < left + wide) & (y >= top) & (y < top + tall)
    examples.visible[i] &= ~covered
