"""Results and tables of ablations and comparisons. Oracle: cells worked out by hand, and each format read back."""

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from passerby.evaluation.paired import PairedTest
from passerby.evaluation.summary import Scores
from passerby.experiments.comparison_tables import (
    COMPARISON_COLUMNS,
    Comparison,
    ComparisonRow,
    MethodDifference,
    correct_holm,
)
from passerby.experiments.grid_tables import (
    Ablation,
    AblationTable,
    RowMetrics,
    TableRow,
    format_csv,
    format_difference,
)
from passerby.reporting.published import PublishedResult

BUDGET = "12 epochs each"
TEST = PairedTest(difference=0.021, interval=(-0.004, 0.046), p=0.083, seeds=3, identities=40)
BASE = RowMetrics({"rank1": (0.10, 0.12, 0.14), "mAP": (0.2, 0.2, 0.2)})
BETTER = RowMetrics({"rank1": (0.15, 0.14, 0.16), "mAP": (0.3,)}, {"rank1": TEST})
ROWS = [
    TableRow("Baseline", {"c_1": BASE}, 10_030_000_000, 87_566_000),
    TableRow("A & P", {"c_1": BETTER}, 201_000_000, 123),
]
TABLE = AblationTable("Table 2: 100 % A", ["c_1"], ROWS)


def lines(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


def test_markdown_has_the_papers_columns_mean_deviation_and_test():
    head, rule, first, second = lines(Ablation([TABLE]).to_markdown(), "|")
    assert head == "| Method | Rank-1 | mAP | Δ Rank-1 | Δ mAP | FLOPs (G) | Parameters (M) |"
    assert rule.count("---") == 7
    assert first == "| Baseline | 12.0 ± 2.0 | 20.0 ± 0.0 | - | - | 10.03 | 87.57 |"
    assert second == "| A & P | 15.0 ± 1.0 | 30.0 | +2.1 [-0.4, +4.6], p = 0.083 | - | 0.201 | 0.00 |"


def test_a_small_p_is_not_zero():
    tiny = RowMetrics({"rank1": (0.5,), "mAP": (0.5,)}, {"mAP": PairedTest(0.1, (0.1, 0.1), 1e-9, 1, 40)})
    table = AblationTable("T", ["d"], [TableRow("A", {"d": tiny}, 1, 1)])
    assert "p < 0.001" in Ablation([table]).to_markdown()


def test_each_data_set_has_its_columns_and_missing_values_are_dashes():
    head, _, first, _ = lines(Ablation([AblationTable("T", ["c_1", "duke"], ROWS)]).to_markdown(), "|")
    assert [heading for heading in head.split(" | ") if "duke" in heading] == [
        "duke Rank-1",
        "duke mAP",
        "duke Δ Rank-1",
        "duke Δ mAP",
    ]
    assert first.split(" | ")[5:9] == ["-"] * 4


def test_notes_state_the_method_of_measurement_once():
    text = Ablation([TABLE, TABLE]).to_markdown()
    assert text.count("min F'") == 1
    for fact in ("standard deviation over the seeds", "95 % interval", "not corrected", "multiply-adds"):
        assert fact in text


def test_ablation_csv_holds_the_numbers():
    rows = list(csv.DictReader(io.StringIO(Ablation([TABLE]).to_csv())))
    assert [(row["row"], row["metric"]) for row in rows] == [
        ("Baseline", "rank1"),
        ("Baseline", "mAP"),
        ("A & P", "rank1"),
        ("A & P", "mAP"),
    ]
    assert float(rows[0]["mean"]) == pytest.approx(0.12)
    assert float(rows[0]["sd"]) == pytest.approx(0.02)
    assert (rows[2]["difference"], rows[2]["low"], rows[2]["p"]) == ("0.021", "-0.004", "0.083")
    assert (rows[3]["sd"], rows[3]["p"], rows[3]["seeds"]) == ("", "", "1")
    assert {row["parameters"] for row in rows} == {"87566000", "123"}


def test_latex_special_characters_are_escaped():
    text = Ablation([AblationTable("50 % of_it", ["c_1", "b"], ROWS)]).to_latex()
    assert r"\caption{50 \% of\_it." in text
    assert r"A \& P & 15.0 $\pm$ 1.0" in text
    assert r"$\Delta$ Rank-1" in text
    assert text.count(r"\begin{tabular}{lrrrrrrrrrr}") == text.count(r"\end{tabular}") == 1
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.replace(r"\&", "").count("&") for line in body} == {10}


def compared(method, rank1, mean):
    scores = Scores(
        np.array([rank1], np.float32), mean, 0.1, 9, 8, 20, "market", "step", {"rank1": (0.1, 0.9), "mAP": (0.2, 0.7)}
    )
    return ComparisonRow(BUDGET, method, 3, scores, 2_190_000, 978_900_000, 31.4, 250.6, 12, 9.87)


