"""Metrics as text."""

from __future__ import annotations

from passerby.types import Scores

METRICS = {"rank1": "Rank-1", "rank5": "Rank-5", "rank10": "Rank-10", "mAP": "mAP", "mINP": "mINP"}
"""Metrics of a table, with their headings."""


def value(scores: Scores, metric: str) -> float:
    """Return one of `METRICS`, 0 to 1."""
    return (
        scores.rank(int(metric.removeprefix("rank"))) if metric.startswith("rank") else float(getattr(scores, metric))
    )


def percent(scores: Scores, metric: str) -> str:
    """Format a metric in percent with one decimal, followed by its interval in brackets if there is one."""
    ends = interval(scores, metric)
    return f"{100 * value(scores, metric):.1f} %" + (f" [{ends}]" if ends else "")


def describe(scores: Scores) -> str:
    """Describe in one line how the metrics were measured: protocol, AP rule, valid queries, gallery size."""
    rule = f"{scores.protocol} rule" if scores.protocol == "market" else scores.protocol
    valid = f"{scores.valid_queries:,} of {scores.queries:,} queries valid"
    return f"{rule}, {scores.ap} AP, {valid}, gallery {scores.gallery:,}"


def interval(scores: Scores, metric: str) -> str:
    """Format the interval of a metric in percent, such as `25.0-75.0`; empty if there is none."""
    if metric not in scores.intervals:
        return ""
    low, high = scores.intervals[metric]
    return f"{100 * low:.1f}-{100 * high:.1f}"
