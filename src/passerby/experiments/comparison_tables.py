"""Result of `compare`, and its tables as Markdown and CSV. Pure functions.

Metrics are fractions from 0 to 1 in the dataclasses and in CSV, percent in Markdown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from passerby.evaluation.summary import Scores, describe, percent
from passerby.experiments.grid_tables import TABLE_METRICS, TextTable, format_csv, format_difference, format_markdown
from passerby.reporting.published import PublishedResult, load_published_source
from passerby.text import plural
from passerby.types import Result

if TYPE_CHECKING:
    from passerby.evaluation.paired import PairedTest
    from passerby.experiments.grid import GridRun

LEVEL = 0.05
"""Corrected p below which a difference is beyond chance."""
COMPARISON_COLUMNS = (
    *("budget", "method", "seed", "rank1", "rank1_low", "rank1_high", "mAP", "mAP_low", "mAP_high"),
    *("parameters", "multiply_adds", "trained_per_second", "embedded_per_second", "epochs", "minutes", "tuned"),
    "source",
)
COMPARISON_HEADINGS = (
    *("Method", "Seed", "Rank-1", "mAP", "Parameters (M)", "Multiply-adds (G)"),
    *("Training (images/s)", "Embedding (images/s)", "Epochs", "Minutes"),
)
DIFFERENCE_COLUMNS = (
    "budget",
    "method",
    "reference",
    "metric",
    "seeds",
    "difference",
    "low",
    "high",
    "p",
    "p_corrected",
)
NOTES = (
    "Percent, 95 % interval in brackets: bootstrap over identities, without the variance between trainings.",
    "Parameters without the classifiers of the training identities. Speeds on this machine, under its load.",
)
DIFFERENCE_NOTE = (
    "Differences in percent with their 95 % interval and the p-value of a paired test over the queries by identity "
    "and, with several seeds, over the seeds (min F', Clark 1973, and t: the larger p). The corrected p is Holm's over "
    f"the rows of the table, for each metric by itself; below {LEVEL:g} a difference of mAP is beyond chance. The "
    "intervals are not corrected. With one seed, the variance between trainings is not included."
)
TUNING_NOTE = (
    "Chosen by mAP on held-out training people, who are trained on for the table; the test people had no part in it."
)


@dataclass(frozen=True, repr=False)
class ComparisonRow(Result):
    """One training of one method.

    Attributes:
        budget: Length of the training, such as `12 epochs each`.
        method: Recipe, as it was named.
        seed: Seed of the training.
        scores: Metrics on the data set's queries.
        parameters: Without the classifiers of the training identities.
        multiply_adds: For one image.
        trained_per_second: Images per second of training, median over the steps.
        embedded_per_second: Images per second of embedding, with decoding and mirroring.
        epochs: Epochs of the schedule; 0 for a metric that is learned in closed form.
        minutes: Minutes of training.
        tuned: Setting that was chosen on held-out training people, such as `lr=0.002`; empty without one.
    """

    budget: str
    method: str
    seed: int
    scores: Scores
    parameters: int
    multiply_adds: int
    trained_per_second: float
    embedded_per_second: float
    epochs: int
    minutes: float
    tuned: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON-serializable values, without per-query scores."""
        return vars(self) | {"scores": self.scores.to_dict(per_query=False)}


@dataclass(frozen=True, repr=False)
class MethodDifference(Result):
    """Paired test of a method against the reference.

    Attributes:
        budget: Length of the trainings.
        method: Recipe.
        tests: Test by metric.
        corrected: p by metric, corrected for the number of methods that are compared with the reference (Holm 1979).
    """

    budget: str
    method: str
    tests: Mapping[str, PairedTest]
    corrected: Mapping[str, float]

    @property
    def beyond_chance(self) -> bool:
        """Whether the corrected p of mAP is below `LEVEL`."""
        return self.corrected.get("mAP", 1.0) < LEVEL


@dataclass(frozen=True, repr=False)
class TunedRow(Result):
    """Choice of a setting of one method on held-out training people.

    Attributes:
        method: Recipe.
        key: The setting: `lr`, or a key of recipes.
        metrics: mAP by value, for the trainings that are finished.
        chosen: The value with the highest mAP; None while trainings are missing.
    """

    method: str
    key: str
    metrics: Mapping[float, float]
    chosen: float | None


