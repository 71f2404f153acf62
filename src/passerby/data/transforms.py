"""What happens to an image between decoding and the network: torchvision v2 transforms, each of which can be left out.

Images arrive resized (`images.resize_image` is the one place that resizes). Randomness comes from torch's global CPU
generator, as torchvision has it; `loading` seeds that for every image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms import v2

Range = tuple[float, float]
Transform = Callable[[Tensor], Tensor]


def training_transform(
    *,
    size: tuple[int, int],
    flip: float,
    pad: int,
    erasing: tuple[float, Range, Range] | None,
    jitter: tuple[float, float, float, float, float] | None,
    mean: tuple[float, float, float],
    std: tuple[float, float, float],
) -> Transform:
    """Flip, pad-and-crop, color jitter, normalization, random erasing, in this order.

    Args:
        size: (height, width) of the images, in and out.
        flip: Probability of a horizontal flip; 0 leaves it out.
        pad: Black border in pixels that is added before a crop back to `size`; 0 leaves both out.
        erasing: (probability, range of the erased share of the image, range of height over width). Zhong et al.,
            "Random Erasing Data Augmentation" (2020). Comes after normalization, so that its random values, N(0, 1)
            for each pixel and channel, have the distribution of image values. A rectangle that does not fit is drawn
            again, at most ten times. None leaves it out.
        jitter: (probability, brightness, contrast, saturation, hue); the first three multiply by 1 +- value, hue turns
            by +- that share of the color circle. None leaves it out.
        mean: Per channel, of values in 0..1.
        std: Per channel, of values in 0..1.

    Returns:
        A function from (3, H, W) uint8 to (3, H, W) float32.
    """
    steps: list[torch.nn.Module] = []
    if flip > 0:
        steps.append(v2.RandomHorizontalFlip(flip))
    if pad > 0:
        steps.append(v2.RandomCrop(size, padding=pad))
    if jitter is not None:
        p, brightness, contrast, saturation, hue = jitter
        colors = v2.ColorJitter(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
        steps.append(v2.RandomApply([colors], p=p))
    steps += _normalization(mean, std)
    if erasing is not None:
        p, area, aspect = erasing
        steps.append(v2.RandomErasing(p, scale=area, ratio=aspect, value="random", inplace=True))
    return _compose(steps)


def evaluation_transform(*, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Transform:
    """Normalization alone: (..., 3, H, W) uint8 to float32."""
    return _compose(_normalization(mean, std))


def _normalization(mean: tuple[float, float, float], std: tuple[float, float, float]) -> list[torch.nn.Module]:
    return [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std, inplace=True)]


def _compose(steps: list[torch.nn.Module]) -> Transform:
    transform: Transform = v2.Compose(steps)
    return transform
