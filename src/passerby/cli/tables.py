"""Tables that the terminal shows."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from passerby.evaluation.summary import METRICS, Scores, interval, value
from passerby.openset.detection import OpenSetScores
from passerby.openset.reliability import Reliability
from passerby.openset.verification import Verification


def scores_table(evaluations: Mapping[str, Scores], *, title: str | None = None) -> Table:
    """A table of one or several evaluations that fits 80 columns.

    Args:
        evaluations: Scores by name (data set, run, variant), one row each.
        title: What stands above.

    Returns:
        A rich Table: figures in percent, under each its interval, under each name what it was measured on.
    """
    sure = any(scores.intervals for scores in evaluations.values())
    caption = "figures in percent" + (", below them the 95 % interval (bootstrap over identities)" if sure else "")
    caption += "\nvalid: queries that have a match under the protocol; the others count in no figure"
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left", box=box.HORIZONTALS)
    table.add_column("Evaluation")
    for heading in METRICS.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for name, scores in evaluations.items():
        cells = [
            Text(f"{100 * value(scores, metric):.1f}").append(f"\n{interval(scores, metric)}", style="dim")
            for metric in METRICS
        ]
        facts = (
            f"{scores.protocol}, {scores.ap} AP",
            f"valid {scores.valid_queries:,}/{scores.queries:,}",
            f"gallery {scores.gallery:,}",
        )
        name_and_facts = Text(name, style="bold").append("\n" + "\n".join(facts), style="not bold dim")
        table.add_row(name_and_facts, *cells, end_section=True)
    return table


def open_set_table(
    title: str, scores: OpenSetScores, verification: Verification, reliability: Reliability | None
) -> Table:
    """Known against unknown people, pairs, and what the calibration is worth, with what each was measured on."""
    caption = (
        f"{scores.unknown_queries:,.0f} unknown and {scores.known_queries:,.0f} known queries, {scores.enrolled:,.0f} "
        f"people enrolled, {scores.repeats} draws; {verification.same:,} pairs of one person, "
        f"{verification.different:,} of two; the model's own cosine distances"
    )
    table = Table(
        title=Text(title, style="bold"),
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.HORIZONTALS,
        show_header=False,
    )
    for each in scores.rates:
        figure = each.reason or (
            f"{100 * each.rate:.1f} %  [{100 * each.interval[0]:.1f}-{100 * each.interval[1]:.1f}]  "
            f"at distance {each.threshold:.4f}"
        )
        table.add_row(f"DIR at FAR {100 * each.far:g} %", figure)
    table.add_row(
        "equal error rate",
        f"{100 * verification.equal_error_rate:.1f} %  at distance {verification.equal_error_threshold:.4f}",
    )
    table.add_row("area under the ROC", f"{verification.area:.4f}")
    if reliability is not None:
        table.add_row(
            "calibration",
            f"expected error {100 * reliability.expected_calibration_error:.1f} %, log loss "
            f"{reliability.log_loss:.3f} (knowing nothing: {reliability.chance:.3f}), slope {reliability.slope:.2f} "
            "(below 1: over-confident)",
        )
    return table
