"""MHN: streams of the map, each under an attention of another order, kept different by an adversary.

Chen et al., "Mixed High-Order Attention Network for Person Re-Identification" (ICCV 2019). Equations, places and widths
are those of the authors' code on PCB with three stripes. There the adversary's weights stay at their initial values, as
no optimizer holds them; here they are trained, as in the paper.

    B batch   C channels   H W map height and width   R orders, one stream each   P stripes   D width of a vector
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.model.backbone import build_backbone
from passerby.model.baselines.insertion import (
    append_to_last_stage,
    insert_after_stage,
    move_norm_into_last_stage,
    stage_channels,
)
from passerby.model.checks import require
from passerby.model.convnext_ap import EmbeddingKind, ReID
from passerby.model.full_precision import full_precision
from passerby.model.parts import Stripes
from passerby.model.weights import find_weights_file

STAGE = 2
"""Stage of the backbone whose map the attentions weigh."""
LENGTH = 20.0
"""Length of the vectors that the classifiers take."""
ADVERSARY = 128
"""Width of the adversary's layers."""


class HighOrderAttention(nn.Module):
    """Weigh the map by a polynomial of its values, of order r.

    With 1 x 1 convolutions to C / 4 channels (the factors f) and back (g), without biases:

        attention = 1/r sum over j from 1 to r of sigmoid(g_j(relu(f_j1(x) * ... * f_jj(x)))),   output = x * attention

    Args:
        channels: C.
        order: r.
    """

    def __init__(self, channels: int, order: int) -> None:
        super().__init__()
        self.order, width = order, max(1, channels // 4)
        self.factors = nn.Conv2d(channels, width * order * (order + 1) // 2, kernel_size=1, bias=False)
        self.expand = nn.ModuleList(nn.Conv2d(width, channels, kernel_size=1, bias=False) for _ in range(order))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        factors = iter(self.factors(features).chunk(self.order * (self.order + 1) // 2, dim=1))  # each (B, C / 4, H, W)
        attention = torch.zeros_like(features)
        for degree, expand in enumerate(self.expand, start=1):
            product = next(factors)
            for _ in range(degree - 1):
                product = product * next(factors)
            attention = attention + expand(product.relu()).sigmoid()
        return features * attention / self.order


class MixedAttention(nn.Module):
    """Attentions of orders 1 to R, one stream for each; later layers see the streams as a batch of R B images."""

    def __init__(self, channels: int, orders: int) -> None:
        super().__init__()
        self.attentions = nn.ModuleList(HighOrderAttention(channels, order) for order in range(1, orders + 1))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (R B, C, H, W), order by order."""
        return torch.cat([attention(features) for attention in self.attentions])


class JoinStreams(nn.Module):
    """Turn the batch of streams back into images: (R B, C, H, W) -> (B, R C, H, W)."""

    def __init__(self, orders: int) -> None:
        super().__init__()
        self.orders = orders

    def forward(self, features: Tensor) -> Tensor:
        """(R B, C, H, W) -> (B, R C, H, W)."""
        streams: Tensor = features.unflatten(0, (self.orders, -1))  # (R, B, C, H, W)
        return streams.transpose(0, 1).flatten(1, 2)


class StreamStripes(nn.Module):
    """Stripes of every stream, reduced by a layer that the streams of a stripe share, and scaled to `LENGTH`.

    Args:
        channels: C of a stream.
        orders: R.
        stripes: P.
        width: D.
        diversity_weight: Weight of the adversarial loss.
    """

    def __init__(self, channels: int, *, orders: int, stripes: int, width: int, diversity_weight: float) -> None:
        super().__init__()
        self.orders, self.diversity_weight = orders, diversity_weight
        self.stripes = Stripes(stripes)
        self.reduce = nn.ModuleList(
            nn.Sequential(nn.Linear(channels, width), nn.BatchNorm1d(width)) for _ in range(stripes)
        )
        self.adversary = nn.Sequential(
            nn.Linear(width, ADVERSARY, bias=False),
            nn.BatchNorm1d(ADVERSARY),
            nn.ReLU(),
            nn.Linear(ADVERSARY, ADVERSARY),
            nn.BatchNorm1d(ADVERSARY),
        )
        for module in self.reduce.modules():
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                nn.init.zeros_(module.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, R C, H, W) -> (B, P R, D), stripe by stripe."""
        pooled = self.stripes(features).unflatten(2, (self.orders, -1))  # (B, P, R, C)
        vectors = []
        for number, reduce in enumerate(self.reduce):
            reduced = reduce(pooled[:, number].transpose(0, 1).flatten(0, 1))  # (R B, D)
            vectors += (LENGTH * F.normalize(full_precision(reduced))).unflatten(0, (self.orders, -1)).unbind()
        return torch.stack(vectors, dim=1)

    def own_loss(self, features: Tensor, parts: Tensor) -> Tensor:
        """Compute the weighted adversarial loss.

        The adversary maps the vectors of the streams to unit vectors and learns to bring those of one image together.
        Behind it the gradient changes its sign, so that the streams learn to differ.

        Args:
            features: (B, R C, H, W), not used.
            parts: (B, P R, D), the output for them.

        Returns:
            Scalar: mean distance between two streams, over pairs of streams, stripes and images.
        """
        distances = []
        for vectors in parts.chunk(len(self.reduce), dim=1):  # (B, R, D) of each stripe
            rows = F.normalize(vectors.transpose(0, 1).flatten(0, 1))  # (R B, D)
            reversed_rows = 2 * rows.detach() - rows  # equal values, and a gradient of the other sign
            streams = F.normalize(self.adversary(reversed_rows).float()).unflatten(
                0, (self.orders, -1)
            )  # (R, B, ADVERSARY)
            distances += [(first - second).norm(dim=1).mean() for first, second in combinations(streams, 2)]
        return self.diversity_weight * torch.stack(distances).mean()


def mhn(
    backbone: str = "resnet50",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    orders: int = 6,
    parts: int = 6,
    part_dim: int = 256,
    diversity_weight: float = 2.0,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 1,
    drop_path: float = 0.0,
) -> ReID:
    """Build MHN on PCB: R streams of P stripes, each vector with a classifier of its own.

    Args:
        backbone: timm's name of a ResNet or a ConvNeXt, without attention.
        identities: Training identities; 0 leaves the classifiers out.
        pretrained: As for `convnext_ap`.
        weights: As for `convnext_ap`, of the backbone only.
        orders: R, 2 to 8. The stages behind the attentions are computed for R times as many images.
        parts: P, 1 to 16 stripes; 3 in the authors' code.
        part_dim: D, width of each of the P R vectors.
        diversity_weight: Weight of the adversarial loss, 0 or more.
        embedding: `reduced` and `full` are the same P R D here.
        last_stride: 1 keeps the last stage's map at stride 16, as in the authors' code.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit.

    Example:
        >>> mhn("resnet18", orders=2).embedding_width
        3072
    """
    require(2 <= orders <= 8, "orders", orders, "2 to 8")
    require(1 <= parts <= 16, "parts", parts, "1 to 16")
    require(part_dim >= 1, "part_dim", part_dim, "1 or more")
    require(diversity_weight >= 0, "diversity_weight", diversity_weight, "0 or more")
    net = build_backbone(
        backbone,
        pretrained=pretrained,
        weights=find_weights_file(weights),
        attention=False,
        last_stride=last_stride,
        drop_path=drop_path,
    )
    attention = MixedAttention(stage_channels(net, STAGE), orders)
    insert_after_stage(net, STAGE, attention)
    move_norm_into_last_stage(net)
    append_to_last_stage(net, JoinStreams(orders))
    pooling = StreamStripes(
        net.channels, orders=orders, stripes=parts, width=part_dim, diversity_weight=diversity_weight
    )
    net.channels *= orders
    return ReID(
        net,
        identities=identities,
        pooling=pooling,
        part_widths=(part_dim,) * parts * orders,
        part_names=[f"stripe {p + 1}, order {r + 1}" for p in range(parts) for r in range(orders)],
        embedding=embedding,
        reduced_by_pooling=True,
        inserted=attention,
    )
