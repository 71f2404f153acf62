"""The ranking loss of MaskReID. Oracles: its equation pair by pair, a hand-worked case."""

import math

import pytest
import torch

from losses.naive import batch, cosine, pairs_of
from passerby.losses.ranking import ranking_loss


def naive(embedding, labels, *, margin, positive_weight):
    losses = []
    for anchor in range(len(labels)):
        positives, negatives = pairs_of(labels, anchor)
        if not positives or not negatives:
            continue
        s_p = [cosine(embedding[anchor], embedding[other]) for other in positives]
        s_n = [cosine(embedding[anchor], embedding[other]) for other in negatives]
        gaps = [s - min(s_p) + margin for s in s_n]
        pushed = math.log(1 + sum(math.exp(gap) for gap in gaps if gap > 0))
        losses.append(pushed + positive_weight / 2 * sum((s - 1) ** 2 for s in s_p) / len(s_p))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("persons", "images"), [(2, 2), (4, 3), (8, 4), (6, 1), (1, 4)])
@pytest.mark.parametrize(("margin", "positive_weight"), [(0.15, 2.0), (0.1, 0.0), (0.5, 10.0)])
def test_equals_the_definition(persons, images, margin, positive_weight):
    embedding, labels = batch(persons, images)
    value = ranking_loss(embedding, labels, margin=margin, positive_weight=positive_weight)
    if persons == 1 or images == 1:
        assert value.item() == 0
        return
    expected = naive(embedding, labels, margin=margin, positive_weight=positive_weight)
    assert value.item() == pytest.approx(expected, rel=1e-9)


def test_a_case_worked_by_hand():
    """Anchor 0: similarities 0.6 and 0, no negative within the margin. Anchor 1: 0.6 and 0.8, a gap of 0.35."""
    vectors = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    value = ranking_loss(vectors, torch.tensor([0, 0, 1]), margin=0.15, positive_weight=2.0)
    assert value.item() == pytest.approx((0.16 + 0.16 + math.log(1 + math.exp(0.35))) / 2, rel=1e-6)


def test_gradients_are_finite_and_zero_without_pairs():
    embedding, labels = batch(4, 2)
    ranking_loss(embedding.requires_grad_(), labels, margin=0.15, positive_weight=2.0).backward()
    assert embedding.grad.isfinite().all()
    assert embedding.grad.abs().sum() > 0
    alone = torch.randn(3, 4, requires_grad=True)
    ranking_loss(alone, torch.arange(3), margin=0.15, positive_weight=2.0).backward()
    assert torch.equal(alone.grad, torch.zeros(3, 4))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    embedding, labels = batch(4, 4, dtype=dtype)
    value = ranking_loss(embedding, labels, margin=0.15, positive_weight=2.0)
    assert value.dtype == torch.float32
    expected = naive(embedding.double(), labels, margin=0.15, positive_weight=2.0)
    assert value.item() == pytest.approx(expected, rel=1e-4)
