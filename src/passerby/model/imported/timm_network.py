"""A network of timm with its own pooling and, if it has one, its projection: what timm's `create_model` computes.

B batch   C channels of the map   h w its height and width   D width of the vector
"""

from __future__ import annotations

import re
from typing import Any

import timm
import torch
from torch import Tensor

from passerby.errors import RecipeError, explain
from passerby.model.backbone import Backbone

PREFIX = "timm:"
NAME = re.compile(
    r"timm:(?P<name>[a-z0-9_]{1,80})(,img_size=(?P<height>\d{2,4})x(?P<width>\d{2,4}))?"
    r"(,global_pool=(?P<pool>[a-z]{1,12}))?(,outputs=(?P<outputs>[1-9]\d{0,3}))?"
)
"""timm's name, then the size of the images for which it is built, its pooling, and the width of its last layer, such as
`timm:vit_base_patch16_clip_224,img_size=256x128,outputs=512`. What is left out is timm's default, without a last layer.
"""


class TimmBackbone(Backbone):
    """A network of timm; `forward_pooled` is its output beside its last map.

    Args:
        name: As `NAME`.

    Raises:
        RecipeError: For a name that timm lacks, options that the network lacks, or a network without a map.
    """

    def __init__(self, name: str) -> None:
        match = NAME.fullmatch(name)
        if match is None or not timm.is_model(match["name"]):
            raise RecipeError(f"model.backbone: got {name!r}, expected timm:NAME of a network that timm has")
        options: dict[str, Any] = {"num_classes": int(match["outputs"] or 0)}
        if match["height"]:
            options["img_size"] = (int(match["height"]), int(match["width"]))
        if match["pool"]:
            options["global_pool"] = match["pool"]
        try:
            net: Any = timm.create_model(match["name"], **options)
        except (TypeError, ValueError, AssertionError, RuntimeError, KeyError) as error:
            raise RecipeError(f"model.backbone: {name!r} cannot be built by timm ({explain(error)})") from None
        self.spec, self.projects = name, bool(match["outputs"])
        size = options.get("img_size") or net.pretrained_cfg["input_size"][1:]
        super().__init__(net, channels=net.num_features, stride=32)
        features, vector = self._measure((size[0], size[1]))
        self.channels, self.stride, self.width = features[1], size[0] // features[2], vector[1]

    def forward_pooled(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, 3, H, W) -> map (B, C, h, w) and vector (B, D)."""
        features = self.net.forward_features(images)
        vector: Tensor = self.net.forward_head(features, pre_logits=not self.projects)
        return self._to_map(features, images), [vector]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w)."""
        return self._to_map(self.net.forward_features(images), images)

    def before_norm(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w)."""
        return self.forward(images)

    def require_size(self, size: tuple[int, int]) -> None:
        """Raise RecipeError for an image size that the network does not take."""
        try:
            self._measure(size)
        except (RuntimeError, AssertionError, ValueError, RecipeError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise RecipeError(
                f"images.size: {list(size)} is not accepted by {self.spec} ({reason}); name another size"
            ) from None

    def _to_map(self, features: Tensor, images: Tensor) -> Tensor:
        """Arrange tokens (B, N, C), or a map with its channels last, as (B, C, h, w)."""
        if features.ndim == 3:
            patch = self.net.patch_embed.patch_size
            grid = (images.shape[2] // patch[0], images.shape[3] // patch[1])
            tokens = features[:, self.net.num_prefix_tokens :]
            arranged: Tensor = tokens.transpose(1, 2).unflatten(2, grid)
            return arranged
        if getattr(self.net, "output_fmt", "NCHW") == "NHWC":
            features = features.permute(0, 3, 1, 2)
        return features

    def _measure(self, size: tuple[int, int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return the shapes of map and vector for images of a size, computed without memory."""
        from copy import deepcopy

        net = deepcopy(self).to("meta").eval()
        with torch.no_grad():
            features, (vector,) = net.forward_pooled(torch.empty(1, 3, *size, device="meta"))
        if features.ndim != 4 or vector.ndim != 2 or 0 in features.shape:
            raise RecipeError(f"model.backbone: {self.spec} has no map of features, or no vector")
        return tuple(features.shape), tuple(vector.shape)
