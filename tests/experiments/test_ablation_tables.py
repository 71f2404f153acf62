"""Tables of an ablation. Oracle: cells worked out by hand, and each format read back."""

import csv
import io

import pytest

from passerby.evaluation.paired import PairedTest
from passerby.experiments.ablation_tables import AblationTable, Measured, Row, to_csv, to_latex, to_markdown

TEST = PairedTest(difference=0.021, interval=(-0.004, 0.046), p=0.083, seeds=3, people=40)
BASE = Measured({"rank1": (0.10, 0.12, 0.14), "mAP": (0.2, 0.2, 0.2)})
BETTER = Measured({"rank1": (0.15, 0.14, 0.16), "mAP": (0.3,)}, {"rank1": TEST})
ROWS = [Row("Baseline", {"c_1": BASE}, 10_030_000_000, 87_566_000), Row("A & P", {"c_1": BETTER}, 201_000_000, 123)]
TABLE = AblationTable("Table 2: 100 % A", ["c_1"], ROWS)


def lines(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


def test_markdown_has_the_papers_columns_mean_deviation_and_test():
    head, rule, first, second = lines(to_markdown([TABLE]), "|")
    assert head == "| Method | Rank-1 | mAP | Δ Rank-1 | Δ mAP | FLOPs (G) | Parameters (M) |"
    assert rule.count("---") == 7
    assert first == "| Baseline | 12.0 ± 2.0 | 20.0 ± 0.0 | - | - | 10.03 | 87.57 |"
    assert second == "| A & P | 15.0 ± 1.0 | 30.0 | +2.1 [-0.4, +4.6], p = 0.083 | - | 0.201 | 0.00 |"


def test_a_small_p_is_not_zero():
    tiny = Measured({"rank1": (0.5,), "mAP": (0.5,)}, {"mAP": PairedTest(0.1, (0.1, 0.1), 1e-9, 1, 40)})
    assert "p < 0.001" in to_markdown([AblationTable("T", ["d"], [Row("A", {"d": tiny}, 1, 1)])])


def test_each_data_set_has_its_columns_and_what_is_missing_is_a_dash():
    head, _, first, _ = lines(to_markdown([AblationTable("T", ["c_1", "duke"], ROWS)]), "|")
    assert [heading for heading in head.split(" | ") if "duke" in heading] == [
        "duke Rank-1",
        "duke mAP",
        "duke Δ Rank-1",
        "duke Δ mAP",
    ]
    assert first.split(" | ")[5:9] == ["-"] * 4


def test_the_notes_say_how_it_was_measured():
    text = to_markdown([TABLE, TABLE])
    assert text.count("min F'") == 1
    for fact in ("standard deviation over the seeds", "95 % interval", "not corrected", "multiply-adds"):
        assert fact in text


def test_csv_holds_numbers_that_come_back():
    found = list(csv.DictReader(io.StringIO(to_csv([TABLE]))))
    assert [(row["row"], row["figure"]) for row in found] == [
        ("Baseline", "rank1"),
        ("Baseline", "mAP"),
        ("A & P", "rank1"),
        ("A & P", "mAP"),
    ]
    assert float(found[0]["mean"]) == pytest.approx(0.12)
    assert float(found[0]["sd"]) == pytest.approx(0.02)
    assert (found[2]["difference"], found[2]["low"], found[2]["p"]) == ("0.021", "-0.004", "0.083")
    assert (found[3]["sd"], found[3]["p"], found[3]["seeds"]) == ("", "", "1")
    assert {row["parameters"] for row in found} == {"87566000", "123"}


def test_latex_escapes_what_tex_would_take_for_its_own():
    text = to_latex([AblationTable("50 % of_it", ["c_1", "b"], ROWS)])
    assert r"\caption{50 \% of\_it." in text
    assert r"A \& P & 15.0 $\pm$ 1.0" in text
    assert r"$\Delta$ Rank-1" in text
    assert text.count(r"\begin{tabular}{lrrrrrrrrrr}") == text.count(r"\end{tabular}") == 1
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.replace(r"\&", "").count("&") for line in body} == {10}
