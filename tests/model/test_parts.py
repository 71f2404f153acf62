import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from passerby.model.parts import Neck, Refinement, Stripes, pool_by_assignment


@settings(max_examples=40)
@given(parts=st.integers(1, 8), height=st.integers(1, 24), width=st.integers(1, 5))
def test_stripes_are_adaptive_average_pooling(parts, height, width):
    """Oracle: torch's adaptive average pooling."""
    features = torch.randn(2, 3, height, width, dtype=torch.float64)
    expected = F.adaptive_avg_pool2d(features, (parts, 1)).squeeze(-1).transpose(1, 2)
    torch.testing.assert_close(Stripes(parts)(features), expected)


def test_refinement_follows_equations_1_and_2():
    """Oracle: both equations, position by position."""
    features = torch.randn(2, 5, 4, 3)
    module = Refinement(5, 3)
    torch.nn.init.normal_(module.classifier.weight)
    w = module.classifier.weight.detach().flatten(1)  # (P, C)
    assignment = module(features).detach()
    parts = pool_by_assignment(features, assignment)
    for b in range(2):
        sums, totals = torch.zeros(3, 5), torch.zeros(3)
        for y in range(4):
            for x in range(3):
                f = features[b, :, y, x]
                scores = [math.exp(float(w[i] @ f)) for i in range(3)]
                for i in range(3):
                    share = scores[i] / sum(scores)
                    assert float(assignment[b, i, y, x]) == pytest.approx(share, abs=1e-5)
                    sums[i] += share * f
                    totals[i] += share
        torch.testing.assert_close(parts[b], sums / totals[:, None], atol=1e-5, rtol=1e-5)


def test_every_position_is_shared_out_completely():
    torch.testing.assert_close(Refinement(8, 6)(torch.randn(2, 8, 8, 4)).sum(dim=1), torch.ones(2, 8, 4))


def test_stripes_as_an_assignment_pool_like_stripes():
    features = torch.randn(2, 5, 6, 4)
    stripes = torch.zeros(2, 3, 6, 4)
    for i in range(3):
        stripes[:, i, 2 * i : 2 * i + 2] = 1
    torch.testing.assert_close(pool_by_assignment(features, stripes), Stripes(3)(features))


def test_pooling_is_finite_in_half_precision():
    features = torch.full((1, 4, 24, 8), 6e4, dtype=torch.float16)
    pooled = pool_by_assignment(features, torch.full((1, 2, 24, 8), 0.5, dtype=torch.float16))
    torch.testing.assert_close(pooled, torch.full((1, 2, 4), 6e4, dtype=torch.float16), rtol=2e-3, atol=0)


def test_a_neck_reduces_normalizes_and_classifies():
    neck = Neck(10, width=4, identities=7).eval()
    pooled = torch.randn(3, 10)
    reduced, logits = neck(pooled)
    expected = pooled @ neck.reduce.weight.T / math.sqrt(1 + neck.norm.eps)  # batch norm as it is made: mean 0, var 1
    torch.testing.assert_close(reduced, expected)
    torch.testing.assert_close(logits, reduced @ neck.classifier.weight.T)
    assert neck.reduce.bias is None


def test_a_neck_without_width_and_identities_is_a_batch_norm():
    neck = Neck(10, width=None, identities=0).eval()
    reduced, logits = neck(torch.randn(3, 10))
    assert reduced.shape == (3, 10)
    assert logits is None
    assert sum(p.numel() for p in neck.parameters()) == 20


def test_initial_weights_are_pcbs():
    torch.manual_seed(0)
    neck = Neck(512, width=256, identities=300)
    assert neck.classifier.weight.detach().std().item() == pytest.approx(0.001, rel=0.02)
    assert not neck.classifier.bias.any()
    assert neck.reduce.weight.detach().std().item() == pytest.approx(math.sqrt(2 / 256), rel=0.02)  # Kaiming, fan out
