"""Cumulative match characteristic (CMC) curves."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from passerby.evaluation.summary import Scores, describe, percent
from passerby.plots.curve_page import new_curve_page
from passerby.plots.style import PlotPath, line_style, require_any, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE = 90  # characters of a legend line that fit on the page


def plot_cmc(
    runs: Mapping[str, Scores], path: PlotPath, *, max_rank: int = 20, title: str = "Cumulative match characteristic"
) -> list[Path]:
    """Plot the CMC curves of one or several runs, with the 95 % interval of Rank-1 as a bar.

    Protocol, AP rule and set sizes are written below the plot, or in the legend where the runs differ.

    Args:
        runs: Scores by the name for the legend, at least one.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        max_rank: Ranks on the x axis.
        title: Title of the plot.

    Returns:
        The files written.

    Raises:
        DataError: When `runs` is empty.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from passerby import Embeddings, score
        >>> query = Embeddings(np.eye(2, dtype=np.float32), [1, 2], [0, 0])
        >>> gallery = Embeddings(np.eye(2, dtype=np.float32), [1, 2], [1, 1])
        >>> [file.name for file in plot_cmc({"example": score(query, gallery)}, Path("cmc.png"))]
        ['cmc.png']
    """
    require_any(runs, "runs")
    rules = {name: describe(scores) for name, scores in runs.items()}
    common = len(set(rules.values())) == 1
    notes = [rules[next(iter(runs))]] if common else []
    if any("rank1" in scores.intervals for scores in runs.values()):
        notes.append("vertical bar and brackets: 95 % interval, bootstrap over identities")
    labels = {name: _label(name, scores) + ("" if common else f"\n{rules[name]}") for name, scores in runs.items()}
    page = new_curve_page(list(labels.values()), notes)
    axes = page.axes
    for number, (name, scores) in enumerate(runs.items()):
        percents = 100 * np.asarray(scores.cmc[:max_rank], dtype=np.float64)
        style = line_style(number)
        axes.plot(np.arange(1, len(percents) + 1), percents, **style, label=labels[name], clip_on=False)
        if "rank1" in scores.intervals:
            low, high = (100 * end for end in scores.intervals["rank1"])
            rank = 1 + 0.08 * number  # bars of runs with close scores are drawn side by side
            axes.vlines(rank, low, high, color=style["color"], linewidth=1.5, clip_on=False)
            axes.hlines((low, high), rank - 0.06, rank + 0.06, color=style["color"], linewidth=1.5, clip_on=False)
    style_axes(axes, title=title, x="Rank k", y="Queries with a match in the first k (%)")
    _set_rank_ticks(axes, min(max_rank, max(len(scores.cmc) for scores in runs.values())))
    axes.set_ylim(*_percent_limits(runs.values()))
    return page.save(path)


def _label(name: str, scores: Scores) -> str:
    """Return the name and metrics of a run on one line if it fits on the page, or the metrics below the name."""
    metrics = f"Rank-1 {percent(scores, 'rank1')}, mAP {percent(scores, 'mAP')}"
    one_line = f"{name}: {metrics}"
    return one_line if len(one_line) <= _LINE else f"{textwrap.fill(name, _LINE)}\n{metrics}"


def _set_rank_ticks(axes: Axes, last: int) -> None:
    axes.set_xticks([rank for rank in (1, 5, 10, 15, 20, 30, 40, 50) if rank <= last])
    axes.set_xlim(0.5, max(last, 2) + 0.3)


def _percent_limits(runs: Iterable[Scores]) -> tuple[float, float]:
    """Return the limits of the y axis: a multiple of 10 below all that is drawn, and 100."""
    lowest = min(min(float(scores.cmc[0]), *scores.intervals.get("rank1", (1.0, 1.0))) for scores in runs)
    return max(0.0, 10 * np.floor(10 * lowest - 0.5)), 100.0
