"""Plots over distances. Oracle: the counts that were given, read back from the figure."""

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.evaluation.pair_histogram import PairHistogram
from passerby.plots.distance_curves import plot_distances, plot_precision_recall


def test_histograms_are_in_percent_of_the_pairs_of_their_kind(drawn, tmp_path):
    same, different = np.zeros(100, dtype=int), np.zeros(100, dtype=int)
    same[10], same[12], different[50] = 3, 1, 7
    histogram = PairHistogram(0.0, 2.0, same, different)
    files = plot_distances({"a": histogram, "b": histogram}, tmp_path / "d.png")
    assert [path.suffix for path in files] == [".png"]
    assert all(path.stat().st_size > 1000 for path in files)
    axes = drawn[0].axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "different identities: 7 pairs",
        "same identity: 4 pairs",
    ]
    heights = [patch.get_data().values for patch in axes.patches]
    assert [counts.sum() for counts in heights] == pytest.approx([100] * 4)
    assert max(heights[-1]) == 75
    assert axes.get_xlim() == pytest.approx((0.2, 1.02))


def test_pairs_of_one_kind_only_are_plotted(drawn, tmp_path):
    counts = np.zeros(10, dtype=int)
    counts[3] = 2
    plot_distances({"a": PairHistogram(0.0, 2.0, np.zeros(10, dtype=int), counts)}, tmp_path / "d.png")
    assert len(drawn[0].axes[0].get_legend().get_texts()) == 1


def test_precision_is_plotted_against_recall(drawn, tmp_path):
    plot_precision_recall({"a": np.linspace(1, 0.5, 101), "b": np.full(101, 0.25)}, tmp_path / "p.png")
    first, second = drawn[0].axes[0].lines
    np.testing.assert_allclose(first.get_xdata()[[0, -1]], [0, 100])
    np.testing.assert_allclose(first.get_ydata()[[0, -1]], [100, 50])
    assert set(second.get_ydata()) == {25}


def test_no_run_and_no_pair_are_errors(tmp_path):
    for plot in (plot_distances, plot_precision_recall):
        with pytest.raises(DataError, match="runs: got none"):
            plot({}, tmp_path / "x.png")
    nothing = np.zeros(4, dtype=int)
    with pytest.raises(DataError, match="runs: a has no pair"):
        plot_distances({"a": PairHistogram(0.0, 2.0, nothing, nothing)}, tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []
