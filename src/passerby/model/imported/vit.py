"""Vision transformers of other toolkits: timm's, with overlapping patches, images that are not square, and their heads.

TransReID: He et al., "TransReID: Transformer-based Object Re-Identification" (ICCV 2021).
CLIP-ReID: Li et al., "CLIP-ReID: Exploiting Vision-Language Model for Image Re-Identification" (AAAI 2023).

B batch   C channels   N tokens of patches   h w their rows and columns   P vectors of an image
"""

from __future__ import annotations

import re
from typing import Any

import torch
from timm.layers.activations import QuickGELU
from timm.models.vision_transformer import Block, VisionTransformer
from torch import Tensor, nn

from passerby.errors import RecipeError
from passerby.model.backbone import Backbone

NAME = re.compile(
    r"(?P<kind>transreid|clip)_vit_(?P<width>\d{2,4})x(?P<depth>\d{1,2})_s(?P<stride>\d{1,2})_"
    r"(?P<height>\d{2,4})x(?P<wide>\d{2,4})"
)
"""Kind, width and depth of the network, stride of its patches, height and width of its images, such as
`transreid_vit_768x12_s16_256x128` for ViT-B/16. LayerNorm has eps 1e-6 in `transreid`, 1e-5 in `clip`."""
PATCH = 16
MAX_WIDTH, MAX_BLOCKS = 2048, 64
SHIFT, GROUPS, PARTS = 5, 2, 4
"""TransReID's SHIFT_NUM, SHUFFLE_GROUP and DEVIDE_LENGTH."""


class TokenBackbone(Backbone):
    """A ViT up to the tokens before its last block, which belongs to the head; the patches' tokens form the map.

    Args:
        name: As `NAME`.
    """

    def __init__(self, name: str) -> None:
        match = NAME.fullmatch(name)
        assert match is not None
        width, depth, stride, *size = (int(match[key]) for key in ("width", "depth", "stride", "height", "wide"))
        if width % 64 or width > MAX_WIDTH or not 2 <= depth <= MAX_BLOCKS or not 1 <= stride <= PATCH:
            raise RecipeError(
                f"model.backbone: got {name!r}, expected a multiple of 64 up to {MAX_WIDTH}, 2 to {MAX_BLOCKS} blocks, "
                f"stride 1 to {PATCH}"
            )
        clip = match["kind"] == "clip"
        options: dict[str, Any] = {"pre_norm": True, "act_layer": QuickGELU, "norm_layer": nn.LayerNorm} if clip else {}
        net: Any = VisionTransformer(
            img_size=(size[0], size[1]),
            patch_size=PATCH,
            embed_dim=width,
            depth=depth - 1,
            num_heads=width // 64,
            num_classes=0,
            global_pool="",
            **options,
        )
        net.norm = nn.Identity()
        net.patch_embed.proj.stride = (stride, stride)
        grid = tuple((side - PATCH) // stride + 1 for side in size)
        net.pos_embed = nn.Parameter(torch.zeros(1, grid[0] * grid[1] + 1, width))
        super().__init__(net, channels=width, stride=stride, tokens=True)
        self.size, self.grid = (size[0], size[1]), grid

    def forward_tokens(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) -> map (B, C, h, w) and class token (B, 1, C), before the last block."""
        patches = self.net.patch_embed.proj(images).flatten(2).transpose(1, 2)  # (B, N, C)
        token = self.net.cls_token.expand(images.shape[0], -1, -1)  # len() would fix the batch of an export
        tokens = torch.cat((token, patches), dim=1) + self.net.pos_embed
        tokens = self.net.blocks(self.net.norm_pre(tokens))
        return tokens[:, 1:].transpose(1, 2).unflatten(2, self.grid), tokens[:, :1]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w)."""
        return self.forward_tokens(images)[0]

    def before_norm(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, C, h, w)."""
        return self.forward_tokens(images)[0]

    def require_size(self, size: tuple[int, int]) -> None:
        """Raise RecipeError for another image size than that of the position embeddings."""
        if tuple(size) != self.size:
            raise RecipeError(
                f"images.size: {list(size)} does not fit the network's embeddings of positions; set "
                f"images.size={list(self.size)}"
            )


class LastBlock(nn.Module):
    """The last block and norm of a ViT, and with CLIP the projection of its class token."""

    def __init__(self, width: int, *, clip: bool = False, projected: int = 0) -> None:
        super().__init__()
        self.block, self.norm = _block(width, clip=clip)
        self.projection = nn.Linear(width, projected, bias=False) if projected else None

    def forward(self, features: Tensor, token: Tensor) -> list[Tensor]:
        """(B, C, h, w), (B, 1, C) -> class token (B, C), and its projection."""
        tokens = torch.cat((token, features.flatten(2).transpose(1, 2)), dim=1)
        vector: Tensor = self.norm(self.block(tokens))[:, 0]
        return [vector] if self.projection is None else [vector, self.projection(vector)]


class Jigsaw(nn.Module):
    """TransReID's jigsaw patch module: a global block, and one block on four shuffled groups of patches."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.whole = nn.Sequential(*_block(width))
        self.part = nn.Sequential(*_block(width))

    def forward(self, features: Tensor, token: Tensor) -> list[Tensor]:
        """(B, C, h, w), (B, 1, C) -> class tokens of the whole and of each part, each (B, C)."""
        patches = features.flatten(2).transpose(1, 2)  # (B, N, C)
        whole: Tensor = self.whole(torch.cat((token, patches), dim=1))[:, 0]
        length = patches.shape[1] // PARTS
        groups = _shuffle(patches)[:, : length * PARTS].split(length, dim=1)
        return [whole, *(self.part(torch.cat((token, group), dim=1))[:, 0] for group in groups)]


def _shuffle(patches: Tensor) -> Tensor:
    """Move the first patches to the end, then deal all of them out in turns: (B, N, C) -> (B, N, C)."""
    moved = patches.roll(1 - SHIFT, dims=1)  # TransReID counts from the class token
    dealt: Tensor = moved.unflatten(1, (GROUPS, -1)).transpose(1, 2).flatten(1, 2)
    return dealt


def _block(width: int, *, clip: bool = False) -> tuple[nn.Module, nn.Module]:
    """Build a block and a norm."""
    if clip:
        return (
            Block(width, width // 64, qkv_bias=True, act_layer=QuickGELU, norm_layer=nn.LayerNorm),
            nn.LayerNorm(width),
        )
    return Block(width, width // 64, qkv_bias=True), nn.LayerNorm(width, eps=1e-6)
