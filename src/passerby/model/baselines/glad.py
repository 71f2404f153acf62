"""GLAD: the whole image, head, upper and lower body pass through one backbone, each with a classifier of its own.

Wei et al., "GLAD: Global-Local-Alignment Descriptor for Pedestrian Retrieval" (ACM Multimedia 2017). The parts are cut
out by four key points: top of the head, neck and both hips, from the shipped body estimator. With their rows y and a
margin m of the image's height, the boxes are

    head: a square of side y_neck - y_top + 2 m around the head;  upper body: full width, y_neck - m to y_hips + m;
    lower body: full width, y_hips - m to the bottom.

The paper's text was not available: the margin, the square of the head and the width of a reduced vector have not been
compared with it.

    B batch   C channels   H W image height and width   P parts (image, head, upper, lower)
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from passerby.model.backbone import Backbone, build_backbone
from passerby.model.body_estimator import KEY_POINTS, Body, crop_area, load_body_estimator
from passerby.model.checks import require
from passerby.model.convnext_ap import EmbeddingKind, ReID, load_necks
from passerby.model.weights import find_weights_file

MARGIN = 15 / 512
"""m: 15 pixels of an image of 512 x 256."""
STREAMS = ("image", "head", "upper", "lower")
_TOP, _NECK = KEY_POINTS.index("head top"), KEY_POINTS.index("neck")
_HIPS = [KEY_POINTS.index("right hip"), KEY_POINTS.index("left hip")]


class FourStreams(nn.Module):
    """Averages of the maps of the image and of its parts, by one backbone.

    Args:
        backbone: That of the network, which holds its parameters.
    """

    reads_images = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self._shared = (backbone,)  # a tuple, so that it is not registered a second time
        self.body = load_body_estimator()

    def forward(self, features: Tensor, images: Tensor) -> Tensor:
        """Pool (B, C, h, w), and the maps of parts of (B, 3, H, W), each resized to (H / 2, W): (B, P, C)."""
        boxes = part_boxes(self.body(images), aspect=images.shape[2] / images.shape[3])  # (B, 3, 4)
        size = images.shape[2] // 2, images.shape[3]
        crops = torch.stack([crop_area(images, box, size) for box in boxes.unbind(dim=1)], dim=1)  # (B, 3, 3, H / 2, W)
        parts = self._shared[0](crops.flatten(0, 1)).mean(dim=(2, 3)).unflatten(0, (-1, 3))  # (B, 3, C)
        return torch.cat([features.mean(dim=(2, 3))[:, None], parts], dim=1)


def part_boxes(body: Body, *, aspect: float) -> Tensor:
    """Return left, top, right, bottom of head, upper and lower body, 0 to 1 of width and height: (B, 3, 4).

    The hips are at the mean of both, weighted by their scores. Where key points are not above one another, as in an
    image without a person, a part keeps a height of 4 margins.

    Args:
        body: Output of the estimator.
        aspect: Height over width of the images, in pixels.
    """
    points, score = body.points()  # (B, K, 2), (B, K)
    weight = score[:, _HIPS] + 1e-6
    hips = (points[:, _HIPS, 1] * weight).sum(dim=1) / weight.sum(dim=1)
    top, neck = points[:, _TOP, 1], points[:, _NECK, 1]
    side = (neck - top + 2 * MARGIN).clamp(min=4 * MARGIN)
    center = 0.5 * (points[:, _TOP] + points[:, _NECK])  # (B, 2)
    half = 0.5 * side * aspect  # of the width
    zero, one = torch.zeros_like(top), torch.ones_like(top)
    low = torch.maximum(hips + MARGIN, neck + 3 * MARGIN)
    start = (hips - MARGIN).clamp(max=1 - 4 * MARGIN)
    boxes = (
        (center[:, 0] - half, center[:, 1] - side / 2, center[:, 0] + half, center[:, 1] + side / 2),
        (zero, neck - MARGIN, one, low),
        (zero, start, one, one),
    )
    return torch.stack([torch.stack(box, dim=1) for box in boxes], dim=1)


def glad(
    backbone: str = "resnet50",
    *,
    identities: int = 0,
    pretrained: bool = False,
    weights: str | Path | None = None,
    part_dim: int = 1024,
    embedding: EmbeddingKind = "reduced",
    last_stride: int = 2,
    drop_path: float = 0.0,
) -> ReID:
    """Build GLAD: four vectors, each with a reduction, a batch norm and a classifier.

    Args:
        backbone: As for `convnext_ap`, without attention. It computes images of half the height, too.
        identities: Training identities; 0 leaves the classifiers out.
        pretrained: As for `convnext_ap`.
        weights: As for `convnext_ap`.
        part_dim: Width of each reduced vector.
        embedding: `reduced` (4 x part_dim) or `full` (4 x C).
        last_stride: 1 keeps the last stage's map at stride 16.
        drop_path: As for `convnext_ap`.

    Raises:
        RecipeError: For an impossible value, or one that the backbone does not support.
        WeightsError: When weights cannot be downloaded, read, or do not fit, or the body estimator is missing.

    Example:
        >>> glad("resnet18").embedding_width
        4096
    """
    require(part_dim >= 1, "part_dim", part_dim, "1 or more")
    path = find_weights_file(weights)
    net = build_backbone(
        backbone,
        pretrained=pretrained,
        weights=path,
        attention=False,
        last_stride=last_stride,
        drop_path=drop_path,
    )
    network = ReID(
        net,
        identities=identities,
        pooling=FourStreams(net),
        part_widths=(part_dim,) * len(STREAMS),
        part_names=STREAMS,
        embedding=embedding,
    )
    return load_necks(network, path)
