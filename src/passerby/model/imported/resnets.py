"""ResNets of other toolkits: timm's, with what these toolkits changed in them.

IBN-a: Pan et al., "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net" (ECCV 2018).
Non-local blocks: Wang et al., "Non-local Neural Networks" (CVPR 2018), with one inner channel, as FastReID has them.

    B batch   C channels   H W map height and width
"""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

NON_LOCAL = {"resnet50": (0, 2, 3, 0), "resnet101": (0, 2, 9, 0)}
"""Number of non-local blocks in each stage, one after each of its last residual blocks."""


class InstanceBatchNorm(nn.Module):
    """Instance norm of the first half of the channels, batch norm of the others (IBN-a)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.split = channels // 2
        self.instance = nn.InstanceNorm2d(self.split, affine=True)
        self.batch = nn.BatchNorm2d(channels - self.split)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        first, second = features[:, : self.split], features[:, self.split :]
        return torch.cat((self.instance(first), self.batch(second)), dim=1)


class NonLocal(nn.Module):
    """Add to each position a weighted sum over all positions; weights are products of two projections, over H W."""

    def __init__(self, channels: int, *, inner: int = 1) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, inner, 1)
        self.key = nn.Conv2d(channels, inner, 1)
        self.value = nn.Conv2d(channels, inner, 1)
        self.out = nn.Sequential(nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        height, width = features.shape[2:]
        query, key, value = (layer(features).flatten(2) for layer in (self.query, self.key, self.value))  # (B, 1, H W)
        weights = query.transpose(1, 2) @ key / (height * width)  # (B, H W, H W)
        summed = (weights @ value.transpose(1, 2)).transpose(1, 2).unflatten(2, (height, width))  # (B, 1, H, W)
        added: Tensor = self.out(summed)
        return features + added


class NonLocalBlock(nn.Module):
    """A residual block followed by a non-local block."""

    def __init__(self, block: nn.Module, channels: int) -> None:
        super().__init__()
        self.block = block
        self.non_local = NonLocal(channels)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C_in, H, W) -> (B, C, H', W')."""
        changed: Tensor = self.non_local(self.block(features))
        return changed


def fastreid_resnet(name: str, *, ibn: bool, non_local: bool) -> Any:
    """Build FastReID's ResNet: pooling after the stem without padding, its last window incomplete where sides are odd.

    Args:
        name: timm's name; with non-local blocks a key of `NON_LOCAL`.
        ibn: Use `InstanceBatchNorm` after the first convolution of each block of stages 1 to 3.
        non_local: Add non-local blocks to stages 2 and 3.
    """
    net: Any = timm.create_model(name, num_classes=0, global_pool="")
    net.maxpool = nn.MaxPool2d(3, stride=2, ceil_mode=True)
    if ibn:
        normalize_instances(net)
    for stage, count in enumerate(NON_LOCAL[name] if non_local else (), start=1):
        blocks = getattr(net, f"layer{stage}")
        for number in range(len(blocks) - count, len(blocks)):
            blocks[number] = NonLocalBlock(blocks[number], blocks[number].bn3.num_features)
    return net


def baseline_resnet(name: str, *, ibn: bool) -> Any:
    """Build the strong baseline's ResNet: without IBN, no ReLU between the stem's batch norm and its pooling."""
    net: Any = timm.create_model(name, num_classes=0, global_pool="")
    if ibn:
        normalize_instances(net)
    else:
        net.act1 = nn.Identity()
    return net


def plain_resnet(name: str, *, ibn: bool) -> Any:
    """Build a ResNet as torchvision has it, or with IBN-a as its authors have it."""
    net: Any = timm.create_model(name, num_classes=0, global_pool="")
    if ibn:
        normalize_instances(net)
    return net


def normalize_instances(net: Any) -> None:
    """Replace the first norm of each block of stages 1 to 3 by `InstanceBatchNorm`."""
    for block in (*net.layer1, *net.layer2, *net.layer3):
        block.bn1 = InstanceBatchNorm(block.bn1.num_features)
