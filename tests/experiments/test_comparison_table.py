"""The table of a comparison. Oracle: its own figures, read back."""

import csv
import io

import numpy as np
import pytest

from passerby.experiments.comparison_table import CSV_COLUMNS, Compared, to_csv, to_markdown
from passerby.reporting.published import PublishedResult
from passerby.types import Scores


def row(method, rank1, mean):
    scores = Scores(
        np.array([rank1], np.float32), mean, 0.1, 9, 8, 20, "market", "step", {"rank1": (0.1, 0.9), "mAP": (0.2, 0.7)}
    )
    return Compared(method, 3, scores, 2_190_000, 978_900_000, 31.4, 250.6, 12, 9.87)


ROWS = [row("weak", 0.5, 0.25), row("strong", 0.75, 0.5)]
QUOTED = [PublishedResult("theirs", 94.8, 84.9), PublishedResult("best", 95.1, 85.0)]


def test_rows_stand_by_mAP_and_quoted_ones_below():  # noqa: N802
    lines = to_markdown(ROWS, QUOTED, data="set (x)", what="12 epochs each").splitlines()
    table = [line for line in lines if line.startswith("| ")]
    assert [line.split("|")[1].strip() for line in table[2:]] == ["strong", "weak", "best (quoted)", "theirs (quoted)"]
    cells = [cell.strip() for cell in table[2].split("|")[1:-1]]
    assert cells == ["strong", "3", "75.0 [10.0-90.0]", "50.0 [20.0-70.0]", "2.19", "0.979", "31", "251", "12", "9.9"]
    assert len({line.count("|") for line in table}) == 1
    assert any("12 epochs each, on set (x)" in line for line in lines)
    assert any("8 of 9 queries valid" in line for line in lines)
    assert any("not measured by us" in line for line in lines)


def test_nothing_quoted_is_not_announced():
    assert "uoted" not in to_markdown(ROWS, [], data="d", what="w")


def test_the_csv_holds_numbers():
    found = list(csv.DictReader(io.StringIO(to_csv(ROWS, QUOTED))))
    assert tuple(found[0]) == CSV_COLUMNS
    assert [each["source"] for each in found] == ["measured"] * 2 + ["quoted"] * 2
    assert float(found[1]["mAP"]) == 0.5
    assert float(found[1]["rank1_high"]) == 0.9
    assert int(found[0]["parameters"]) == 2_190_000
    assert float(found[2]["rank1"]) == pytest.approx(0.948)
    assert found[2]["minutes"] == ""
