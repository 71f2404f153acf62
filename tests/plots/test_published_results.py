"""Published and measured results. Oracle: the values that were given, read back from the bars."""

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.evaluation.summary import Scores
from passerby.plots.published_results import plot_published_results


def test_bars_are_sorted_by_mAP_with_the_runs_among_them(drawn, tmp_path):  # noqa: N802
    measured = Scores(np.array([0.9], np.float32), 0.8, 0.5, 4, 4, 9, "market", "step")
    published = {"low": (88.0, 70.0), "high": (95.0, 90.0)}
    plot_published_results(published, {"ours": measured}, tmp_path / "q.png", title="t")
    (axes,) = drawn[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["low", "ours", "high"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([70, 80, 90, 88, 90, 95])
    assert len({bar.get_facecolor() for bar in axes.patches}) == 4


def test_no_published_result_is_an_error(tmp_path):
    with pytest.raises(DataError, match="published: got none"):
        plot_published_results({}, {}, tmp_path / "q.png", title="")
