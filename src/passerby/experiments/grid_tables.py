"""Results of `ablate` and `compare`, and their tables as Markdown, CSV and LaTeX. Pure functions.

Metrics are fractions from 0 to 1 in the dataclasses and in CSV, percent in Markdown and LaTeX.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from passerby.evaluation.summary import METRICS
from passerby.text import plural, quote_formula
from passerby.types import Result

if TYPE_CHECKING:
    from passerby.evaluation.paired import PairedTest
    from passerby.experiments.grid import GridRun

TABLE_METRICS = ("rank1", "mAP")
ABLATION_COLUMNS = (
    *("table", "row", "data", "metric", "seeds", "mean", "sd"),
    *("difference", "low", "high", "p", "multiply_adds", "parameters"),
)
ABLATION_NOTES = (
    "Rank-1 and mAP in percent: mean and standard deviation over the seeds.",
    "Δ: difference to the first row with its 95 % interval and the p-value of a paired test in which both the seeds "
    "and the test identities are random (min F', Clark 1973, and t over the seeds: the larger p), not corrected for "
    "the number of rows; with one seed the variance between trainings is not included.",
    "FLOPs: multiply-adds of convolutions and matrix products for one image, as the paper counts them. Parameters: "
    "with the classifiers of the training identities.",
)
LATEX_ESCAPES = str.maketrans(
    {letter: f"\\{letter}" for letter in "%&_#${}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    | {"±": r"$\pm$", "Δ": r"$\Delta$", "<": "$<$", ">": "$>$"}
)


@dataclass(frozen=True, repr=False)
class RowMetrics(Result):
    """Metrics of one row on one data set.

    Attributes:
        metrics: For each of `TABLE_METRICS`, one value for each seed, 0 to 1.
        tests: Paired test against the first row by metric, where there is one.
    """

    metrics: Mapping[str, Sequence[float]]
    tests: Mapping[str, PairedTest] = field(default_factory=dict)


@dataclass(frozen=True, repr=False)
class TableRow(Result):
    """One cell of an ablation.

    Attributes:
        name: Row name.
        measured: Metrics by data set; without the data sets that no seed is finished on.
        multiply_adds: For one image.
        parameters: With the classifiers of the training identities.
    """

    name: str
    measured: Mapping[str, RowMetrics]
    multiply_adds: int
    parameters: int


@dataclass(frozen=True)
class AblationTable(Result):
    """One table of an ablation.

    Attributes:
        title: Title.
        data: Data sets, in the order of their columns.
        rows: Rows; the first is the baseline.
    """

    title: str
    data: Sequence[str]
    rows: Sequence[TableRow]

    def __repr__(self) -> str:
        return f"AblationTable({self.title}; {', '.join(self.data)}; {plural(len(self.rows), 'row')})"

    def to_text(self) -> TextTable:
        """Return title, headings and cells as text."""
        headings = ["Method"]
        for data in self.data:
            prefix = f"{data} " if len(self.data) > 1 else ""
            headings += [f"{prefix}{delta}{METRICS[name]}" for delta in ("", "Δ ") for name in TABLE_METRICS]
        rows = [
            [
                row.name,
                *(cell for data in self.data for cell in _format_metrics(row.measured.get(data))),
                f"{row.multiply_adds / 1e9:.3g}" if row.multiply_adds < 1e9 else f"{row.multiply_adds / 1e9:.2f}",
                f"{row.parameters / 1e6:.2f}",
            ]
            for row in self.rows
        ]
        return TextTable(self.title, [*headings, "FLOPs (G)", "Parameters (M)"], rows)


@dataclass(frozen=True)
class Ablation(Result):
    """Result of `ablate`.

    Attributes:
        tables: The paper's tables, one for each other axis, and one of the whole grid if none shows all of it.
        runs: Trainings of the grid, seed by seed.
        failed: Error message of each failed training, by title.
    """

    tables: Sequence[AblationTable]
    runs: Sequence[GridRun] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        done = sum(run.state == "done" for run in self.runs)
        titles = ", ".join(table.title for table in self.tables)
        return f"Ablation({titles}; {done} of {plural(len(self.runs), 'run')} done, {len(self.failed)} failed)"

    def to_markdown(self) -> str:
        """Return the tables, followed by the notes."""
        return format_markdown([table.to_text() for table in self.tables], ABLATION_NOTES)

    def to_latex(self) -> str:
        r"""Return each table as a `table` environment; needs \usepackage{booktabs}."""
        return format_latex([table.to_text() for table in self.tables], ABLATION_NOTES)

    def to_csv(self) -> str:
        """Return one line for each table, row, data set and metric; empty cells where there is no value."""
        lines: list[tuple[Any, ...]] = []
        for table in self.tables:
            for row in table.rows:
                for data, measured in row.measured.items():
                    for metric, values in measured.metrics.items():
                        test = measured.tests.get(metric)
                        tested = ("",) * 4 if test is None else (test.difference, *test.interval, test.p)
                        spread = (np.mean(values), np.std(values, ddof=1) if len(values) > 1 else "")
                        start = (table.title, row.name, data, metric, len(values))
                        lines.append((*start, *spread, *tested, row.multiply_adds, row.parameters))
        return format_csv(ABLATION_COLUMNS, lines)

    def to_files(self) -> dict[str, str]:
        """Return the content of each table file by name."""
        return {"tables.md": self.to_markdown(), "tables.csv": self.to_csv(), "tables.tex": self.to_latex()}


def _format_metrics(measured: RowMetrics | None) -> list[str]:
    """Format mean and deviation of each metric, then each difference; dashes if nothing was measured."""
    if measured is None:
        return ["-"] * (2 * len(TABLE_METRICS))
    means = [format_mean(measured.metrics[metric]) for metric in TABLE_METRICS]
    return means + [format_difference(measured.tests.get(metric)) for metric in TABLE_METRICS]


def format_mean(values: Sequence[float]) -> str:
    """Format the mean in percent, with the standard deviation of several values."""
    deviation = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}{deviation}"


def format_difference(test: PairedTest | None) -> str:
    """Format a difference in percentage points with its interval and p; a dash without a test."""
    if test is None:
        return "-"
    low, high = test.interval
    p = f"p = {test.p:.3f}" if test.p >= 0.001 else "p < 0.001"
    return f"{100 * test.difference:+z.1f} [{100 * low:+z.1f}, {100 * high:+z.1f}], {p}"


@dataclass(frozen=True)
class TextTable:
    """A table of text: title, headings, and rows of as many cells."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def format_markdown(tables: Iterable[TextTable], notes: Iterable[str]) -> str:
    """Format tables under their titles as Markdown, followed by the notes."""
    parts = []
    for table in tables:
        lines = [table.headings, ["---", *["---:"] * (len(table.headings) - 1)], *table.rows]
        parts.append("\n".join([f"## {table.title}", "", *("| " + " | ".join(line) + " |" for line in lines)]))
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)]) + "\n"


def format_latex(tables: Iterable[TextTable], notes: Iterable[str]) -> str:
    """Format each table as a `table` environment with the rules of booktabs and the notes in its caption."""
    caption = escape_latex(" ".join(notes))
    parts = []
    for table in tables:
        head, *body = (" & ".join(map(escape_latex, cells)) + r" \\" for cells in (table.headings, *table.rows))
        columns = "l" + "r" * (len(table.headings) - 1)
        parts += [r"\begin{table}", rf"\caption{{{escape_latex(table.title)}. {caption}}}"]
        parts += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule"]
        parts += [r"\end{tabular}", r"\end{table}", ""]
    return "\n".join(parts)


def format_csv(columns: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    """Format lines of values as CSV under a line of column names; no text is a formula of a spreadsheet."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(
        [[quote_formula(cell) if isinstance(cell, str) else cell for cell in line] for line in (columns, *lines)]
    )
    return stream.getvalue()


def escape_latex(text: str) -> str:
    """Escape the characters that LaTeX interprets."""
    return text.translate(LATEX_ESCAPES)
