import math

import pytest
import torch

from losses.naive import batch, cosine, pairs_of
from passerby.losses.supcon import supcon_loss


def naive(embedding, labels, *, temperature):
    """Oracle: the definition, anchor by anchor."""
    found = []
    for anchor in range(len(labels)):
        positives, _ = pairs_of(labels, anchor)
        near = [
            math.exp(cosine(embedding[anchor], embedding[other]) / temperature)
            for other in range(len(labels))
            if other != anchor
        ]
        logs = [cosine(embedding[anchor], embedding[other]) / temperature - math.log(sum(near)) for other in positives]
        if logs:
            found.append(-sum(logs) / len(logs))
    return sum(found) / len(found)


@pytest.mark.parametrize(("persons", "images"), [(2, 2), (4, 3), (3, 2), (8, 4)])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_equals_the_definition(persons, images, temperature):
    embedding, labels = batch(persons, images, width=3)
    expected = naive(embedding, labels, temperature=temperature)
    assert supcon_loss(embedding, labels, temperature=temperature).item() == pytest.approx(expected, rel=1e-6)


def test_anchors_without_a_positive_do_not_count():
    embedding, labels = batch(4, 2, width=3)
    alone = torch.cat([labels[:-1], torch.tensor([99])])
    expected = naive(embedding, alone, temperature=0.5)
    assert supcon_loss(embedding, alone, temperature=0.5).item() == pytest.approx(expected, rel=1e-6)


def test_no_positive_at_all_gives_a_loss_that_can_be_differentiated():
    embedding = torch.tensor([[1.0, 0], [-1.0, 0]], requires_grad=True)
    loss = supcon_loss(embedding, torch.tensor([0, 1]), temperature=0.1)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(embedding.grad, torch.zeros(2, 2))


def test_half_precision_is_computed_in_float32():
    embedding, labels = batch(8, 4, dtype=torch.bfloat16)
    loss = supcon_loss(embedding.requires_grad_(), labels, temperature=0.1)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(naive(embedding.detach().double(), labels, temperature=0.1), rel=1e-3)
