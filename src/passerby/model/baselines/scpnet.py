"""SCPNet: one group of channels of the whole map for each stripe of the body, trained to equal that stripe's vector.

Fan et al., "SCPNet: Spatial-Channel Parallelism Network for Joint Holistic and Partial Person Re-Identification"
(ACCV 2018). The stripes are needed in training only. Their stop-gradient is that of the re-implementation Open-SCPNet.

    B batch   C channels   H W map height and width   P parts (stripes, and groups of channels)
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.model.backbone import build_backbone
from passerby.model.checks import require
from passerby.model.convnext_ap import EmbeddingKind, ReID
from passerby.model.parts import Stripes
from passerby.model.weights import find_weights_file


class ChannelGroups(nn.Module):
    """For each part, a 1 x 1 convolution and a batch norm of the whole map, then its average.

    Args:
        channels: C, of the map and of each group.
        parts: P.
        spatial_weight: Weight of the spatial-channel loss.
    """

    def __init__(self, channels: int, *, parts: int, spatial_weight: float) -> None:
        super().__init__()
        self.groups = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, kernel_size=1), nn.BatchNorm2d(channels)) for _ in range(parts)
        )
        self.stripes = Stripes(parts)
        self.spatial_weight = spatial_weight
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and module.bias is not None:
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, P, C)."""
        return torch.stack([group(features).mean(dim=(2, 3)) for group in self.groups], dim=1)

    def own_loss(self, features: Tensor, parts: Tensor) -> Tensor:
        """Compute the weighted spatial-channel loss.

        Args:
            features: (B, C, H, W).
            parts: (B, P, C), the output for them.

        Returns:
            Scalar: for each part the mean square of its difference from the stripe, summed over the parts. Gradients
            reach the groups, not the stripes.
        """
        stripes = self.stripes(features).detach()  # (B, P, C)
        return self.spatial_weight * len(self.groups) * F.mse_loss(parts.float(), stripes.float())


def scpnet(
    backbone: str = "resnet50",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    channel_parts: int = 4,
    spatial_weight: float = 10.0,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 2,
    drop_path: float = 0.0,
) -> ReID:
    """Build SCPNet: P vectors of the whole map, each as wide as the map and with a classifier.

    Metric losses compare each vector separately.

    Args:
        backbone: As for `convnext_ap`, without attention.
        identities: Training identities; 0 leaves the classifiers out.
        pretrained: As for `convnext_ap`.
        weights: As for `convnext_ap`, of the backbone only.
        channel_parts: P, 1 or more; 4 in Open-SCPNet.
        spatial_weight: Weight of the spatial-channel loss, 0 or more; 10 in Open-SCPNet.
        embedding: `reduced` and `full` are the same P x C here, as nothing is reduced.
        last_stride: 2 in Open-SCPNet, a public re-implementation; 1 keeps the last stage's map at stride 16.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit.

    Example:
        >>> scpnet("resnet18").embedding_width
        2048
    """
    require(channel_parts >= 1, "channel_parts", channel_parts, "1 or more")
    require(spatial_weight >= 0, "spatial_weight", spatial_weight, "0 or more")
    net = build_backbone(
        backbone,
        pretrained=pretrained,
        weights=find_weights_file(weights),
        attention=False,
        last_stride=last_stride,
        drop_path=drop_path,
    )
    return ReID(
        net,
        identities=identities,
        pooling=ChannelGroups(net.channels, parts=channel_parts, spatial_weight=spatial_weight),
        part_widths=(net.channels,) * channel_parts,
        embedding=embedding,
        branches=True,
        reduced_by_pooling=True,
    )
