"""Body estimator: key points and part masks of the person in a crop, for the methods that need them.

A small convolutional network, trained by `tools/body_estimator` on rendered people only, whose joints and parts are
known. Its weights are buffers: they are frozen, saved with the network that contains it, and not among its parameters.

    B batch   C channels   H W map height and width   K key points   P parts of the body
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.errors import WeightsError
from passerby.model.weights import fill, read_tensors
from passerby.runtime.model_manifest import DEFAULT_MODEL, MODEL_FILE

KEY_POINTS = (
    "head top", "neck",
    "right shoulder", "right elbow", "right wrist", "left shoulder", "left elbow", "left wrist",
    "right hip", "right knee", "right ankle", "left hip", "left knee", "left ankle",
)  # fmt: skip
"""Right and left are those of the person."""
BODY_PARTS = ("background", "head", "upper", "arms", "lower", "feet", "carried")
"""Upper: trunk and its clothes. Lower: hips, skirts and legs. Carried: bags. Other people are background."""
BODY_SIZE = (128, 64)
"""Height and width of the images that the network computes on."""
BODY_WEIGHTS = DEFAULT_MODEL / "body" / MODEL_FILE
"""The shipped weights."""


class Body(NamedTuple):
    """What the estimator computes for B images; the map size is 32 x 16, or that of `resize`.

    Attributes:
        heatmaps: (B, K, H, W) score of each of `KEY_POINTS` at each position, 0 to 1; near 0
            everywhere if it is hidden.
        parts: (B, P, H, W) probability of each of `BODY_PARTS`, with sum 1 over P.
    """

    heatmaps: Tensor
    parts: Tensor

    def resize(self, size: tuple[int, int]) -> Body:
        """Average both maps over the area of each position of a map of another size (height, width)."""
        return Body(resize_area(self.heatmaps, size), resize_area(self.parts, size))

    @property
    def mask(self) -> Tensor:
        """(B, 1, H, W) probability of the person, with what is carried."""
        return 1 - self.parts[:, :1]

    def points(self) -> tuple[Tensor, Tensor]:
        """Locate the key points: the centroid of the scores around the highest one.

        Returns:
            (B, K, 2) column and row, 0 to 1 of width and height; (B, K) the highest score, 0 to 1.
        """
        rows, columns = self.heatmaps.shape[2:]
        flat = self.heatmaps.flatten(2)  # (B, K, H * W)
        score, index = flat.max(dim=2)  # (B, K)
        at = torch.arange(rows * columns, device=flat.device)
        row, column = at // columns, at % columns  # (H * W,)
        near = (row - (index // columns)[..., None]).abs() < 2
        near &= (column - (index % columns)[..., None]).abs() < 2  # (B, K, H * W)
        weights = flat * near + torch.finfo(flat.dtype).tiny
        weights = weights / weights.sum(dim=2, keepdim=True)
        x, y = (weights * (column + 0.5)).sum(dim=2) / columns, (weights * (row + 0.5)).sum(dim=2) / rows
        return torch.stack([x, y], dim=2), score


class FrozenConv(nn.Module):
    """Convolution whose weights are buffers: (B, C, H, W) -> (B, out, H / stride, W / stride)."""

    weight: Tensor
    bias: Tensor

    def __init__(self, channels: int, out: int, *, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("weight", torch.zeros(out, channels, kernel, kernel))
        self.register_buffer("bias", torch.zeros(out))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, out, H / stride, W / stride)."""
        return F.conv2d(features, self.weight, self.bias, self.stride, self.weight.shape[2] // 2)


class BodyEstimator(nn.Module):
    """Three levels down to stride 16 and back to stride 4; 0.5 million weights.

    Each channel of an image is standardized first, so that the output does not depend on the mean and the standard
    deviation by which a recipe normalizes its images.

    Args:
        conv: Builds a convolution with bias from channels, out, kernel and stride.
    """

    def __init__(self, conv: Callable[..., nn.Module] = FrozenConv) -> None:
        super().__init__()
        self.stem = _block(conv(3, 16, stride=2), conv(16, 32, stride=2), conv(32, 48), conv(48, 48))
        self.middle = _block(conv(48, 96, stride=2), conv(96, 96))
        self.deep = _block(conv(96, 128, stride=2), conv(128, 128))
        self.widen = conv(128, 96, kernel=1)
        self.join = _block(conv(96, 48))
        self.finish = _block(conv(48, 48))
        self.head = conv(48, len(KEY_POINTS) + len(BODY_PARTS), kernel=1)

    def forward(self, images: Tensor) -> Body:
        """Compute key points and parts of (B, 3, H, W) images of any size, normalized or not."""
        heatmaps, parts = self.scores(images)
        return Body(heatmaps.sigmoid(), parts.softmax(dim=1))

    def scores(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the logits of `forward`: (B, K, 32, 16) of a sigmoid and (B, P, 32, 16) of a softmax, float32."""
        pixels = resize_area(images.float(), BODY_SIZE)
        centered = pixels - pixels.mean(dim=(2, 3), keepdim=True)
        deviation = centered.square().mean(dim=(2, 3), keepdim=True).sqrt()
        # Not a small number added: torch's ONNX exporter takes 1e-8 for zero and drops it.
        quarter = self.stem(centered / deviation.clamp(min=1e-4))  # (B, 48, 32, 16)
        eighth = self.middle(quarter)  # (B, 96, 16, 8)
        eighth = eighth + _double(self.widen(self.deep(eighth)))
        scores = self.head(self.finish(quarter + _double(self.join(eighth)))).float()  # (B, K + P, 32, 16)
        return scores[:, : len(KEY_POINTS)], scores[:, len(KEY_POINTS) :]


def load_body_estimator() -> BodyEstimator:
    """Build the estimator with the shipped weights; on the meta device, without them.

    Raises:
        WeightsError: When this installation has none, or they are damaged.

    Example:
        >>> body = load_body_estimator()(torch.rand(2, 3, 256, 128))
        >>> body.heatmaps.shape, body.parts.shape
        (torch.Size([2, 14, 32, 16]), torch.Size([2, 7, 32, 16]))
    """
    estimator = BodyEstimator()
    if not BODY_WEIGHTS.is_file():
        raise WeightsError(
            f"body estimator {BODY_WEIGHTS}: no such file; methods that need key points or part masks need it: install "
            "the package again, or build it in a checkout with `python -m tools.body_estimator --out FOLDER`"
        )
    if not estimator.head.weight.is_meta:
        tensors = {name: value.float() for name, value in read_tensors(BODY_WEIGHTS).items()}
        fill(estimator, tensors, source=str(BODY_WEIGHTS))
    return estimator


def resize_area(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Average over the area of each new position: (B, C, H, W) -> (B, C, *size).

    Matrix products, which every device and export format has; antialiased filters and adaptive pooling are missing in
    some.
    """
    height, width = maps.shape[2:]
    if height != size[0]:
        maps = _overlap(torch.tensor([[0.0, height]]), height, size[0]).to(maps) @ maps
    if width != size[1]:
        maps = maps @ _overlap(torch.tensor([[0.0, width]]), width, size[1]).to(maps).mT
    return maps


def crop_area(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut one box out of each image, and average over the area of each new pixel; 0 outside the image.

    Args:
        images: (B, C, H, W).
        boxes: (B, 4) left, top, right, bottom, 0 to 1 of width and height; of any positive size.
        size: (height, width) of the crops.

    Returns:
        (B, C, *size).
    """
    height, width = images.shape[2:]
    rows = _overlap(boxes[:, 1::2] * height, height, size[0]).to(images)  # (B, h, H)
    columns = _overlap(boxes[:, 0::2] * width, width, size[1]).to(images)  # (B, w, W)
    return rows[:, None] @ images @ columns[:, None].mT


def _overlap(spans: Tensor, old: int, new: int) -> Tensor:
    """Return the fraction of each of `new` intervals of a span that each old one covers: (B, 2) -> (B, new, old)."""
    begin, end = spans[:, :1], spans[:, 1:]  # (B, 1), in old intervals
    length = ((end - begin) / new)[..., None]  # (B, 1, 1)
    left = begin[..., None] + length * torch.arange(new, device=spans.device)[:, None]  # (B, new, 1)
    starts = torch.arange(old, device=spans.device)
    covered = torch.minimum(left + length, starts + 1) - torch.maximum(left, starts)
    return covered.clamp(min=0) / length


def _block(*convolutions: nn.Module) -> nn.Sequential:
    return nn.Sequential(*(module for conv in convolutions for module in (conv, nn.ReLU())))


def _double(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0, mode="nearest")
