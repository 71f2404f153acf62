"""A network from pixels to embeddings, for export: normalization, mirror averaging and unit length inside.

B batch   H W image height and width   D embedding width
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from passerby.model.full_precision import unit_vectors
from passerby.runtime.embedder import Embedder


class PixelNetwork(nn.Module):
    """The network of an embedder with everything between pixels and unit vectors.

    Args:
        embedder: Its network is used here, in evaluation mode.
        flip: Average each image's embedding with that of its mirror image, in one batch of 2 B.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, embedder: Embedder, *, flip: bool) -> None:
        super().__init__()
        self.network = embedder.network
        self.flip = flip
        preprocessing = embedder.preprocessing
        mean, std = (torch.tensor(values) for values in (preprocessing.mean, preprocessing.std))
        self.register_buffer("scale", (1 / (255 * std)).reshape(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).reshape(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, H, W, 3) uint8 RGB -> (B, D) float32 of unit length."""
        pixels = images.permute(0, 3, 1, 2).float() * self.scale + self.shift  # (B, 3, H, W)
        if not self.flip:
            return self._embed(pixels)
        vectors = self._embed(torch.cat((pixels, pixels.flip(-1))))  # (2 B, D)
        count = images.shape[0]  # `len` would fix the batch size in the exported graph
        return unit_vectors(vectors[:count] + vectors[count:])

    def _embed(self, pixels: Tensor) -> Tensor:
        embedding: Tensor = self.network(pixels).embedding
        return embedding
