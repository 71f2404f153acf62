"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from passerby.cli.common import print_json
from passerby.evaluation.summary import METRICS, interval, value
from passerby.text import plural

if TYPE_CHECKING:
    from passerby.evaluation.summary import Scores
    from passerby.runs.evaluate_model import EvaluationResult
    from passerby.runs.open_set import OpenSetResult

_LAYOUT: dict[str, Any] = {"title_justify": "left", "caption_justify": "left", "box": box.HORIZONTALS}


def build_scores_table(evaluations: Mapping[str, Scores], *, title: str | None = None) -> Table:
    """Build a table of evaluations that fits 80 columns.

    Args:
        evaluations: Scores by name (data set, run, variant), one row each.
        title: Title of the table.

    Returns:
        A rich table: metrics in percent with their intervals below, names with the rules of the measurement below.
    """
    has_intervals = any(scores.intervals for scores in evaluations.values())
    caption = "metrics in percent"
    caption += ", below them the 95 % interval (bootstrap over identities)" if has_intervals else ""
    caption += "\nvalid: queries that have a match under the protocol; the others are in no metric"
    table = Table(title=title, caption=caption, padding=0, **_LAYOUT)
    table.add_column("Evaluation", min_width=15, overflow="fold")
    for heading in METRICS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for name, scores in evaluations.items():
        cells = [
            Text(f"{100 * value(scores, metric):.1f}").append(f"\n{interval(scores, metric)}", style="dim")
            for metric in METRICS
        ]
        rules = (
            f"{scores.protocol}, {scores.ap} AP",
            f"valid {scores.valid_queries:,}/{scores.queries:,}",
            f"gallery {scores.gallery:,}",
        )
        name_and_rules = Text(name, style="bold").append("\n" + "\n".join(rules), style="not bold dim")
        table.add_row(name_and_rules, *cells, end_section=True)
    return table


def build_open_set_table(title: str, result: OpenSetResult) -> Table:
    """Build a table of open-set metrics with the number of queries and pairs that they were measured on."""
    scores, verification, reliability = result.scores, result.verification, result.reliability
    caption = (
        f"{scores.unknown_queries:,.0f} unknown and {plural(round(scores.known_queries), 'known query')}, "
        f"{plural(round(scores.enrolled), 'identity')} enrolled, {plural(scores.repeats, 'draw')}; "
        f"{plural(verification.same, 'pair')} of the same and {verification.different:,} of different identities; "
        "cosine distances of the model"
    )
    rows: dict[str, str] = {}
    for rate in scores.rates:
        low, high = rate.interval
        text = f"{100 * rate.rate:.1f} %  [{100 * low:.1f}-{100 * high:.1f}]  at distance {rate.threshold:.4f}"
        rows[f"DIR at FAR {100 * rate.far:g} %"] = rate.reason or text
    error, threshold = verification.equal_error_rate, verification.equal_error_threshold
    rows["equal error rate"] = f"{100 * error:.1f} %  at distance {threshold:.4f}"
    rows["area under the ROC"] = f"{verification.area:.4f}"
    if reliability is not None:
        rows["calibration"] = (
            f"expected error {100 * reliability.expected_calibration_error:.1f} %, log loss "
            f"{reliability.log_loss:.3f} (of the prior: {reliability.chance:.3f}), slope {reliability.slope:.2f} "
            "(below 1: over-confident)"
        )
    return build_value_table(title, rows, caption=caption)


def build_value_table(title: str, rows: Mapping[str, str], *, caption: str) -> Table:
    """Build a table of two columns: names, which are not wrapped, and their values."""
    table = Table(title=Text(title, style="bold"), caption=caption, show_header=False, **_LAYOUT)
    table.add_column(no_wrap=True)
    table.add_column()
    for name, text in rows.items():
        table.add_row(name, Text(text))
    return table


def print_results(results: Sequence[EvaluationResult], *, as_json: bool, root: Path | None) -> None:
    """Print evaluations as tables or as JSON, and the folder of the run."""
    if as_json:
        print_json({"run": str(root), "evaluations": [result.to_dict() for result in results]})
        return
    console = Console()
    if results:
        console.print(build_scores_table({result.title: result.scores for result in results}))
    if any(result.accuracy == "not verified" for result in results):
        console.print(
            "[yellow]accuracy not verified[/]: the file was not compared with its model on real people; export the "
            "model again with --check"
        )
    for result in results:
        if result.open_set is not None:
            console.print(build_open_set_table(result.data.title, result.open_set))
    console.print(f"run: {root}", markup=False, highlight=False, soft_wrap=True)
