"""Tables for the terminal. Oracle: the text that rich prints in 80 columns."""

from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from passerby.cli.tables import build_scores_table
from passerby.evaluation.summary import Scores, describe, percent

PLAIN = Scores(
    cmc=np.array([0.5, 0.625, 0.75], dtype=np.float32),
    mAP=0.4321,
    mINP=0.1,
    queries=3368,
    valid_queries=3360,
    gallery=19732,
    protocol="market",
    ap="trapezoid",
)
WITH_INTERVALS = Scores(
    **{**vars(PLAIN), "intervals": dict.fromkeys(("rank1", "rank5", "rank10", "mAP", "mINP"), (0.25, 0.75))}
)

PERFECT = replace(PLAIN, intervals=dict.fromkeys(("rank1", "rank5", "rank10", "mAP", "mINP"), (1.0, 1.0)))


def render(*arguments, **options):
    console = Console(width=80, file=StringIO())
    console.print(build_scores_table(*arguments, **options))
    return console.file.getvalue()


@pytest.mark.parametrize("scores", [PLAIN, WITH_INTERVALS])
def test_metrics_and_rules_fit_80_columns(scores):
    text = render({"market1501": scores, "dukemtmc (labeled, new protocol)": scores}, title="Scores of runs/m")
    for expected in (
        *(
            "Scores of runs/m",
            "market1501",
            "Rank-1",
            "50.0",
            "Rank-5",
            "75.0",
            "Rank-10",
            "mAP",
            "43.2",
            "mINP",
            "10.0",
        ),
        *("3,360/3,368", "19,732", "market", "trapezoid AP", "percent"),
    ):
        assert expected in text
    assert "…" not in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert ("25.0-75.0" in text) == ("95 % interval" in text) == bool(scores.intervals)


def test_the_widest_intervals_fit_80_columns():
    text = render({"folder (adapted)": PERFECT})
    assert text.count("100.0-100.0") == 5
    assert "…" not in text
    assert "19,732" in text
    assert max(map(len, text.splitlines())) <= 80


def test_one_line_formats():
    assert percent(PLAIN, "rank1") == "50.0 %"
    assert percent(WITH_INTERVALS, "mAP") == "43.2 % [25.0-75.0]"
    assert describe(PLAIN) == "market rule, trapezoid AP, 3,360 of 3,368 queries valid, gallery 19,732"
