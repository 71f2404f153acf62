"""Oracle: the paper's figure, worked by hand: 120 epochs, 5 of warm-up, 0.02 up to 0.1, cosine down to 0."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from passerby.training.schedule import learning_rate

PAPER = {"epochs": 120, "warmup_epochs": 5, "lr_init": 0.02, "lr_max": 0.1}


@pytest.mark.parametrize(
    ("progress", "rate"),
    [
        (0, 0.02),
        (2.5, 0.06),
        (5, 0.1),
        (5 + 115 / 2, 0.05),  # half of the cosine
        (5 + 115 / 3, 0.1 * (1 + 0.5) / 2),  # cos(pi / 3) = 0.5
        (120, 0.0),
        (130, 0.0),
    ],
)
def test_rate_is_pinned_to_the_papers_figure(progress, rate):
    assert learning_rate(progress, **PAPER) == pytest.approx(rate, abs=1e-12)


def test_no_warm_up_starts_at_the_top_and_ends_at_the_bottom():
    found = [learning_rate(t, epochs=10, warmup_epochs=0, lr_init=0.0, lr_max=1.0, lr_min=0.1) for t in (0, 10)]
    assert found == pytest.approx([1.0, 0.1])


@given(early=st.floats(0, 120), late=st.floats(0, 120))
def test_rises_in_the_warm_up_and_never_after(early, late):
    early, late = sorted((early, late))
    first, second = (learning_rate(t, **PAPER) for t in (early, late))
    assert min(first, second) >= 0
    assert max(first, second) <= 0.1 + 1e-12
    if late <= 5:
        assert second >= first
    if early >= 5:
        assert second <= first or math.isclose(first, second)
