"""Swin and ViT of timm as plain baselines: patch tokens arranged as a map, as of a convolutional network.

B batch   C channels   H W map height and width
"""

from __future__ import annotations

from typing import Any

import timm
from torch import Tensor

from passerby.errors import RecipeError

ANY_SIZE: dict[str, dict[str, Any]] = {
    "swin_transformer": {"strict_img_size": False},
    "swin_transformer_v2": {"strict_img_size": False},
    "vision_transformer": {"dynamic_img_size": True},
}
"""Modules of timm with networks whose tokens form a map, and the options that make them accept images of any size.

ViT resamples its position embedding to the image; Swin's bias is relative, and incomplete windows are padded.
"""


def is_transformer(name: str) -> bool:
    """Return whether the network of this name, which timm must have, is in a module of `ANY_SIZE`."""
    return _family(name) in ANY_SIZE


def any_size_options(name: str) -> dict[str, Any]:
    """Return timm's options with which the network accepts images of any size; none for other networks."""
    return ANY_SIZE.get(_family(name), {})


def token_map(net: Any, images: Tensor, *, norm: bool) -> Tensor:
    """Compute the patch tokens of the last layer, without class and register tokens: (B, 3, H, W) -> (B, C, h, w).

    Args:
        net: A Swin or ViT of timm.
        images: (B, 3, H, W), of a size that `require_patches` accepts.
        norm: Whether to apply the network's final norm.

    Raises:
        RecipeError: For images that do not divide into patches.
    """
    require_patches(net, (images.shape[2], images.shape[3]))
    maps: list[Tensor] = net.forward_intermediates(
        images, indices=1, norm=norm, output_fmt="NCHW", intermediates_only=True
    )
    return maps[-1]


def require_patches(net: Any, size: tuple[int, int]) -> None:
    """Raise RecipeError unless images of `size` (height, width) divide into the network's patches."""
    patch: tuple[int, int] = net.patch_embed.patch_size
    if size[0] % patch[0] or size[1] % patch[1]:
        name = net.default_cfg["architecture"]
        nearest = [max(side, round(pixels / side) * side) for pixels, side in zip(size, patch, strict=True)]
        raise RecipeError(
            f"images.size: {size[0]} x {size[1]} does not divide into the patches of {name}, "
            f"{patch[0]} x {patch[1]} pixels; set images.size=[{nearest[0]}, {nearest[1]}]"
        )


def _family(name: str) -> str:
    """Return the name of the network's module in timm."""
    module: str = timm.model_entrypoint(name.partition(".")[0]).__module__
    return module.rpartition(".")[2]
