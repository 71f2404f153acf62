"""Circle loss on pairs: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization" (2020).

B batch   D embedding width
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from passerby.losses.pairs import logsumexp_where, mean_where, pair_masks
from passerby.model.full_precision import unit_vectors


def circle_loss(embedding: Tensor, labels: Tensor, *, margin: float, gamma: float) -> Tensor:
    """Compute the pairwise circle loss, averaged over the anchors with both a positive and a negative.

    With cosine similarities s_p to positives and s_n to negatives, alpha_p = [1 + m - s_p]+ and alpha_n = [s_n + m]+
    (both without gradient), an anchor's loss is softplus(logsumexp_n(gamma alpha_n (s_n - m)) +
    logsumexp_p(-gamma alpha_p (s_p - 1 + m))).

    Args:
        embedding: (B, D), scaled to unit length here; half precision is computed in float32.
        labels: (B,) identity of each row.
        margin: m, the relaxation.
        gamma: Scale of the similarities.

    Returns:
        A scalar, at least 0; 0 (with gradient 0) when no anchor has both.

    Example:
        >>> import torch
        >>> vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
        >>> circle_loss(vectors, torch.tensor([0, 0, 1]), margin=0.25, gamma=64)
        tensor(22.7706)
    """
    vectors = unit_vectors(embedding)
    positive, negative = pair_masks(labels)
    similarity = vectors @ vectors.T  # (B, B)
    fixed = similarity.detach()
    pull = -gamma * (1 + margin - fixed).relu() * (similarity - 1 + margin)
    push = gamma * (fixed + margin).relu() * (similarity - margin)
    losses = F.softplus(logsumexp_where(push, negative) + logsumexp_where(pull, positive))  # (B,)
    return mean_where(losses, positive.any(dim=1) & negative.any(dim=1))
