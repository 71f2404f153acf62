"""DG-Net's networks that only its training needs: structure encoder, generator and discriminator.

Zheng et al., "Joint Discriminative and Generative Learning for Person Re-identification" (CVPR 2019), supplementary
material; widths and depths are those of the authors' code, where `width` is 16.

    B batch   C channels of the appearance code   H W image height and width, multiples of 4   F 8 times the width
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CODES = 4
"""Stripes of the appearance code, one for each residual block of the generator."""
SCALES = 3
"""Image sizes that the discriminator judges, each half of the one before."""
RATES = (3, 6, 9)
"""Dilations of the structure encoder's last layer."""


def conv(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    """Build a convolution that keeps the size (at stride 1); reflected borders, or zeros where it is dilated."""
    mode: Literal["reflect", "zeros"] = "reflect" if dilation == 1 and kernel > 1 else "zeros"
    layer = nn.Conv2d(
        inputs, outputs, kernel, stride=stride, padding=dilation * (kernel // 2), dilation=dilation, padding_mode=mode
    )
    nn.init.kaiming_normal_(layer.weight)
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer


def normalized_conv(inputs: int, outputs: int, *, act: bool = True, **options: int) -> nn.Sequential:
    """Build a convolution with instance norm, and leaky ReLU if `act`."""
    layers = [conv(inputs, outputs, **options), nn.InstanceNorm2d(outputs)]
    return nn.Sequential(*layers, *([nn.LeakyReLU(0.2)] if act else []))


class ResidualBlock(nn.Module):
    """Add two 3 x 3 convolutions to the map; `norm` follows each of them, and leaky ReLU the first."""

    def __init__(self, channels: int, norms: tuple[nn.Module, nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(channels, channels), norms[0], nn.LeakyReLU(0.2), conv(channels, channels), norms[1]
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        update: Tensor = self.layers(features)
        return features + update


class StructureEncoder(nn.Module):
    """From a gray image to the structure code: convolutions, residual blocks, and dilated convolutions side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        narrow, wide = 2 * width, 4 * width
        self.layers = nn.Sequential(
            normalized_conv(1, width, stride=2),
            normalized_conv(width, narrow),
            normalized_conv(narrow, narrow),
            normalized_conv(narrow, wide, stride=2),
            *(ResidualBlock(wide, (nn.InstanceNorm2d(wide), nn.InstanceNorm2d(wide))) for _ in range(4)),
        )
        near = normalized_conv(wide, narrow, act=False, kernel=1)
        dilated = (
            nn.Sequential(
                normalized_conv(wide, narrow, kernel=1), normalized_conv(narrow, narrow, act=False, dilation=rate)
            )
            for rate in RATES
        )
        self.contexts = nn.ModuleList([near, *dilated])
        self.fuse = normalized_conv(4 * narrow, 2 * wide, act=False, kernel=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalized -> (B, F, H / 4, W / 4); the mean of the channels is used."""
        features = self.layers(images.mean(dim=1, keepdim=True))
        code: Tensor = self.fuse(torch.cat([context(features) for context in self.contexts], dim=1))
        return code


class AdaptiveBlock(nn.Module):
    """Residual block whose two instance norms have the scales and shifts that the appearance of each image gives."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(conv(channels, channels) for _ in range(2))

    def forward(self, features: Tensor, scales: Tensor, shifts: Tensor) -> Tensor:
        """(B, C, H, W), (B, 2, C), (B, 2, C) -> (B, C, H, W)."""
        update = features
        for number, convolution in enumerate(self.convolutions):
            scale, shift = scales[:, number, :, None, None], shifts[:, number, :, None, None]
            update = F.instance_norm(convolution(update)) * scale + shift
            update = F.leaky_relu(update, 0.2) if number == 0 else update
        return features + update


class Generator(nn.Module):
    """From a structure code and an appearance code to an image.

    Block k of four is normalized by the scales and shifts that two small networks compute from code k.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        code, hidden = 8 * width, 32 * width
        self.blocks = nn.ModuleList(AdaptiveBlock(code) for _ in range(CODES))
        self.scales, self.shifts = (
            nn.ModuleList(_perceptron(channels, hidden, 2 * code) for _ in range(CODES)) for _ in range(2)
        )
        self.image = nn.Sequential(
            *_upsample(code, code // 2),
            *_upsample(code // 2, code // 4),
            conv(code // 4, code // 4),
            nn.LeakyReLU(0.2),
            conv(code // 4, code // 4),
            nn.LeakyReLU(0.2),
            conv(code // 4, 3, kernel=1),
        )

    def forward(self, structure: Tensor, appearance: Tensor) -> Tensor:
        """(B, F, H / 4, W / 4), (B, CODES, C) -> (B, 3, H, W) normalized."""
        features = structure
        for number, block in enumerate(self.blocks):
            code = appearance[:, number]  # (B, C)
            scales, shifts = (part[number](code).unflatten(1, (2, -1)) for part in (self.scales, self.shifts))
            features = block(features, scales, shifts)
        images: Tensor = self.image(features)
        return images


class Discriminator(nn.Module):
    """Judge patches of an image at several sizes: 1 for real, 0 for generated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(_judge(2 * width) for _ in range(SCALES))
        self.shrink = nn.AvgPool2d(3, stride=2, padding=1, count_include_pad=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, 3, H, W) -> for each size (B, 1, h, w)."""
        judged = []
        for judge in self.scales:
            judged.append(judge(images))
            images = self.shrink(images)
        return judged


def _judge(width: int) -> nn.Sequential:
    widths = (
        (3, width, 1, 1),
        (width, width, 3, 1),
        (width, width, 3, 2),
        (width, width, 3, 1),
        (width, 2 * width, 3, 2),
    )
    layers: list[nn.Module] = []
    for inputs, outputs, kernel, stride in widths:
        layers += [conv(inputs, outputs, kernel=kernel, stride=stride), nn.LeakyReLU(0.2)]
    layers += [ResidualBlock(2 * width, (nn.Identity(), nn.Identity())) for _ in range(4)]
    layers.append(conv(2 * width, 1, kernel=1))
    for layer in layers:
        for module in layer.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.02)
    return nn.Sequential(*layers)


def _upsample(inputs: int, outputs: int) -> list[nn.Module]:
    """Build layers that double the size; the norm is over all values of an image."""
    return [nn.Upsample(scale_factor=2), conv(inputs, outputs, kernel=5), nn.GroupNorm(1, outputs), nn.LeakyReLU(0.2)]


def _perceptron(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, outputs),
    )
