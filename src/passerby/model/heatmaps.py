"""What a network looks at: how strong its map is, and where in an image the similarity to another comes from.

B batch   C channels   h w map height and width   D embedding width
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from passerby.model.convnext_ap import ReID
from passerby.types import FloatArray


def activation_maps(network: ReID, images: Tensor) -> FloatArray:
    """Mean square over the channels of the last map, before the norm that makes every place alike.

    Args:
        network: In evaluation mode, on the device of `images`.
        images: (B, 3, H, W) normalized.

    Returns:
        (B, h, w) at least 0.
    """
    with torch.inference_mode():
        return _array(network.backbone.before_norm(images).square().mean(dim=1))


def similarity_maps(network: ReID, images: Tensor, others: FloatArray) -> FloatArray:
    """HiResCAM (Draelos & Carin 2020) of the cosine similarity to another image's embedding, by captum.

    It is Grad-CAM with the gradient of each place in place of its mean over all: each part of the network has its own
    weights, and a mean over stripes that pull in different ways shows none of them.

    Args:
        network: In evaluation mode, on the device of `images`.
        images: (B, 3, H, W) normalized.
        others: (B, D) unit vectors: for each image the one that it is compared with.

    Returns:
        (B, h, w) at least 0: how much each place speaks for the similarity; the scale means nothing.
    """
    from captum.attr import LayerGradientXActivation

    class Similarity(nn.Module):
        """Images and the vectors that they are compared with to (B,) cosine similarities."""

        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor, others: Tensor) -> Tensor:
            similarity: Tensor = (self.network(images).embedding * others).sum(dim=1)
            return similarity

    model = Similarity().eval()
    vectors = torch.from_numpy(np.array(others, dtype=np.float32)).to(images.device)
    products = LayerGradientXActivation(model, network.backbone).attribute(images, additional_forward_args=(vectors,))
    return _array(products.sum(dim=1).relu())  # (B, C, h, w) -> (B, h, w)


def assignments(network: ReID, images: Tensor) -> NDArray[np.float32] | None:
    """(B, P, h, w) to which part each place of the map belongs, adding up to 1 over P; None without refinement."""
    with torch.inference_mode():
        found = network(images).assignment
    return None if found is None else _array(found)


def part_shares(first: FloatArray, second: FloatArray, widths: tuple[int, ...]) -> NDArray[np.float64]:
    """What each part of two embeddings adds to their similarity.

    An embedding is its parts side by side, so that the product of two embeddings is the sum of the parts' products:
    nothing is approximated.

    Args:
        first: (D,) unit vector.
        second: (D,) unit vector.
        widths: Of each part, adding up to D; `ReID.embedding_parts`.

    Returns:
        (P,) the parts' products, which add up to the cosine similarity.
    """
    products = first.astype(np.float64) * second.astype(np.float64)
    ends = np.cumsum(widths)
    return np.add.reduceat(products, ends - np.array(widths))


def _array(values: Tensor) -> FloatArray:
    found: FloatArray = values.detach().float().cpu().numpy()
    return found