@dataclass(frozen=True)
class Comparison(Result):
    """Result of `compare`.

    Attributes:
        data: Title of the data set.
        budgets: Length of each training, such as `12 epochs each`; one table for each.
        rows: Finished trainings, by budget, method and seed.
        reference: Method that the others are compared with.
        differences: Tests of the other methods against it.
        tuned: Settings that were chosen on held-out training people.
        tuning: Length and data of the trainings for that choice.
        quoted: Published results on the data set, which were not measured here.
        runs: Trainings of the grid: for the choices, then seed by seed.
        failed: Error message of each failed training, by title.
    """

    data: str
    budgets: Sequence[str]
    rows: Sequence[ComparisonRow]
    reference: str = ""
    differences: Sequence[MethodDifference] = ()
    tuned: Sequence[TunedRow] = ()
    tuning: str = ""
    quoted: Sequence[PublishedResult] = ()
    runs: Sequence[GridRun] = ()
    failed: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        rows = "".join(f", {row.method} mAP {row.scores.mAP:.1%}" for row in self.rows)
        done = sum(run.state == "done" for run in self.runs)
        counts = f"{done} of {plural(len(self.runs), 'run')} done, {len(self.failed)} failed"
        return f"Comparison({self.data}, {' and '.join(self.budgets)}{rows}; {counts})"

    def to_markdown(self) -> str:
        """Return tables of trainings and of differences for each budget, the choices of settings, and the notes."""
        tables = []
        for budget in self.budgets:
            tables.append(
                TextTable(f"Comparison on {self.data}: {budget}", COMPARISON_HEADINGS, self._list_rows(budget))
            )
            if different := [difference for difference in self.differences if difference.budget == budget]:
                tables.append(_tabulate_differences(different, self.reference, budget))
        if self.tuned:
            tables.append(_tabulate_tuning(self.tuned, self.tuning))
        notes = [
            f"On {self.data}, by one evaluator.",
            *([f"{describe(self.rows[0].scores)}."] if self.rows else []),
            *NOTES,
            *([DIFFERENCE_NOTE] if self.differences else []),
            *([TUNING_NOTE] if self.tuned else []),
            *([f"Quoted from {load_published_source()}; not measured by us."] if self.quoted else []),
        ]
        return format_markdown(tables, notes)

    def _list_rows(self, budget: str) -> list[tuple[str, ...]]:
        """List the cells of the measured rows by mAP, then of the quoted ones."""
        rows = [
            (
                row.method,
                str(row.seed),
                *(percent(row.scores, metric).replace(" %", "") for metric in TABLE_METRICS),
                f"{row.parameters / 1e6:.2f}",
                f"{row.multiply_adds / 1e9:.3f}",
                f"{row.trained_per_second:.0f}",
                f"{row.embedded_per_second:.0f}",
                str(row.epochs or "-"),
                f"{row.minutes:.1f}",
            )
            for row in sorted(self.rows, key=lambda row: -row.scores.mAP)
            if row.budget == budget
        ]
        return rows + [
            (f"{row.method} (quoted)", "-", f"{row.rank1:.1f}", f"{row.mAP:.1f}", *("-",) * 6)
            for row in sorted(self.quoted, key=lambda row: -row.mAP)
        ]

    def to_csv(self) -> str:
        """Return one line for each training and each quoted method; empty cells where there is no value."""
        lines: list[tuple[Any, ...]] = []
        for row in self.rows:
            ends = [row.scores.intervals.get(metric, ("", "")) for metric in TABLE_METRICS]
            metrics = (row.scores.rank1, *ends[0], row.scores.mAP, *ends[1])
            costs = (row.parameters, row.multiply_adds, row.trained_per_second, row.embedded_per_second)
            start = (row.budget, row.method, row.seed)
            lines.append((*start, *metrics, *costs, row.epochs, row.minutes, row.tuned, "measured"))
        for quote in self.quoted:
            lines.append(("", quote.method, "", quote.rank1 / 100, "", "", quote.mAP / 100, *("",) * 9, "quoted"))
        return format_csv(COMPARISON_COLUMNS, lines)

    def _differences_to_csv(self) -> str:
        return format_csv(
            DIFFERENCE_COLUMNS,
            [
                (row.budget, row.method, self.reference, metric, test.seeds, test.difference, *test.interval, test.p,
                 row.corrected[metric])
                for row in self.differences
                for metric, test in row.tests.items()
            ],
        )  # fmt: skip

    def to_files(self) -> dict[str, str]:
        """Return the content of each table file by name."""
        files = {"comparison.md": self.to_markdown(), "comparison.csv": self.to_csv()}
        return files | ({"differences.csv": self._differences_to_csv()} if self.differences else {})


def correct_holm(values: Sequence[float]) -> list[float]:
    """Correct p-values for their number by Holm's step-down method (1979).

    Example:
        >>> correct_holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, largest = [0.0] * len(values), 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = largest
    return corrected


def _tabulate_differences(rows: Sequence[MethodDifference], reference: str, budget: str) -> TextTable:
    headings = ("Method", "Seeds", "Δ Rank-1", "Δ mAP", "p of mAP, corrected", "Beyond chance")
    cells = [
        (
            row.method,
            str(max((test.seeds for test in row.tests.values()), default=0)),
            *(format_difference(row.tests.get(metric)) for metric in TABLE_METRICS),
            f"{row.corrected['mAP']:.3f}" if "mAP" in row.corrected else "-",
            "yes" if row.beyond_chance else "no",
        )
        for row in sorted(rows, key=lambda row: -row.tests["mAP"].difference if "mAP" in row.tests else 0.0)
    ]
    return TextTable(f"Differences from {reference}: {budget}", headings, cells)


def _tabulate_tuning(rows: Sequence[TunedRow], tuning: str) -> TextTable:
    cells = [
        (
            row.method,
            row.key,
            ", ".join(f"{value:g}: {100 * mAP:.1f}" for value, mAP in row.metrics.items()) or "-",
            "-" if row.chosen is None else f"{row.chosen:g}",
        )
        for row in rows
    ]
    return TextTable(
        f"Settings chosen on held-out training people: {tuning}", ("Method", "Key", "mAP", "Chosen"), cells
    )
