"""MobileNetV2 as Torchreid has it: its first block also has the expansion layer, which timm's leaves out.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (CVPR 2018), table 2.

    B batch   C channels   H W map height and width
"""

from __future__ import annotations

from torch import Tensor, nn

MOBILENETS = {"mobilenetv2_x1_0": 1.0, "mobilenetv2_x1_4": 1.4}
"""Factors on all numbers of channels, rounded down."""
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of each stage."""


def conv6(inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Build a convolution with batch norm and ReLU6."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=True),
    )


class InvertedResidual(nn.Module):
    """Expansion, depthwise 3 x 3, linear projection; added to the input where shapes are equal."""

    def __init__(self, inputs: int, outputs: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.layers = nn.Sequential(
            conv6(inputs, middle),
            conv6(middle, middle, kernel=3, stride=stride, groups=middle),
            nn.Sequential(nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs)),
        )
        self.added = stride == 1 and inputs == outputs

    def forward(self, features: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, H', W')."""
        changed: Tensor = self.layers(features)
        return features + changed if self.added else changed


class MobileNetV2(nn.Module):
    """MobileNetV2 up to its last map, of `num_features` channels at stride 32.

    Args:
        width: Factor on all numbers of channels.
    """

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = int(32 * width)
        self.num_features = int(1280 * max(width, 1))
        self.stem = conv6(3, channels, kernel=3, stride=2)
        stages: list[nn.Module] = []
        for expansion, size, blocks, stride in STAGES:
            outputs = int(size * width)
            inputs = [channels] + [outputs] * (blocks - 1)
            stages.append(
                nn.Sequential(
                    *(
                        InvertedResidual(before, outputs, expansion=expansion, stride=stride if number == 0 else 1)
                        for number, before in enumerate(inputs)
                    )
                )
            )
            channels = outputs
        self.stages = nn.Sequential(*stages)
        self.last = conv6(channels, self.num_features)

    def forward_features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, H / 32, W / 32)."""
        features: Tensor = self.last(self.stages(self.stem(images)))
        return features
