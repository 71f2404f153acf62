"""OSNet: a small backbone whose blocks combine several scales, with weights computed for each image.

Zhou et al., "Omni-Scale Feature Learning for Person Re-Identification" (ICCV 2019): figures 3 and 4, table 1.
Variants with instance norm: Zhou et al., "Learning Generalisable Omni-Scale Representations for Person
Re-Identification" (TPAMI 2021).

    B batch   C channels   H W map height and width   T streams of a block
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Style = Literal["none", "inside", "after"]
"""Place of a block's instance norm: in the residual branch instead of its last batch norm, or after the sum."""

WIDTHS = {"osnet_x1_0": 1.0, "osnet_x0_75": 0.75, "osnet_x0_5": 0.5, "osnet_x0_25": 0.25}
"""Widths in the paper: factors on all numbers of channels."""
STYLES: dict[str, tuple[Style, ...]] = {
    "osnet": ("none",) * 6,
    "osnet_ibn": ("after",) * 2 + ("none",) * 4,
    "osnet_ain": ("inside", "inside", "none", "inside", "inside", "none"),
}
"""Instance norms of the six blocks; a network that has any has one in its stem, too."""
VARIANTS: dict[str, tuple[float, tuple[Style, ...]]] = {
    name.replace("osnet", kind): (width, styles) for kind, styles in STYLES.items() for name, width in WIDTHS.items()
}
"""Width and instance norms by name, such as `osnet_ain_x1_0`."""
CHANNELS = (64, 256, 384, 512)
"""Channels after the stem and after each stage, at width 1."""
STREAMS = 4
REDUCTION = {"block": 4, "gate": 16}
"""Factors by which a block's bottleneck and the gate's hidden layer are narrower than their inputs."""


def conv(
    inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, linear: bool = False, instance_norm: bool = False
) -> nn.Sequential:
    """Build a convolution with batch norm, or instance norm, followed by ReLU unless `linear`."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.InstanceNorm2d(outputs, affine=True) if instance_norm else nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, *([] if linear else [nn.ReLU(inplace=True)]))


def lite_conv(channels: int) -> nn.Sequential:
    """Build a Lite 3 x 3: a pointwise and a depthwise convolution, then one batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


class Gate(nn.Module):
    """Aggregation gate G: multiply every channel of a stream by a weight from the stream's average (equation 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(1, channels // REDUCTION["gate"])
        self.mlp = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels), nn.Sigmoid()
        )

    def forward(self, stream: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        weights: Tensor = self.mlp(stream.mean(dim=(2, 3)))  # (B, C)
        return stream * weights[:, :, None, None]


class OmniScaleBlock(nn.Module):
    """Residual block: stream t has t Lite 3 x 3 and a receptive field of 2 t + 1; all streams share one gate."""

    def __init__(self, inputs: int, outputs: int, *, style: Style = "none") -> None:
        super().__init__()
        middle = outputs // REDUCTION["block"]
        self.reduce = conv(inputs, middle)
        self.streams = nn.ModuleList(
            nn.Sequential(*(lite_conv(middle) for _ in range(depth))) for depth in range(1, STREAMS + 1)
        )
        self.gate = Gate(middle)
        self.expand = conv(middle, outputs, linear=True, instance_norm=style == "inside")
        self.shortcut = nn.Identity() if inputs == outputs else conv(inputs, outputs, linear=True)
        self.style = nn.InstanceNorm2d(outputs, affine=True) if style == "after" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C_out, H, W)."""
        reduced = self.reduce(x)
        omni = torch.stack([self.gate(stream(reduced)) for stream in self.streams]).sum(dim=0)  # T maps -> one
        return torch.relu(self.style(self.expand(omni) + self.shortcut(x)))


class OSNet(nn.Module):
    """OSNet up to its last map; the paper's 512-d layer after the global pooling belongs to the head.

    Args:
        width: Factor on all numbers of channels.
        styles: Instance norms of the six blocks.

    Attributes:
        channels: C of the map.
    """

    def __init__(self, width: float, *, styles: tuple[Style, ...] = STYLES["osnet"]) -> None:
        super().__init__()
        stem, first, second, third = (int(channels * width) for channels in CHANNELS)
        self.channels = third
        stem_norm = any(style != "none" for style in styles)
        self.stem = nn.Sequential(
            conv(3, stem, kernel=7, stride=2, instance_norm=stem_norm), nn.MaxPool2d(3, stride=2, padding=1)
        )
        self.stages = nn.Sequential(
            nn.Sequential(*_blocks(stem, first, styles[0:2]), _transition(first)),
            nn.Sequential(*_blocks(first, second, styles[2:4]), _transition(second)),
            nn.Sequential(*_blocks(second, third, styles[4:6]), conv(third, third)),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward_features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, H / 16, W / 16)."""
        features: Tensor = self.stages(self.stem(images))
        return features


def _blocks(inputs: int, outputs: int, styles: tuple[Style, ...]) -> list[OmniScaleBlock]:
    """Build the two blocks of a stage."""
    first, second = styles
    return [OmniScaleBlock(inputs, outputs, style=first), OmniScaleBlock(outputs, outputs, style=second)]


def _transition(channels: int) -> nn.Sequential:
    """Build the layers between stages: a 1 x 1 convolution, then half the resolution."""
    return nn.Sequential(conv(channels, channels), nn.AvgPool2d(2, stride=2))
