"""Contrastive loss with one proxy for each track: an image against the proxies of one camera at a time.

Wang, Lai, Huang, Gong and Hua, "Camera-Aware Proxies for Unsupervised Person Re-Identification" (2021), introduced
proxies of clusters in cameras. Here negatives are of one camera only, in which each person has few tracks: a true match
that was not linked is then no negative.

B batch   T tracks   D embedding width   L links
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.model.full_precision import unit_vectors


def camera_proxy_loss(
    embedding: Tensor,
    targets: Tensor,
    proxies: Tensor,
    camera_ids: Tensor,
    *,
    temperature: float,
    unsure: Tensor | None = None,
) -> Tensor:
    """Compute the cross-entropy of each image's target among the proxies of the target's camera.

    Args:
        embedding: (B, D), scaled to unit length here.
        targets: (B,) track of each image: its own one, or one in another camera that is linked to it.
        proxies: (T, D) of unit length, without gradient.
        camera_ids: (T,) camera of each track.
        temperature: Above 0; smaller values weight the nearest proxies more.
        unsure: (T, T) bool: tracks that may show one person, which are no negatives of each other; None for none. A
            track itself is not marked.

    Returns:
        A scalar, the mean over the images; 0 (with gradient 0) for no image.

    Example:
        >>> proxies = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> camera_proxy_loss(proxies[:1], torch.tensor([0]), proxies, torch.tensor([0, 0, 1]), temperature=1.0)
        tensor(0.3133)
    """
    if not len(embedding):
        return embedding.sum() * 0
    logits = unit_vectors(embedding) @ proxies.T / temperature  # (B, T)
    others = camera_ids[targets][:, None] != camera_ids[None]
    if unsure is not None:
        others |= unsure[targets]
    return F.cross_entropy(logits.masked_fill(others, float("-inf")), targets)


def update_proxies(proxies: Tensor, embedding: Tensor, targets: Tensor, *, momentum: float) -> None:
    """Move the proxy of each track of a batch to the mean of its images, in place.

    Args:
        proxies: (T, D) of unit length.
        embedding: (B, D) of unit length, without gradient.
        targets: (B,) own track of each image.
        momentum: Weight of the old proxy, 0 to 1.
    """
    tracks, positions = targets.unique(return_inverse=True)
    sums = torch.zeros(len(tracks), embedding.shape[1], dtype=embedding.dtype).index_add_(0, positions, embedding)
    means = F.normalize(sums)
    proxies[tracks] = F.normalize(momentum * proxies[tracks] + (1 - momentum) * means)
