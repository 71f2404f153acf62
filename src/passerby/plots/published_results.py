"""Bars of measured results beside published ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from passerby.evaluation.summary import Scores
from passerby.plots.style import COLORS, GRID, INK, MUTED, PlotPath, new_figure, require_any, save, style_axes


def plot_published_results(
    published: Mapping[str, tuple[float, float]], runs: Mapping[str, Scores], path: PlotPath, *, title: str
) -> list[Path]:
    """Plot bars of Rank-1 and mAP, sorted by mAP: published results in gray, runs in color.

    Args:
        published: (Rank-1, mAP) in percent by method, at least one.
        runs: Scores of runs on the same data set, by name.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        title: Title of the plot.

    Returns:
        The files written.

    Raises:
        DataError: When `published` is empty.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> files = plot_published_results({"OSNet": (94.8, 84.9)}, {}, Path("bars.png"), title="Market-1501")
        >>> [file.name for file in files]
        ['bars.png']
    """
    require_any(published, "published")
    measured = {name: (100 * scores.rank1, 100 * scores.mAP) for name, scores in runs.items()}
    rows = [(name, metrics, False) for name, metrics in published.items()]
    rows += [(name, metrics, True) for name, metrics in measured.items()]
    rows.sort(key=lambda row: row[1][1])
    figure = new_figure(7.2, 1.1 + 0.36 * len(rows))
    axes = figure.add_subplot()
    for column, shift, strong, weak in ((1, -0.2, COLORS[0], MUTED), (0, 0.2, COLORS[4], GRID)):
        values = [metrics[column] for _, metrics, _ in rows]
        colors = [strong if own else weak for *_, own in rows]
        axes.barh(np.arange(len(rows)) + shift, values, height=0.36, color=colors)
        for row, value in enumerate(values):
            axes.text(value + 0.6, row + shift, f"{value:.1f}", fontsize=7.5, color=INK, va="center")
    style_axes(axes, title=title, x="Percent; upper bar: Rank-1, lower bar: mAP", y="")
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    for label, (*_, own) in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color(COLORS[0] if own else INK)
        label.set_fontweight("bold" if own else "normal")
    axes.set_xlim(0, 107)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.grid(visible=False, axis="y")
    figure.tight_layout()
    return save(figure, path)
