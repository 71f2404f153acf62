import pytest
import torch

from losses.naive import batch, distance, pairs_of
from passerby.losses.contrastive import contrastive_loss


def naive(embedding, labels, *, margin):
    """Oracle: the definition, pair by pair: two means, each over the pairs that are not yet right."""
    wrong = {"positive": [], "negative": []}
    for anchor in range(len(labels)):
        positives, negatives = pairs_of(labels, anchor)
        wrong["positive"] += [d for other in positives if (d := distance(embedding[anchor], embedding[other])) > 0]
        gaps = [margin - distance(embedding[anchor], embedding[other]) for other in negatives]
        wrong["negative"] += [gap for gap in gaps if gap > 0]
    return sum(sum(each) / len(each) for each in wrong.values() if each)


@pytest.mark.parametrize(("persons", "images"), [(2, 2), (4, 3), (3, 1), (1, 3), (8, 4)])
@pytest.mark.parametrize("margin", [0.5, 1.0])
def test_equals_the_definition(persons, images, margin):
    embedding, labels = batch(persons, images, width=3)
    expected = naive(embedding, labels, margin=margin)
    assert contrastive_loss(embedding, labels, margin=margin).item() == pytest.approx(expected, rel=1e-7)


def test_no_pair_that_is_wrong_gives_a_loss_that_can_be_differentiated():
    embedding = torch.tensor([[1.0, 0], [-1.0, 0]], requires_grad=True)
    loss = contrastive_loss(embedding, torch.tensor([0, 1]), margin=1.0)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(embedding.grad, torch.zeros(2, 2))


def test_half_precision_is_computed_in_float32():
    embedding, labels = batch(8, 4, dtype=torch.bfloat16)
    loss = contrastive_loss(embedding.requires_grad_(), labels, margin=1.0)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(naive(embedding.detach().double(), labels, margin=1.0), rel=1e-3)
    assert embedding.grad.isfinite().all()
