"""Scores as words and tables: a figure never stands without what it was measured on."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from passerby.types import Scores

FIGURES = {"rank1": "Rank-1", "rank5": "Rank-5", "rank10": "Rank-10", "mAP": "mAP", "mINP": "mINP"}
"""The figures of a table, with their headings."""


def value(scores: Scores, figure: str) -> float:
    """One of `FIGURES`, 0 to 1."""
    return (
        scores.rank(int(figure.removeprefix("rank"))) if figure.startswith("rank") else float(getattr(scores, figure))
    )


def percent(scores: Scores, figure: str) -> str:
    """A figure in percent with one decimal, its interval in brackets where there is one."""
    ends = _interval(scores, figure)
    return f"{100 * value(scores, figure):.1f} %" + (f" [{ends}]" if ends else "")


def describe(scores: Scores) -> str:
    """What the figures were measured on, in one line."""
    rule = f"{scores.protocol} rule" if scores.protocol == "market" else scores.protocol
    valid = f"{scores.valid_queries:,} of {scores.queries:,} queries valid"
    return f"{rule}, {scores.ap} AP, {valid}, gallery {scores.gallery:,}"


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
    for heading in FIGURES.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for name, scores in evaluations.items():
        cells = [
            Text(f"{100 * value(scores, figure):.1f}").append(f"\n{_interval(scores, figure)}", style="dim")
            for figure in FIGURES
        ]
        facts = (
            f"{scores.protocol}, {scores.ap} AP",
            f"valid {scores.valid_queries:,}/{scores.queries:,}",
            f"gallery {scores.gallery:,}",
        )
        name_and_facts = Text(name, style="bold").append("\n" + "\n".join(facts), style="not bold dim")
        table.add_row(name_and_facts, *cells, end_section=True)
    return table


def _interval(scores: Scores, figure: str) -> str:
    if figure not in scores.intervals:
        return ""
    low, high = scores.intervals[figure]
    return f"{100 * low:.1f}-{100 * high:.1f}"
