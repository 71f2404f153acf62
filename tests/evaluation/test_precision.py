"""AP and INP of one query, hand-worked."""

import numpy as np
import pytest

from passerby.evaluation.precision import average_precision, inverse_negative_penalty


@pytest.mark.parametrize(
    ("ranks", "step", "trapezoid"),
    [
        ([1, 3], 0.8333333, 0.7916667),  # the reference's own examples
        ([2], 0.5, 0.25),
        ([1], 1.0, 1.0),
        ([1, 2, 3], 1.0, 1.0),
        ([2, 4], 0.5, (0.25 + (1 / 3 + 1 / 2) / 2) / 2),
    ],
)
def test_both_rules_on_hand_worked_lists(ranks, step, trapezoid):
    assert average_precision(np.array(ranks)) == pytest.approx(step)
    assert average_precision(np.array(ranks), rule="trapezoid") == pytest.approx(trapezoid)


def test_the_last_match_sets_the_penalty():
    assert inverse_negative_penalty(np.array([1, 2])) == 1
    assert inverse_negative_penalty(np.array([1, 8])) == 0.25
