import math

import pytest
import torch

from passerby.errors import RecipeError
from passerby.losses.identity import identity_loss


def naive(logits, labels, label_smoothing):
    """Oracle: the smoothed target, image by image and part by part."""
    total = 0.0
    for part in logits:
        for row, label in zip(part.tolist(), labels.tolist(), strict=True):
            norm = math.log(sum(math.exp(value) for value in row))
            for identity, value in enumerate(row):
                target = label_smoothing / len(row) + (1 - label_smoothing) * (identity == label)
                total -= target * (value - norm)
    return total / len(logits) / len(labels)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("parts", [1, 3])
def test_equals_the_definition(parts, label_smoothing):
    logits = [torch.randn(4, 5, dtype=torch.float64) for _ in range(parts)]
    labels = torch.tensor([0, 4, 2, 2])
    actual = identity_loss(logits, labels, label_smoothing=label_smoothing)
    assert actual.item() == pytest.approx(naive(logits, labels, label_smoothing), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(dtype):
    logits = [torch.tensor([[6e4, -6e4, 0.0]], dtype=dtype, requires_grad=True)]
    loss = identity_loss(logits, torch.tensor([1]), label_smoothing=0.1)
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert logits[0].grad.isfinite().all()


def test_a_network_without_classifiers_is_an_error():
    with pytest.raises(RecipeError, match="no classifier"):
        identity_loss((), torch.tensor([0]), label_smoothing=0.1)
