"""Compute embeddings by PyTorch.

B batch   N images   D embedding width   H W image height and width
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from passerby.data.images import Pixels
from passerby.distributed import pick_device
from passerby.model.convnext_ap import ReID
from passerby.model.image_batches import build_normalization
from passerby.runtime.preprocessing import Preprocessing
from passerby.types import FloatArray

_TOGETHER = 16
"""Largest batch that is computed in one pass with its mirror images, so that each layer is called once."""


_LARGEST = 64
"""Largest batch that a CPU computes at once: the maps of larger ones leave its caches, which took 25 % more time."""


class TorchEncoder:
    """A network that PyTorch runs, with the normalization of its images.

    Args:
        network: Moved to `device`.
        preprocessing: Mean and standard deviation of its images.
        device: See `pick_device`.

    Attributes:
        network: The network, on `device`.

    Example:
        >>> from passerby.runtime.embedder import Embedder
        >>> preprocessing = passerby.load("runs/m").preprocessing
        >>> encoder = TorchEncoder(passerby.convnext_ap(backbone="test_convnext", pretrained=False), preprocessing)
        >>> Embedder(encoder, preprocessing, {}).embed("a.jpg").shape == (1, encoder.width)
        True
    """

    runtime = "torch"
    precision = "fp32"

    def __init__(self, network: ReID, preprocessing: Preprocessing, *, device: str | torch.device = "auto") -> None:
        self._device = pick_device(device)
        self.network = network.to(self._device)
        self._normalize = build_normalization(mean=preprocessing.mean, std=preprocessing.std)

    @property
    def width(self) -> int:
        """Embedding width D."""
        return self.network.embedding_width

    @property
    def device(self) -> str:
        """Torch's name of the device."""
        return str(self._device)

    def normalize(self, pixels: Pixels) -> Tensor:
        """Turn (B, H, W, 3) uint8 into (B, 3, H, W) float32 on the device, as the network takes it.

        The device receives bytes and normalizes them: a quarter of the traffic.
        """
        images = torch.tensor(np.ascontiguousarray(pixels)).to(self._device).permute(0, 3, 1, 2)  # (B, 3, H, W)
        return self._normalize(images).contiguous(memory_format=torch.channels_last)

    def encode(self, pixels: Pixels) -> FloatArray:
        """Compute (B, D) float32 of unit length from (B, H, W, 3) uint8; B may be 0.

        Modules are left in the mode they were in.
        """
        return self._compute(pixels, lambda images: self.network(images).embedding)

    def encode_mirrored(self, pixels: Pixels) -> FloatArray:
        """Compute the unit vector of each embedding plus that of the mirror image; B may be 0."""
        return self._compute(pixels, self._add_mirrored)

    def _add_mirrored(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D)."""
        if len(images) > _TOGETHER:  # a larger batch takes more memory and no less time
            vectors = self.network(images).embedding + self.network(images.flip(-1)).embedding
        else:
            both = self.network(torch.cat((images, images.flip(-1)))).embedding  # (2B, D)
            vectors = both[: len(images)] + both[len(images) :]
        return F.normalize(vectors)

    def _compute(self, pixels: Pixels, compute: Callable[[Tensor], Tensor]) -> FloatArray:
        """Compute (B, D) from (B, H, W, 3) in evaluation mode, on a CPU in parts."""
        step = _LARGEST if self._device.type == "cpu" else max(len(pixels), 1)
        with _evaluation_mode(self.network):
            blocks = [
                _to_numpy(compute(self.normalize(pixels[start : start + step])))
                for start in range(0, len(pixels), step)
            ]
        return np.concatenate(blocks) if blocks else np.empty((0, self.width), np.float32)

    def pool(self, pixels: Pixels) -> FloatArray:
        """Compute the pooled vectors of the parts, before their reduction: (B, H, W, 3) uint8 -> (B, P, C) float32."""
        with _evaluation_mode(self.network):
            return _to_numpy(self.network(self.normalize(pixels)).parts)


def embed_batches(network: ReID, batches: Iterable[Tensor], *, device: str | torch.device = "auto") -> FloatArray:
    """Embed batches of normalized images in evaluation mode; every module is left in the mode that it was in.

    Args:
        network: Moved to `device`.
        batches: Each (B, 3, H, W) float32.
        device: Where to compute; see `pick_device`.

    Returns:
        (N, D) float32 of unit length; N may be 0.
    """
    device = pick_device(device)
    blocks = []
    with _evaluation_mode(network.to(device)):
        for batch in batches:
            images = batch.to(device, non_blocking=True).contiguous(memory_format=torch.channels_last)
            blocks.append(_to_numpy(network(images).embedding))
    return np.concatenate(blocks) if blocks else np.empty((0, network.embedding_width), np.float32)


@contextmanager
def _evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode and compute no gradients. A training stage freezes only some modules."""
    training = [module for module in network.modules() if module.training]
    if training:
        network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for module in training:
            module.training = True


def _to_numpy(vectors: Tensor) -> FloatArray:
    return np.asarray(vectors.float().cpu().numpy())