METHODS = [compared("weak", 0.5, 0.25), compared("strong", 0.75, 0.5)]
QUOTED = [PublishedResult("theirs", 94.8, 84.9), PublishedResult("best", 95.1, 85.0)]


def test_comparison_is_sorted_by_map_with_quoted_rows_below():
    text = Comparison("set (x)", [BUDGET], METHODS, quoted=QUOTED).to_markdown().splitlines()
    table = [line for line in text if line.startswith("| ")]
    assert [line.split("|")[1].strip() for line in table[2:]] == ["strong", "weak", "best (quoted)", "theirs (quoted)"]
    cells = [cell.strip() for cell in table[2].split("|")[1:-1]]
    assert cells == ["strong", "3", "75.0 [10.0-90.0]", "50.0 [20.0-70.0]", "2.19", "0.979", "31", "251", "12", "9.9"]
    assert len({line.count("|") for line in table}) == 1
    assert any("Comparison on set (x): 12 epochs each" in line for line in text)
    assert any("8 of 9 queries valid" in line for line in text)
    assert any("not measured by us" in line for line in text)


def test_comparison_without_quoted_rows_has_no_note_on_them():
    assert "uoted" not in Comparison("d", [BUDGET], METHODS).to_markdown()


def test_comparison_csv_holds_the_numbers():
    rows = list(csv.DictReader(io.StringIO(Comparison("d", [BUDGET], METHODS, quoted=QUOTED).to_csv())))
    assert tuple(rows[0]) == COMPARISON_COLUMNS
    assert [row["source"] for row in rows] == ["measured"] * 2 + ["quoted"] * 2
    assert float(rows[1]["mAP"]) == 0.5
    assert float(rows[1]["rank1_high"]) == 0.9
    assert int(rows[0]["parameters"]) == 2_190_000
    assert float(rows[2]["rank1"]) == pytest.approx(0.948)
    assert rows[2]["minutes"] == ""


@pytest.mark.parametrize(
    ("result", "line"),
    [
        (
            Ablation([TABLE], failed={"A & P, c_1, seed 0": "out of memory"}),
            "Ablation(Table 2: 100 % A; 0 of 0 runs done, 1 failed)",
        ),
        (
            Comparison("d", ["1 epoch each"], METHODS),
            "Comparison(d, 1 epoch each, weak mAP 25.0%, strong mAP 50.0%; 0 of 0 runs done, 0 failed)",
        ),
    ],
)
def test_results_print_on_one_line_and_serialize(result, line):
    assert repr(TABLE) == "AblationTable(Table 2: 100 % A; c_1; 2 rows)"
    assert repr(result) == line
    tree = json.loads(json.dumps(result.to_dict()))
    assert tree["failed"] == result.failed
    assert len(tree.get("tables", tree.get("rows"))) == (1 if "tables" in tree else 2)


def test_text_that_a_spreadsheet_would_compute_has_an_apostrophe():
    lines = [["=1+1", "@a", "-x", "+x", "\t=1"], ["-0.5", "1e-3", -0.5, "a=1", ""]]
    assert format_csv(["a", "b", "c", "d", "=e"], lines) == (
        "a,b,c,d,'=e\n'=1+1,'@a,'-x,'+x,'\t=1\n-0.5,1e-3,-0.5,a=1,\n"
    )


def test_holms_correction_is_the_published_one():
    """Oracle: Holm 1979 by hand: sorted p times 4, 3, 2, 1, each at least the one before."""
    assert correct_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert correct_holm([0.6, 0.9]) == [1.0, 1.0]
    assert correct_holm([]) == []


def test_differences_beyond_chance_are_named_after_the_correction():
    clear = PairedTest(difference=0.2, interval=(0.1, 0.3), p=0.001, seeds=1, identities=40)
    rows = [
        MethodDifference(BUDGET, "weak", {"rank1": TEST, "mAP": clear}, {"rank1": 0.1, "mAP": 0.002}),
        MethodDifference(BUDGET, "other", {"mAP": TEST}, {"mAP": 0.083}),
    ]
    result = Comparison("d", [BUDGET], METHODS, reference="strong", differences=rows)
    lines = [line for line in result.to_markdown().splitlines() if line.startswith(("| weak", "| other"))]
    assert lines[-2].endswith("| 0.002 | yes |")
    assert lines[-1].endswith("| 0.083 | no |")
    assert lines[-1].startswith("| other | 3 | - |")
    header, *table = csv.reader(io.StringIO(result.to_files()["differences.csv"]))
    assert [row[header.index("p_corrected")] for row in table] == ["0.1", "0.002", "0.083"]


def test_a_small_fall_is_not_printed_as_minus_zero():
    test = replace(TEST, difference=-0.0002, interval=(-0.0104, 0.0102))
    assert format_difference(test) == "+0.0 [-1.0, +1.0], p = 0.083"
