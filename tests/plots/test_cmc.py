"""CMC curves. Oracle: the scores that were given, read back from the lines and texts of the figure."""

import numpy as np
import pytest

from passerby.evaluation.summary import Scores
from passerby.plots.cmc import plot_cmc


def scores(*cmc, **facts):
    settings = {
        "mAP": 0.4,
        "mINP": 0.1,
        "queries": 12,
        "valid_queries": 10,
        "gallery": 1234,
        "protocol": "market",
        "ap": "step",
    }
    return Scores(cmc=np.array(cmc, dtype=np.float32), **{**settings, **facts})


def texts(figure):
    legends = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return "\n".join(legends + [text.get_text() for text in figure.texts])


def test_cmc_is_plotted_in_percent_with_interval_and_protocol(tmp_path, drawn):
    run = scores(0.25, 0.5, 0.75, intervals={"rank1": (0.2, 0.3), "mAP": (0.35, 0.45)})
    files = plot_cmc({"AP": run}, tmp_path / "new" / "cmc.png", max_rank=2)
    assert [file.name for file in files] == ["cmc.png"]
    assert all(file.stat().st_size for file in files)
    line = drawn[0].axes[0].lines[0]
    np.testing.assert_allclose(line.get_xydata(), [[1, 25], [2, 50]])
    bar = drawn[0].axes[0].collections[0].get_segments()[0]
    np.testing.assert_allclose(bar, [[1, 20], [1, 30]])
    for fact in (
        "AP: Rank-1 25.0 % [20.0-30.0], mAP 40.0 % [35.0-45.0]",
        "10 of 12",
        "1,234",
        "market",
        "step AP",
        "95 %",
    ):
        assert fact in texts(drawn[0])


def test_runs_with_different_rules_name_them_in_the_legend(tmp_path, drawn):
    plot_cmc({"a": scores(0.5, 1), "b": scores(0.6, 1, ap="trapezoid")}, tmp_path / "cmc.png")
    assert "step AP" in texts(drawn[0])
    assert "trapezoid AP" in texts(drawn[0])
    assert "interval" not in texts(drawn[0])


def test_ten_runs_with_one_rank_are_plotted(tmp_path, drawn):
    plot_cmc({str(number): scores(number / 10) for number in range(10)}, tmp_path / "cmc.png")
    assert len(drawn[0].axes[0].lines) == 10


def test_the_same_scores_give_the_same_bytes(tmp_path):
    one, other = (plot_cmc({"AP": scores(0.5, 1)}, tmp_path / name / "cmc.png") for name in ("a", "b"))
    assert [file.read_bytes() for file in one] == [file.read_bytes() for file in other]


def test_a_long_name_fits_on_the_page(tmp_path, drawn):
    """Oracle: the legend's own extent, in pixels, inside the figure's."""
    plot_cmc({f"{'a long title, ' * 12}end": scores(0.5, 1.0)}, tmp_path / "cmc.png")
    page, legend = drawn[0].bbox, drawn[0].legends[0].get_window_extent()
    assert page.x0 <= legend.x0 < legend.x1 <= page.x1
    assert page.y0 <= legend.y0 < legend.y1 <= page.y1


def test_no_run_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="runs: got none"):
        plot_cmc({}, tmp_path / "cmc.png")
    assert not list(tmp_path.iterdir())
