import math

import pytest
import torch

from losses.naive import batch, cosine, pairs_of
from passerby.losses.circle import circle_loss


def logsumexp(values):
    return max(values) + math.log(sum(math.exp(value - max(values)) for value in values))


def naive(embedding, labels, *, margin, gamma):
    """Oracle: section 4 of the reference, pair by pair."""
    losses = []
    for anchor in range(len(labels)):
        positives, negatives = pairs_of(labels, anchor)
        if not positives or not negatives:
            continue
        s_p = [cosine(embedding[anchor], embedding[other]) for other in positives]
        s_n = [cosine(embedding[anchor], embedding[other]) for other in negatives]
        pull = [-gamma * max(1 + margin - s, 0) * (s - (1 - margin)) for s in s_p]
        push = [gamma * max(s + margin, 0) * (s - margin) for s in s_n]
        exponent = logsumexp(pull) + logsumexp(push)
        losses.append(exponent if exponent > 30 else math.log1p(math.exp(exponent)))  # softplus
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("persons", "images"), [(2, 2), (4, 3), (6, 1), (1, 4), (8, 4)])
@pytest.mark.parametrize(("margin", "gamma"), [(0.25, 16.0), (0.25, 64.0), (0.4, 80.0)])
def test_equals_the_definition(persons, images, margin, gamma):
    embedding, labels = batch(persons, images)
    if persons == 1 or images == 1:
        assert circle_loss(embedding, labels, margin=margin, gamma=gamma).item() == 0
        return
    expected = naive(embedding, labels, margin=margin, gamma=gamma)
    assert circle_loss(embedding, labels, margin=margin, gamma=gamma).item() == pytest.approx(expected, rel=1e-9)


def test_identities_with_one_image_are_negatives_but_no_anchors():
    embedding, labels = batch(4, 2)
    labels[labels == 3] = torch.tensor([7, 8])
    expected = naive(embedding, labels, margin=0.25, gamma=32.0)
    assert circle_loss(embedding, labels, margin=0.25, gamma=32.0).item() == pytest.approx(expected, rel=1e-9)


def test_alphas_have_no_gradient():
    """Oracle: finite differences of the loss with its alphas frozen."""
    embedding, labels = batch(3, 2, width=3)
    embedding.requires_grad_()
    circle_loss(embedding, labels, margin=0.25, gamma=8.0).backward()
    unit = torch.nn.functional.normalize(embedding.detach())
    frozen = unit @ unit.T

    def loss(rows):
        unit = torch.nn.functional.normalize(rows)
        similarity = unit @ unit.T
        total = 0
        for anchor in range(len(labels)):
            positives, negatives = pairs_of(labels, anchor)
            s, f = similarity[anchor], frozen[anchor]
            pull = sum(torch.exp(-8 * (1.25 - f[p]).clamp(min=0) * (s[p] - 0.75)) for p in positives)
            push = sum(torch.exp(8 * (f[n] + 0.25).clamp(min=0) * (s[n] - 0.25)) for n in negatives)
            total = total + torch.log1p(pull * push)
        return total / len(labels)

    step = 1e-6
    for row, column in ((0, 0), (2, 1), (5, 2)):
        nudge = torch.zeros_like(embedding)
        nudge[row, column] = step
        slope = (loss(embedding.detach() + nudge) - loss(embedding.detach() - nudge)) / (2 * step)
        assert embedding.grad[row, column].item() == pytest.approx(slope.item(), rel=1e-5)


@pytest.mark.parametrize("gamma", [64.0, 256.0])
def test_the_easiest_anchors_count(gamma):
    """The mean inside is over losses above 0; an anchor without any error must still be above 0 in float32."""
    embedding = torch.eye(4).repeat_interleave(2, dim=0)  # four people: s_p = 1, s_n = 0
    embedding[7] = embedding[5]  # and one image that looks like another person
    labels = torch.arange(8) // 2
    expected = naive(embedding.double(), labels, margin=0.25, gamma=gamma)
    assert circle_loss(embedding, labels, margin=0.25, gamma=gamma).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    embedding, labels = batch(4, 4, dtype=dtype)
    loss = circle_loss(embedding.requires_grad_(), labels, margin=0.25, gamma=256.0)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert embedding.grad.isfinite().all()
    expected = naive(embedding.detach().double(), labels, margin=0.25, gamma=256.0)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_no_pair_gives_a_loss_that_can_be_differentiated():
    embedding = torch.randn(3, 4, requires_grad=True)
    circle_loss(embedding, torch.arange(3), margin=0.25, gamma=64.0).backward()
    assert torch.equal(embedding.grad, torch.zeros(3, 4))
