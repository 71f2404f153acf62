"""Tables of an ablation, in the columns of the paper's Tables 2 to 4, as Markdown, CSV and LaTeX. Pure functions.

Figures are shares from 0 to 1 here, and percent in the text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from passerby.evaluation.paired import PairedTest

FIGURES = {"rank1": "Rank-1", "mAP": "mAP"}
CSV_COLUMNS = (
    *("table", "row", "data", "figure", "seeds", "mean", "sd"),
    *("difference", "low", "high", "p", "multiply_adds", "parameters"),
)
NOTES = (
    "Rank-1 and mAP in percent: mean and standard deviation over the seeds.",
    "Δ: difference to the first row with its 95 % interval and the p-value of a paired test in which both the seeds "
    "and the test people are chance (min F', Clark 1973, and t over the seeds: the larger p), not corrected for the "
    "number of rows; with one seed the chance of training is not in it.",
    "FLOPs: multiply-adds of convolutions and matrix products for one image, as the paper counts them. Parameters: "
    "with the classifiers of the training identities.",
)
"""What a reader must know, under every table."""


@dataclass(frozen=True)
class Measured:
    """One row on one data set.

    Attributes:
        figures: For each of `FIGURES`, one value for each seed.
        tests: Against the first row; without those that there are none for.
    """

    figures: Mapping[str, Sequence[float]]
    tests: Mapping[str, PairedTest] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One cell of the grid: its name, its figures by data set (none where it has not been trained), its cost."""

    name: str
    measured: Mapping[str, Measured]
    multiply_adds: int
    parameters: int


@dataclass(frozen=True)
class AblationTable:
    """Rows beside each other, the first of which is the baseline; `data` names the pairs of columns."""

    title: str
    data: Sequence[str]
    rows: Sequence[Row]


def to_markdown(tables: Sequence[AblationTable]) -> str:
    """The tables one after the other, with the notes under the last."""
    parts = []
    for table in tables:
        lines = [_headings(table), ["---"] * (3 + 4 * len(table.data)), *_body(table)]
        parts.append("\n".join([f"## {table.title}", "", *("| " + " | ".join(line) + " |" for line in lines)]))
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in NOTES)]) + "\n"


def to_latex(tables: Sequence[AblationTable]) -> str:
    r"""Each as a `table` with booktabs' rules; needs \usepackage{booktabs}."""
    return "\n".join(_latex(table) for table in tables)


def _latex(table: AblationTable) -> str:
    def line(cells: Sequence[str]) -> str:
        return " & ".join(_tex(cell) for cell in cells) + r" \\"

    return "\n".join(
        [
            r"\begin{table}",
            rf"\caption{{{_tex(table.title)}. {_tex(' '.join(NOTES))}}}",
            r"\begin{tabular}{l" + "r" * (2 + 4 * len(table.data)) + "}",
            r"\toprule",
            line(_headings(table)),
            r"\midrule",
            *(line(cells) for cells in _body(table)),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def to_csv(tables: Sequence[AblationTable]) -> str:
    """One line for each table, row, data set and figure, in numbers: shares from 0 to 1, empty where there is none."""
    stream = io.StringIO()
    write = csv.writer(stream, lineterminator="\n").writerow
    write(CSV_COLUMNS)
    for table in tables:
        for row in table.rows:
            for data, measured in row.measured.items():
                for figure, values in measured.figures.items():
                    test = measured.tests.get(figure)
                    tested = ("", "", "", "") if test is None else (test.difference, *test.interval, test.p)
                    facts = (len(values), np.mean(values), np.std(values, ddof=1) if len(values) > 1 else "")
                    write([table.title, row.name, data, figure, *facts, *tested, row.multiply_adds, row.parameters])
    return stream.getvalue()


def _headings(table: AblationTable) -> list[str]:
    """Pairs of columns name their data set where there are several."""
    found = ["Method"]
    for data in table.data:
        where = f"{data} " if len(table.data) > 1 else ""
        found += [f"{where}{heading}" for heading in FIGURES.values()]
        found += [f"{where}Δ {heading}" for heading in FIGURES.values()]
    return [*found, "FLOPs (G)", "Parameters (M)"]


def _body(table: AblationTable) -> list[list[str]]:
    return [
        [
            row.name,
            *(cell for data in table.data for cell in _figures(row.measured.get(data))),
            f"{row.multiply_adds / 1e9:.3g}" if row.multiply_adds < 1e9 else f"{row.multiply_adds / 1e9:.2f}",
            f"{row.parameters / 1e6:.2f}",
        ]
        for row in table.rows
    ]


def _figures(measured: Measured | None) -> list[str]:
    """Mean and deviation of each figure, then each difference; dashes where nothing was measured."""
    if measured is None:
        return ["-"] * (2 * len(FIGURES))
    values = [_spread(measured.figures[figure]) for figure in FIGURES]
    return values + [_difference(measured.tests.get(figure)) for figure in FIGURES]


def _spread(values: Sequence[float]) -> str:
    deviation = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{deviation}"


def _difference(test: PairedTest | None) -> str:
    if test is None:
        return "-"
    low, high = test.interval
    p = f"p = {test.p:.3f}" if test.p >= 0.001 else "p < 0.001"
    return f"{100 * test.difference:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}], {p}"


def _tex(text: str) -> str:
    """Text with what TeX would take for commands made plain."""
    signs = {"%": r"\%", "&": r"\&", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}"}
    signs |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    signs |= {"±": r"$\pm$", "Δ": r"$\Delta$", "<": "$<$", ">": "$>$"}
    return "".join(signs.get(letter, letter) for letter in text)
