"""LOMO: histograms of colors and textures of windows, and the largest value of each bin along each row of windows.

Liao, Hu, Zhu and Li, "Person Re-identification by Local Maximal Occurrence Representation and Metric Learning" (CVPR
2015), section 3; SILTP: Liao et al., "Modeling Pixel Process with Scale Invariant Local Patterns" (CVPR 2010). Written
from the equations. The Retinex transform, which the paper applies to the colors first, is left out. Nothing is trained
but the map of the descriptor, see `recipe.metric`.

    B batch   H W image height and width   R C rows and columns of windows   K bins
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.model.backbone import Backbone
from passerby.model.checks import require
from passerby.model.convnext_ap import EmbeddingKind, ReID, load_necks
from passerby.model.parts import Stripes
from passerby.model.weights import find_weights_file

SIZE = (128, 48)
"""Size at which the paper describes an image; others are resized to it."""
SCALES, WINDOW, STEP = 3, 10, 5
"""Scales of the pyramid, each half of the one before; side of a window, and distance to the next, in pixels."""
COLOR_BINS = 8
"""Bins of hue, saturation and value each; the histogram is joint."""
RADII, TOLERANCE = (3, 5), 0.3
"""Distances of the four neighbors of SILTP in pixels, and the relative difference from which one counts."""
WIDTH = 26_960
"""Width of the descriptor: (8^3 colors + 2 x 3^4 textures) x (24 + 11 + 5) rows of windows."""
BACKBONE = "lomo"
"""Name of the backbone in recipes."""


class Lomo(nn.Module):
    """The descriptor as a network without parameters."""

    def forward_features(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) RGB from 0 to 1 -> (B, 26960, 1, 1): unit vectors of colors and of textures, joined."""
        image = F.interpolate(images.float(), SIZE, mode="bilinear", antialias=True).clamp(0, 1)
        colors, textures = [], []
        for scale in range(SCALES):
            if scale:
                image = F.avg_pool2d(image, 2)
            colors.append(count_maximal(color_bins(image), COLOR_BINS**3))
            gray = image.mean(dim=1)
            textures += [count_maximal(texture_bins(gray, radius), 3**4) for radius in RADII]
        kinds = (torch.cat([part.flatten(1) for part in kind], dim=1) for kind in (colors, textures))
        joined = torch.cat([F.normalize(kind.log1p()) for kind in kinds], dim=1)
        return joined[:, :, None, None]


def color_bins(image: Tensor) -> Tensor:
    """Number the joint bin of hue, saturation and value of each pixel: (B, 3, H, W) from 0 to 1 -> (B, H, W) int64."""
    value, darkest = image.amax(dim=1), image.amin(dim=1)
    range_ = value - darkest
    red, green, blue = image.unbind(dim=1)
    safe = range_.clamp(min=1e-12)
    hue = torch.where(
        value == red,
        ((green - blue) / safe) % 6,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    saturation = range_ / value.clamp(min=1e-12)
    numbers = [(part * COLOR_BINS).long().clamp(0, COLOR_BINS - 1) for part in (hue / 6, saturation, value)]
    return (numbers[0] * COLOR_BINS + numbers[1]) * COLOR_BINS + numbers[2]


def texture_bins(gray: Tensor, radius: int) -> Tensor:
    """Number the SILTP code of each pixel: (B, H, W) -> (B, H, W) int64, 0 to 80.

    Each of the four neighbors at `radius` is a digit of base 3: 1 if it is above (1 + tolerance) times the pixel, 2 if
    below (1 - tolerance) times it, else 0. The border repeats.
    """
    height, width = gray.shape[1:]
    padded = F.pad(gray[:, None], (radius,) * 4, mode="replicate")[:, 0]
    middle, far = slice(radius, None), slice(2 * radius, None)
    near = slice(0, None)
    code = torch.zeros_like(gray, dtype=torch.int64)
    for power, (rows, columns) in enumerate(((middle, far), (near, middle), (middle, near), (far, middle))):
        neighbor = padded[:, rows, columns][:, :height, :width]
        digit = (neighbor > (1 + TOLERANCE) * gray).long() + 2 * (neighbor < (1 - TOLERANCE) * gray).long()
        code += digit * 3**power
    return code


def count_maximal(numbers: Tensor, bins: int) -> Tensor:
    """Count each bin in each window, and take the largest count along each row of windows.

    Args:
        numbers: (B, H, W) bin of each pixel.
        bins: K.

    Returns:
        (B, R, K) float32.
    """
    windows = numbers.unfold(1, WINDOW, STEP).unfold(2, WINDOW, STEP).flatten(3)  # (B, R, C, pixels)
    counts = torch.zeros(*windows.shape[:3], bins, device=numbers.device)
    counts.scatter_add_(3, windows, torch.ones_like(windows, dtype=counts.dtype))  # (B, R, C, K)
    return counts.amax(dim=2)


def lomo(
    backbone: str = BACKBONE,
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    part_dim: int = 512,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 2,
    drop_path: float = 0.0,
) -> ReID:
    """Build the descriptor with one linear map and a batch norm, which a metric sets in closed form.

    Args:
        backbone: `lomo`, which is no network of timm.
        identities: Training identities; 0 leaves the classifier out.
        pretrained: False; there are no weights to download.
        weights: A run with a map of the same width.
        part_dim: Width after the map.
        embedding: `reduced`, after the map, or `full`, the descriptor itself.
        last_stride: 2; not used.
        drop_path: 0; not used.

    Raises:
        RecipeError: For another value of an option that is not used.

    Example:
        >>> network = lomo(part_dim=8).eval()
        >>> network(torch.rand(2, 3, 128, 64)).map.shape
        torch.Size([2, 26960, 1, 1])
    """
    require(backbone == BACKBONE, "backbone", backbone, f"{BACKBONE} for the method lomo")
    require(not pretrained, "pretrained", pretrained, "false, as lomo has no weights")
    require((last_stride, drop_path) == (2, 0), "last_stride", last_stride, "2, and drop_path 0, as lomo has no stages")
    net: Any = Lomo()
    network = ReID(
        Backbone(net, channels=WIDTH, stride=1),
        identities=identities,
        pooling=Stripes(1),
        part_widths=(part_dim,),
        part_names=("whole",),
        embedding=embedding,
    )
    return load_necks(network, find_weights_file(weights))
