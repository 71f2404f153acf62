"""AP and INP. Oracle: values worked by hand."""

import numpy as np
import pytest

from passerby.evaluation.precision import average_precision, inverse_negative_penalty


@pytest.mark.parametrize(
    ("ranks", "step", "trapezoid"),
    [
        ([1, 3], 0.8333333, 0.7916667),  # the example of the documentation
        ([2], 0.5, 0.25),
        ([1], 1.0, 1.0),
        ([1, 2, 3], 1.0, 1.0),
        ([2, 4], 0.5, (0.25 + (1 / 3 + 1 / 2) / 2) / 2),
    ],
)
def test_both_rules_on_hand_worked_lists(ranks, step, trapezoid):
    assert average_precision(np.array(ranks), np.array([len(ranks)])) == pytest.approx([step])
    assert average_precision(np.array(ranks), np.array([len(ranks)]), rule="trapezoid") == pytest.approx([trapezoid])


def test_consecutive_queries_are_independent():
    ranks, counts = np.array([1, 3, 2, 2, 4]), np.array([2, 1, 2])
    assert average_precision(ranks, counts) == pytest.approx([0.8333333, 0.5, 0.5])
    assert average_precision(ranks, counts, rule="trapezoid")[:2] == pytest.approx([0.7916667, 0.25])
    assert inverse_negative_penalty(ranks, counts) == pytest.approx([2 / 3, 0.5, 0.5])


def test_the_last_match_determines_the_penalty():
    assert inverse_negative_penalty(np.array([1, 2]), np.array([2])) == 1
    assert inverse_negative_penalty(np.array([1, 8]), np.array([2])) == 0.25
