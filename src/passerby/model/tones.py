"""A first layer that evens out the dark tones of images, which depend on the camera and its light.

B batch   H W image height and width
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.model.checks import require

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Normalization of the images that the layer takes and returns."""
_LUMINANCE = 0.299, 0.587, 0.114
_BLOCK = 4
"""Side in pixels of the blocks whose mean luminance is sorted, so that noise does not set the black point."""
_BLACKEST, _DARKEST = 0.5, 1e-4
"""Largest black point, and smallest value before the power, whose slope is infinite at 0."""


class Tones(nn.Module):
    """Maps each image's black point to 0, then raises its values to a power: (max(v - b, 0) / (1 - b))^gamma.

    The black point b, at most 0.5, is a quantile of the luminance of the image's blocks of 4 x 4 pixels. There are no
    parameters.

    Args:
        black: Fraction of the image that is darker than its black point, 0 to below 1; 0 leaves it at 0.
        gamma: Exponent; below 1 it separates dark values from each other, 1 leaves them.

    Raises:
        RecipeError: For a value out of range.

    Example:
        >>> layer = Tones(black=0.05, gamma=0.8)
        >>> layer(torch.zeros(2, 3, 128, 64)).shape
        torch.Size([2, 3, 128, 64])
    """

    mean: Tensor
    std: Tensor
    luminance: Tensor

    def __init__(self, *, black: float, gamma: float) -> None:
        super().__init__()
        require(0 <= black < 1, "tone_black", black, "0 to below 1")
        require(gamma > 0, "tone_gamma", gamma, "above 0")
        self.black, self.gamma = black, gamma
        for name, values in (("mean", MEAN), ("std", STD), ("luminance", _LUMINANCE)):
            self.register_buffer(name, torch.tensor(values).reshape(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalized by `MEAN` and `STD` -> the same shape, normalized."""
        values = images.float() * self.std + self.mean
        if self.black > 0:
            black = self._find_black(values.detach())
            values = (values - black) / (1 - black)
        values = values.clamp(_DARKEST, 1.0) ** self.gamma
        return ((values - self.mean) / self.std).to(images.dtype)

    def _find_black(self, values: Tensor) -> Tensor:
        """(B, 3, H, W) values from 0 to 1 -> (B, 1, 1, 1) luminance of the darkest blocks."""
        luminance = (values * self.luminance).sum(dim=1, keepdim=True)  # (B, 1, H, W)
        blocks = F.avg_pool2d(luminance, _BLOCK, ceil_mode=True).flatten(1)  # (B, N)
        count = max(1, round(self.black * blocks.shape[1]))
        darkest = blocks.topk(count, dim=1, largest=False).values[:, -1]
        return darkest.clamp(0.0, _BLACKEST).reshape(-1, 1, 1, 1)
