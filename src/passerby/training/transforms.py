"""Training transforms (torchvision v2) between decoding and the network. Each step can be left out.

Images arrive resized: `passerby.data.images.resize_image` is the only function that resizes. Randomness comes from
torch's global CPU generator, which `loader` seeds for every image.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms import v2

from passerby.model.image_batches import Transform, normalization_steps

Range = tuple[float, float]
_LUMINANCE = (0.299, 0.587, 0.114)


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
        response: (probability, gamma, gain, lift, fade), or None, see `CameraResponse`.
        zoom: (probability, scale, aspect), or None, see `RandomZoom`.
    """

    size: tuple[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    flip: float = 0.0
    pad: int = 0
    erasing: tuple[float, Range, Range] | None = None
    jitter: tuple[float, float, float, float, float] | None = None
    response: tuple[float, float, float, float, float] | None = None
    zoom: tuple[float, float, float] | None = None


class RandomZoom(torch.nn.Module):
    """Enlarge or shrink the image about its center, as boxes of a detector are tight or wide. The size stays.

    Args:
        p: Probability.
        scale: Both sides are multiplied by a factor between exp(-scale) and exp(scale), its logarithm uniform.
        aspect: The height is multiplied, and the width divided, by a further factor between exp(-aspect / 2) and
            exp(aspect / 2). What lies outside a smaller image repeats its border.
    """

    def __init__(self, p: float, scale: float, aspect: float) -> None:
        super().__init__()
        self.p, self.scale, self.aspect = p, scale, aspect

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (3, H, W) uint8 to the same shape and type. Draws from torch's global CPU generator."""
        if float(torch.rand(())) >= self.p:
            return pixels
        scale, aspect = (2 * torch.rand(2) - 1).tolist()
        size = pixels.shape[1:]
        factors = (exp(self.scale * scale + sign * self.aspect * aspect / 2) for sign in (1, -1))
        target = [max(1, round(side * factor)) for side, factor in zip(size, factors, strict=True)]
        resized = functional.interpolate(pixels[None].float(), size=target, mode="bilinear", antialias=True)
        short = [max(0, side - length) for side, length in zip(size, target, strict=True)]
        above, before = (missing // 2 for missing in short)
        padded = functional.pad(resized, (before, short[1] - before, above, short[0] - above), mode="replicate")
        top, left = ((length - side) // 2 for length, side in zip(padded.shape[2:], size, strict=True))
        return padded[0, :, top : top + size[0], left : left + size[1]].round().to(torch.uint8)


class CameraResponse(torch.nn.Module):
    """Random tone curve, white balance, black level and saturation: v -> b + (1 - b) g_c v^e for values from 0 to 1.

    Args:
        p: Probability.
        gamma: The exponent e is between exp(-gamma) and exp(gamma), its logarithm uniform.
        gain: The factor g_c of each channel is between exp(-gain) and exp(gain), its logarithm uniform; cut at 1.
        lift: The black level b is between 0 and `lift`, uniform.
        fade: Before the curve, the distance to gray of the same luminance (Rec. 601) is multiplied by a factor between
            1 - fade and 1, uniform.
    """

    def __init__(self, p: float, gamma: float, gain: float, lift: float = 0.0, fade: float = 0.0) -> None:
        super().__init__()
        self.p, self.gamma, self.gain, self.lift, self.fade = p, gamma, gain, lift, fade

    def forward(self, pixels: Tensor) -> Tensor:
        """Map (3, H, W) uint8 to the same shape and type. Draws from torch's global CPU generator."""
        if float(torch.rand(())) >= self.p:
            return pixels
        drawn = 2 * torch.rand(4) - 1
        exponent, gains = (self.gamma * drawn[0]).exp(), (self.gain * drawn[1:]).exp()
        if self.fade:
            gray = (torch.tensor(_LUMINANCE) @ pixels.flatten(1).float()).reshape(1, *pixels.shape[1:])
            pixels = (gray + (pixels - gray) * (1 - self.fade * torch.rand(()))).round().to(torch.uint8)
        black = self.lift * float(torch.rand(())) if self.lift else 0.0
        values = torch.linspace(0, 1, 256) ** exponent
        tables = (
            (255 * (black + (1 - black) * (gains[:, None] * values).clamp(max=1))).round().to(torch.uint8)
        )  # (3, 256)
        return torch.stack([table[channel.long()] for table, channel in zip(tables, pixels, strict=True)])


def build_training_transform(settings: TransformSettings) -> Transform:
    """Compose flip, zoom, pad-and-crop, color jitter, camera response, normalization and random erasing, in this order.

    Returns:
        A function from (3, H, W) uint8 to (3, H, W) float32.
    """
    steps: list[torch.nn.Module] = []
    if settings.flip > 0:
        steps.append(v2.RandomHorizontalFlip(settings.flip))
    if settings.zoom is not None:
        steps.append(RandomZoom(*settings.zoom))
    if settings.pad > 0:
        steps.append(v2.RandomCrop(settings.size, padding=settings.pad))
    if settings.jitter is not None:
        p, brightness, contrast, saturation, hue = settings.jitter
        colors = v2.ColorJitter(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
        steps.append(v2.RandomApply([colors], p=p))
    if settings.response is not None:
        steps.append(CameraResponse(*settings.response))
    steps += normalization_steps(settings.mean, settings.std)
    if settings.erasing is not None:
        p, area, aspect = settings.erasing
        steps.append(v2.RandomErasing(p, scale=area, ratio=aspect, value="random", inplace=True))
    transform: Transform = v2.Compose(steps)
    return transform
