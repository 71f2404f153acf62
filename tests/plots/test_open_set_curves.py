"""Open-set plots. Oracle: the results that were given, read back from the lines and texts of the figure."""

import numpy as np
import pytest

from passerby.evaluation.pair_histogram import PairHistogram
from passerby.openset.calibration import Calibration, FittedOn
from passerby.openset.detection import DirAtFar, OpenSetScores
from passerby.openset.reliability import measure_reliability
from passerby.openset.verification import verify
from passerby.plots.open_set_curves import plot_dir, plot_reliability, plot_roc

PAIRS = PairHistogram(0.0, 1.0, np.array([400, 60, 20, 10]), np.array([10, 200, 3000, 9000]))
LINE = Calibration("logistic", "cosine", [0.0, 1.0], [3.0, -3.0], FittedOn("drawn", 9, 9, 9, 9, False))
MISSING = DirAtFar(0.001, np.nan, (np.nan, np.nan), np.nan, "0.1 % of 50 unknown queries is less than one query")
OPEN = OpenSetScores(
    rates=(DirAtFar(0.1, 0.6, (0.5, 0.7), 0.4), MISSING, DirAtFar(0.02, 0.3, (0.2, 0.45), 0.3)),
    unknown=0.5,
    known_queries=50,
    unknown_queries=50,
    enrolled=25,
    repeats=100,
)


def texts(figure):
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return "\n".join(legends + [text.get_text() for text in figure.texts])


def lines(figure):
    return [line.get_xydata() for line in figure.axes[0].lines]


def test_reliability_is_plotted_for_bins_with_pairs(tmp_path, drawn):
    result = measure_reliability(LINE, PAIRS)
    files = plot_reliability({"run": result}, tmp_path / "new" / "reliability.png")
    assert [file.name for file in files] == ["reliability.png"]
    used = result.weight > 0
    np.testing.assert_allclose(lines(drawn[0])[1], np.stack([result.predicted[used], result.observed[used]], axis=1))
    heights = [bar.get_height() for bar in drawn[0].axes[1].patches]
    np.testing.assert_allclose(heights, 100 * result.weight)
    for fact in (
        "ECE",
        "Brier",
        "slope",
        "490 same-identity pairs, 12,210 different-identity pairs",
        "prior of 50 %",
    ):
        assert fact in texts(drawn[0])


def test_roc_starts_at_the_smallest_resolved_rate_and_marks_the_equal_error_rate(tmp_path, drawn):
    result = verify(PAIRS)
    plot_roc({"run": result}, tmp_path / "roc.png")
    _, curve, dot = lines(drawn[0])
    assert curve[0, 0] == pytest.approx(10 / 12_210)
    assert curve[-1].tolist() == [1, 100]
    np.testing.assert_allclose(dot, [[result.equal_error_rate, 100 * (1 - result.equal_error_rate)]])
    assert f"equal error rate {100 * result.equal_error_rate:.1f} %" in texts(drawn[0])


def test_dir_is_plotted_in_order_and_unresolved_rates_are_listed(tmp_path, drawn):
    plot_dir({"run": OPEN}, tmp_path / "dir.png")
    np.testing.assert_allclose(lines(drawn[0])[0], [[0.02, 30], [0.1, 60]])
    assert "run: too few unknown queries for 0.1 %" in texts(drawn[0])
    assert "50 known and 50 unknown queries, 25 identities enrolled" in texts(drawn[0])


def test_legends_of_several_runs_fit_on_the_page(tmp_path, drawn):
    """Oracle: the legend's own extent, in pixels, inside the figure's and above the notes."""
    names = [f"a run with a long name, number {number}" for number in range(4)]
    plot_reliability(dict.fromkeys(names, measure_reliability(LINE, PAIRS)), tmp_path / "a.png")
    plot_roc(dict.fromkeys(names, verify(PAIRS)), tmp_path / "b.png")
    plot_dir(dict.fromkeys(names, OPEN), tmp_path / "c.png")
    for figure in drawn:
        page, legend = figure.bbox, figure.legends[0].get_window_extent()
        notes = figure.texts[0].get_window_extent()
        assert page.x0 <= legend.x0 < legend.x1 <= page.x1
        assert notes.y1 <= legend.y0
        assert legend.y1 <= figure.axes[-1].get_tightbbox().y0


def test_the_same_results_give_the_same_bytes(tmp_path):
    one, other = (plot_roc({"run": verify(PAIRS)}, tmp_path / name / "roc.png") for name in ("a", "b"))
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in other]


def test_nothing_to_plot_is_an_error(tmp_path):
    for plot in (plot_reliability, plot_roc, plot_dir):
        with pytest.raises(ValueError, match="results: got none"):
            plot({}, tmp_path / "a.png")
    unresolved = OpenSetScores((MISSING,), 0.5, 50, 50, 25, 100)
    with pytest.raises(ValueError, match=r"results: no rate can be plotted; 0.1 % of 50 unknown queries"):
        plot_dir({"run": unresolved}, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
