"""Training transforms (torchvision v2) between decoding and the network. Each step can be left out.

Images arrive resized: `passerby.data.images.resize_image` is the only function that resizes. Randomness comes from
torch's global CPU generator, which `loader` seeds for every image.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torchvision.transforms import v2

from passerby.model.image_batches import Transform, normalization_steps

Range = tuple[float, float]


@dataclass(frozen=True)
class TransformSettings:
    """Settings of the training transform.

    Attributes:
        size: (height, width) of the images in pixels, in and out.
        mean: Per channel, of values in 0 to 1.
        std: Per channel, of values in 0 to 1.
        flip: Probability of a horizontal flip; 0 leaves it out.
        pad: Black border in pixels that is added before a crop back to `size`; 0 leaves both out.
        erasing: (probability, range of the erased fraction of the image, range of height over width), or None. Zhong
            et al., "Random Erasing Data Augmentation" (2020). Applied after normalization, so that its random values,
            N(0, 1) for each pixel and channel, have the distribution of image values. A rectangle that does not fit is
            drawn again, at most ten times.
        jitter: (probability, brightness, contrast, saturation, hue), or None. The first three multiply by 1 +- value;
            hue rotates by +- that fraction of the color circle.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    flip: float = 0.0
    pad: int = 0
    erasing: tuple[float, Range, Range] | None = None
    jitter: tuple[float, float, float, float, float] | None = None


def build_training_transform(settings: TransformSettings) -> Transform:
    """Compose flip, pad-and-crop, color jitter, normalization and random erasing, in this order.

    Returns:
        A function from (3, H, W) uint8 to (3, H, W) float32.
    """
    steps: list[torch.nn.Module] = []
    if settings.flip > 0:
        steps.append(v2.RandomHorizontalFlip(settings.flip))
    if settings.pad > 0:
        steps.append(v2.RandomCrop(settings.size, padding=settings.pad))
    if settings.jitter is not None:
        p, brightness, contrast, saturation, hue = settings.jitter
        colors = v2.ColorJitter(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
        steps.append(v2.RandomApply([colors], p=p))
    steps += normalization_steps(settings.mean, settings.std)
    if settings.erasing is not None:
        p, area, aspect = settings.erasing
        steps.append(v2.RandomErasing(p, scale=area, ratio=aspect, value="random", inplace=True))
    transform: Transform = v2.Compose(steps)
    return transform
