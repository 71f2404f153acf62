"""Published results. Oracle: the paper's table 5, and the bars' lengths."""

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.reporting import published as quoted
from passerby.reporting.published import (
    PublishedResult,
    load_published_results,
    load_published_source,
    plot_published_results,
)
from passerby.types import Scores


def test_the_quoted_methods_are_the_papers():
    market, duke = load_published_results("market1501"), load_published_results("dukemtmc")
    assert (len(market), len(duke)) == (16, 15)
    assert PublishedResult("OSNet", 94.8, 84.9) in market
    assert PublishedResult("ConvNeXt-AP (paper)", 88.2, 77.3) in duke
    assert max(row.mAP for row in market) == 86.5
    assert load_published_results("cuhk01") == []
    assert "table 5" in load_published_source()


def test_bars_stand_by_mAP_with_ours_among_them(monkeypatch, tmp_path):  # noqa: N802
    kept, save = [], quoted.save
    monkeypatch.setattr(quoted, "save", lambda made, path, **how: (kept.append(made), save(made, path, **how))[1])
    ours = Scores(np.array([0.9], np.float32), 0.8, 0.5, 4, 4, 9, "market", "step")
    rows = [PublishedResult("low", 88.0, 70.0), PublishedResult("high", 95.0, 90.0)]
    plot_published_results(rows, {"ours": ours}, tmp_path / "q.png", title="t")
    (axes,) = kept[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["low", "ours", "high"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([70, 80, 90, 88, 90, 95])
    assert len({bar.get_facecolor() for bar in axes.patches}) == 4


def test_no_quoted_figure_is_an_error(tmp_path):
    with pytest.raises(DataError, match="quoted: got none"):
        plot_published_results([], {}, tmp_path / "q.png", title="")
