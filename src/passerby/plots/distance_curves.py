"""Plots over the distances of pairs of images: histograms, and precision against recall."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from passerby.errors import DataError
from passerby.plots.style import (
    RIGHT,
    TITLE,
    WRONG,
    PlotPath,
    add_legend,
    line_style,
    new_figure,
    require_any,
    save,
    style_axes,
)
from passerby.text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from passerby.evaluation.pair_histogram import PairHistogram

_BARS = 100  # of a histogram


def plot_distances(
    runs: Mapping[str, PairHistogram], path: PlotPath, *, title: str = "Distances of all pairs of images"
) -> list[Path]:
    """Plot histograms of the distances of same-identity and different-identity pairs, one panel for each run.

    Each histogram is in percent of the pairs of its kind.

    Args:
        runs: Counted pairs by the run's name, at least one.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        title: Title of the plot.

    Returns:
        The files written.

    Raises:
        DataError: When `runs` is empty, or a run has no pair.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> import numpy as np
        >>> from passerby.evaluation.pair_histogram import PairHistogram
        >>> pairs = PairHistogram(0.0, 2.0, np.array([5, 2, 0, 0]), np.array([0, 3, 9, 4]))
        >>> [file.name for file in plot_distances({"example": pairs}, Path("distances.png"))]
        ['distances.png']
    """
    require_any(runs, "runs")
    if empty := [name for name, pairs in runs.items() if not (pairs.same.any() or pairs.different.any())]:
        raise DataError(f"runs: {empty[0]} has no pair of images from different cameras to plot")
    used = [(pairs.edges, np.flatnonzero(pairs.same + pairs.different)) for pairs in runs.values()]
    low, high = min(edges[bins[0]] for edges, bins in used), max(edges[bins[-1] + 1] for edges, bins in used)
    figure = new_figure(7.2, 0.9 + 2.1 * len(runs))
    panels = figure.subplots(len(runs), 1, squeeze=False, sharex=True)[:, 0]
    for axes, (name, pairs) in zip(panels, runs.items(), strict=True):
        _draw_histograms(axes, pairs, merge=max(1, round((high - low) / _BARS / pairs.width)))
        style_axes(axes, title=name if len(runs) > 1 else title, x="", y="Pairs (%)")
        add_legend(axes, loc="upper right")
        axes.set_xlim(low, high)
        axes.set_ylim(0, 1.1 * axes.get_ylim()[1])
    panels[-1].set_xlabel("Cosine distance of two images from different cameras", fontsize=10)
    if len(runs) > 1:
        figure.suptitle(title, x=0.01, ha="left", **TITLE)
    figure.tight_layout()
    return save(figure, path)


def _draw_histograms(axes: Axes, pairs: PairHistogram, *, merge: int) -> None:
    """Draw both histograms, with `merge` bins in one bar."""
    starts = np.arange(0, len(pairs.same), merge)
    edges = [*pairs.edges[starts], pairs.high]
    kinds = ((pairs.different, WRONG, "different identities"), (pairs.same, RIGHT, "same identity"))
    for counts, color, label in kinds:
        total = counts.sum()
        if total:
            percents = 100 * np.add.reduceat(counts, starts) / total
            axes.stairs(percents, edges, fill=True, color=color, alpha=0.35)
            axes.stairs(percents, edges, color=color, linewidth=1.4, label=f"{label}: {plural(total, 'pair')}")


def plot_precision_recall(
    runs: Mapping[str, ArrayLike], path: PlotPath, *, title: str = "Precision and recall"
) -> list[Path]:
    """Plot the mean interpolated precision against recall.

    Args:
        runs: (L,) precision, 0 to 1, at L evenly spaced levels of recall from 0 to 1, by the run's name; at least one.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        title: Title of the plot.

    Returns:
        The files written.

    Raises:
        DataError: When `runs` is empty.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> [file.name for file in plot_precision_recall({"example": [1.0, 0.8, 0.5]}, Path("curve.png"))]
        ['curve.png']
    """
    require_any(runs, "runs")
    figure = new_figure(7.2, 4.0 + 0.19 * len(runs))
    axes = figure.add_subplot()
    for number, (name, values) in enumerate(runs.items()):
        precision = np.asarray(values, dtype=np.float64)
        recall = np.linspace(0, 100, len(precision))
        axes.plot(recall, 100 * precision, **line_style(number, dots=False), label=name)
    style_axes(axes, title=title, x="Recall (%)", y="Precision (%)")
    axes.set_xlim(0, 100)
    axes.set_ylim(0, 100)
    add_legend(axes, loc="best")
    figure.tight_layout()
    return save(figure, path)
