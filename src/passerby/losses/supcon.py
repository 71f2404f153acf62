"""Supervised contrastive loss: all positives of an anchor against all other images of the batch.

B batch   D embedding width
"""

from __future__ import annotations

from torch import Tensor

from passerby.losses.pairs import logsumexp_where, mean_where, pair_masks
from passerby.model.full_precision import unit_vectors


def supcon_loss(embedding: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Compute equation 2 of Khosla et al., "Supervised Contrastive Learning" (2020); the sum is outside the logarithm.

    For each anchor, the mean over its positives of -log of exp(cosine / temperature), divided by its sum over all other
    images of the batch; averaged over the anchors with a positive. Unlike batch-hard triplets, every pair has a
    gradient from the first step, so the loss does not collapse while a new network separates no identities.

    Args:
        embedding: (B, D), scaled to unit length here; half precision is computed in float32.
        labels: (B,) identity of each row.
        temperature: Above 0; smaller values weight the nearest images more.

    Returns:
        A scalar; 0 (with gradient 0) when no anchor has a positive.

    Example:
        >>> import torch
        >>> vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> supcon_loss(vectors, torch.tensor([0, 0, 1]), temperature=0.1)
        tensor(1.0647)
    """
    vectors = unit_vectors(embedding)
    positive, negative = pair_masks(labels)
    scores = vectors @ vectors.T / temperature  # (B, B)
    logs = scores - logsumexp_where(scores, positive | negative)[:, None]
    counts = positive.sum(dim=1)  # (B,)
    losses = -logs.masked_fill(~positive, 0).sum(dim=1) / counts.clamp(min=1)
    return mean_where(losses, counts > 0)
