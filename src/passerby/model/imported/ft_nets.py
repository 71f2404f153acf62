"""Backbones of layumi's `ft_net` relatives: timm's networks, with what that toolkit leaves out or pads otherwise.

ResNet-50, HRNet-W18 and Swin-B are timm's own.
"""

from __future__ import annotations

from typing import Any

import timm
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import RecipeError
from passerby.model.backbone import Backbone
from passerby.model.depthwise import replace_depthwise_convolutions

SWINV2_SIZE = (256, 128)
"""(height, width) of the images of `layumi_swinv2_base`, in pixels; the windows of its last stage depend on it."""
_TRAINED_SIZE = 380
"""Side of the images for which EfficientNet-B4's padding is computed, whatever the images are."""


class PaddedConv2d(nn.Conv2d):
    """A convolution with zeros at each side: `pads` is left, right, top, bottom."""

    pads: tuple[int, int, int, int]

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H', W')."""
        padded = F.pad(features, self.pads)
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class FixedSizeBackbone(Backbone):
    """A Swin-V2 for images of `SWINV2_SIZE`."""

    def require_size(self, size: tuple[int, int]) -> None:
        """Raise RecipeError for another image size than `SWINV2_SIZE`."""
        if tuple(size) != SWINV2_SIZE:
            raise RecipeError(
                f"images.size: {list(size)} does not fit the network's windows; set images.size={list(SWINV2_SIZE)}"
            )


def layumi_densenet121() -> Any:
    """Build DenseNet-121 without the ReLU after its last norm, as torchvision's `features` are."""
    net: Any = timm.create_model("densenet121", num_classes=0, global_pool="")
    net.features.norm5.act = nn.Identity()
    return net


def layumi_convnext_base() -> Any:
    """Build ConvNeXt-B without its head, to which timm counts the last norm."""
    net: Any = timm.create_model("convnext_base", num_classes=0, global_pool="")
    net.head = nn.Identity()
    replace_depthwise_convolutions(net)
    return net


def layumi_swinv2_base() -> Any:
    """Build Swin-V2-B with windows of 8 x 8 for images of `SWINV2_SIZE`; those of the last stage are 8 x 4."""
    return timm.create_model("swinv2_base_window8_256", img_size=SWINV2_SIZE, num_classes=0, global_pool="")


def layumi_efficientnet_b4() -> Any:
    """Build EfficientNet-B4 with the padding of the package efficientnet-pytorch, that of images of 380 x 380."""
    net: Any = timm.create_model("tf_efficientnet_b4", num_classes=0, global_pool="")
    side = _TRAINED_SIZE
    convolutions: list[Any] = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    for conv in convolutions:
        (kernel, _), (stride, _) = conv.kernel_size, conv.stride
        if stride > 1:
            after = -(-side // stride)
            total = max((after - 1) * stride + kernel - side, 0)
            conv.__class__ = PaddedConv2d  # the same tensors, another padding
            conv.pads = (total // 2, total - total // 2) * 2
            side = after
    return net
