"""Quoted figures. Oracle: the paper's table 5, and the bars' lengths."""

import numpy as np
import pytest

from passerby.errors import DataError
from passerby.reporting import published as quoted
from passerby.reporting.published import Quoted, quoted_figure, quoted_on, quoted_source
from passerby.types import Scores


def test_the_quoted_methods_are_the_papers():
    market, duke = quoted_on("market1501"), quoted_on("dukemtmc")
    assert (len(market), len(duke)) == (16, 15)
    assert Quoted("OSNet", 94.8, 84.9) in market
    assert Quoted("ConvNeXt-AP (paper)", 88.2, 77.3) in duke
    assert max(row.mAP for row in market) == 86.5
    assert quoted_on("cuhk01") == []
    assert "table 5" in quoted_source()


def test_bars_stand_by_mAP_with_ours_among_them(monkeypatch, tmp_path):  # noqa: N802
    kept, save = [], quoted.save
    monkeypatch.setattr(quoted, "save", lambda made, path, **how: (kept.append(made), save(made, path, **how))[1])
    ours = Scores(np.array([0.9], np.float32), 0.8, 0.5, 4, 4, 9, "market", "step")
    rows = [Quoted("low", 88.0, 70.0), Quoted("high", 95.0, 90.0)]
    quoted_figure(rows, {"ours": ours}, tmp_path / "q.png", title="t")
    (axes,) = kept[0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["low", "ours", "high"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([70, 80, 90, 88, 90, 95])
    assert len({bar.get_facecolor() for bar in axes.patches}) == 4


def test_no_quoted_figure_is_an_error(tmp_path):
    with pytest.raises(DataError, match="quoted: got none"):
        quoted_figure([], {}, tmp_path / "q.png", title="")
