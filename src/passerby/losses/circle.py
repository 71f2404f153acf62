"""Circle loss on pairs: Sun et al., "Circle Loss: A Unified Perspective of Pair Similarity Optimization" (2020).

B batch   D embedding width
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from passerby.losses.pairs import pair_masks, unit_vectors


def circle_loss(embedding: Tensor, labels: Tensor, *, margin: float, gamma: float) -> Tensor:
    """Pairwise circle loss, averaged over the anchors that have both a positive and a negative.

    With cosine similarities s_p to positives and s_n to negatives, alpha_p = [1 + m - s_p]+ and alpha_n = [s_n + m]+
    (both without gradient), an anchor's loss is softplus(logsumexp_n(gamma alpha_n (s_n - m)) +
    logsumexp_p(-gamma alpha_p (s_p - 1 + m))). Each anchor's loss is that of pytorch-metric-learning's `CircleLoss`;
    ours differs in the average, which there leaves out anchors whose loss has underflown to 0 in float32, so that the
    scale of the gradient jumps when an anchor becomes easy.

    Args:
        embedding: (B, D), brought to unit length here.
        labels: (B,) person of each row.
        margin: m, the relaxation.
        gamma: Scale of the similarities.

    Returns:
        A scalar, at least 0; 0 (with gradient 0) when no anchor has both.
    """
    vectors = unit_vectors(embedding)
    similarity = vectors @ vectors.T  # (B, B)
    positive, negative = pair_masks(labels)
    alpha_p = (1 + margin - similarity.detach()).relu()
    alpha_n = (similarity.detach() + margin).relu()
    pull = -gamma * alpha_p * (similarity - (1 - margin))  # (B, B)
    push = gamma * alpha_n * (similarity - margin)  # (B, B)
    valid = positive.any(dim=1) & negative.any(dim=1)  # (B,)
    exponent = _logsumexp(pull[valid], positive[valid]) + _logsumexp(push[valid], negative[valid])  # (anchors,)
    return F.softplus(exponent).sum() / valid.sum().clamp(min=1)


def _logsumexp(values: Tensor, mask: Tensor) -> Tensor:
    """Over each row's masked entries, of which there is at least one: (anchors, B) -> (anchors,)."""
    return torch.logsumexp(values.masked_fill(~mask, -torch.inf), dim=1)
