import math

import pytest
import torch
from pytorch_metric_learning.losses import TripletMarginLoss
from pytorch_metric_learning.miners import BatchHardMiner

from losses.naive import batch, distance, pairs_of
from passerby.losses.triplet import triplet_loss


def naive(embedding, labels, *, margin):
    """Oracle: Hermans et al. 2017, equation 5, anchor by anchor; the mean over anchors that have both."""
    losses = []
    for anchor in range(len(labels)):
        positives, negatives = pairs_of(labels, anchor)
        if not positives or not negatives:
            continue
        farthest = max(distance(embedding[anchor], embedding[other]) for other in positives)
        nearest = min(distance(embedding[anchor], embedding[other]) for other in negatives)
        gap = farthest - nearest
        losses.append(math.log1p(math.exp(gap)) if margin is None else max(margin + gap, 0))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("persons", "images"), [(2, 2), (4, 3), (8, 4)])
@pytest.mark.parametrize("margin", [0.3, 0.01, None])
def test_equals_the_definition(persons, images, margin):
    embedding, labels = batch(persons, images)
    labels[labels == 1] = torch.arange(50, 50 + images)  # one image each: negatives, but no anchors
    expected = naive(embedding, labels, margin=margin)
    assert triplet_loss(embedding, labels, margin=margin).item() == pytest.approx(expected, rel=1e-7)


def test_easy_anchors_count_where_pytorch_metric_learnings_default_drops_them():
    """Its default divides by the anchors whose loss is above 0; the paper, and ours, by all."""
    embedding = torch.tensor([[1.0, 0], [1.0, 0], [-1.0, 0], [-1.0, 0], [0, 1.0], [-1.0, 0.1]])
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    theirs = TripletMarginLoss(margin=0.3)(embedding, labels, BatchHardMiner()(embedding, labels))
    ours = triplet_loss(embedding, labels, margin=0.3)
    assert ours.item() == pytest.approx(naive(embedding, labels, margin=0.3), rel=1e-5)
    assert ours.item() == pytest.approx(theirs.item() * 4 / 6, rel=1e-5)  # person 0's two anchors are easy


@pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0]])
@pytest.mark.parametrize("margin", [0.3, None])
def test_no_triplet_gives_a_loss_that_can_be_differentiated(labels, margin):
    embedding = torch.randn(3, 4, requires_grad=True)
    loss = triplet_loss(embedding, torch.tensor(labels), margin=margin)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(embedding.grad, torch.zeros(3, 4))


@pytest.mark.parametrize("margin", [0.3, None])
def test_equal_vectors_and_half_precision_stay_finite(margin):
    embedding = torch.ones(40, 8, dtype=torch.bfloat16, requires_grad=True)
    loss = triplet_loss(embedding, torch.arange(40) // 4, margin=margin)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log(2) if margin is None else margin, abs=1e-3)
    assert embedding.grad.isfinite().all()
