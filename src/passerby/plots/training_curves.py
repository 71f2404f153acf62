"""Curves of a training: learning rate, losses, and metrics measured during training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.plots.style import COLORS, PlotPath, add_legend, line_style, new_figure, save, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Record = Mapping[str, Any]
"""One line of a run's `log.jsonl`."""

_POINTS = 2000  # largest number of points of a curve


def plot_learning_rate(records: Sequence[Record], path: PlotPath, *, title: str = "Learning rate") -> list[Path]:
    """Plot the learning rate of each step.

    Args:
        records: Records of `log.jsonl`; those with `learning_rate` are used.
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        title: Title of the plot.

    Returns:
        The files written.

    Raises:
        DataError: When no record holds a learning rate.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> records = [{"step": step, "epoch": 1, "learning_rate": step / 100} for step in range(1, 11)]
        >>> [file.name for file in plot_learning_rate(records, Path("rate.png"))]
        ['rate.png']
    """
    steps = _select(records, "learning_rate")
    x, unit = _progress(steps, steps)
    figure = new_figure(7.2, 4.0)
    axes = figure.add_axes((0.115, 0.14, 0.855, 0.75))
    few = _thin(len(steps))
    axes.plot(x[few], [record["learning_rate"] for record in steps[few]], **line_style(0, dots=False))
    style_axes(axes, title=title, x=unit, y="Learning rate")
    axes.set_xlim(0, 1.01 * x[-1])
    axes.set_ylim(0, None)
    return save(figure, path)


def plot_losses(records: Sequence[Record], path: PlotPath, *, title: str = "Losses") -> list[Path]:
    """Plot the losses of a training and, in a second panel, the metrics measured during training if there are any.

    Each loss is drawn twice: pale at every step, and strong as its mean over each epoch.

    Args:
        records: Records of `log.jsonl`: those with `losses`, and those with `scores` (0 to 1).
        path: The file to write, or several; `.png` or `.svg` selects the format of each.
        title: Title of the losses' panel.

    Returns:
        The files written.

    Raises:
        DataError: When no record holds losses.
        MissingExtraError: When matplotlib is not installed.

    Example:
        >>> records = [{"step": step, "epoch": 1, "losses": {"total": 5 / step}} for step in range(1, 11)]
        >>> [file.name for file in plot_losses(records, Path("losses.png"))]
        ['losses.png']
    """
    steps = _select(records, "losses")
    measured = [record for record in records if record.get("scores")]
    figure = new_figure(9.6 if measured else 7.2, 4.0)
    left, *right = figure.subplots(1, 2 if measured else 1, squeeze=False)[0]
    x, unit = _progress(steps, steps)
    _draw_losses(left, steps, x, by_epoch=unit == "Epoch")
    style_axes(left, title=title, x=unit, y="Loss (line: mean of the epoch)" if unit == "Epoch" else "Loss")
    left.set_xlim(0, 1.01 * x[-1])
    left.margins(y=0.12)
    add_legend(left, ncols=4, loc="upper right", columnspacing=1.2)
    for axes in right:
        _draw_metrics(axes, measured, _progress(measured, steps)[0], unit)
        axes.set_xlim(left.get_xlim())
    figure.tight_layout()
    return save(figure, path)


def _draw_losses(axes: Axes, steps: Sequence[Record], x: NDArray[np.float64], *, by_epoch: bool) -> None:
    epochs = np.array([record["epoch"] for record in steps])
    few = _thin(len(steps))
    for number, name in enumerate(dict.fromkeys(name for record in steps for name in record["losses"])):
        values = np.array([record["losses"].get(name, np.nan) for record in steps], dtype=np.float64)
        if by_epoch:
            axes.plot(x[few], values[few], color=COLORS[number % len(COLORS)], linewidth=0.7, alpha=0.3)
            axes.plot(*_epoch_means(epochs, x, values), **line_style(number, dots=epochs[-1] < 15), label=name)
        else:
            axes.plot(x[few], values[few], **line_style(number, dots=False), label=name)


def _draw_metrics(axes: Axes, measured: Sequence[Record], x: NDArray[np.float64], unit: str) -> None:
    """Draw metrics in percent."""
    curves: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for position, record in zip(x, measured, strict=True):
        for name, value in record["scores"].items():
            curves[name].append((float(position), 100 * float(value)))
    for number, (name, points) in enumerate(curves.items()):
        axes.plot(*zip(*points, strict=True), **line_style(number), label=name)
    style_axes(axes, title="Metrics during training", x=unit, y="Metric (%)")
    axes.set_ylim(0, min(105, 1.15 * max(value for points in curves.values() for _, value in points) + 5))
    add_legend(axes, loc="lower right")


def _thin(count: int) -> slice:
    """Return a slice of at most about `_POINTS` of `count` points, the last one included."""
    stride = max(1, count // _POINTS)
    return slice((count - 1) % stride, None, stride)


def _select(records: Sequence[Record], key: str) -> list[Record]:
    """Return the records with a key; raise DataError when there is none."""
    selected = [record for record in records if key in record]
    if not selected:
        raise DataError(f"records: none of {len(records)} holds {key!r}; no training step is in the log yet")
    return selected


def _progress(records: Sequence[Record], steps: Sequence[Record]) -> tuple[NDArray[np.float64], str]:
    """Return each record's x value and the unit: epochs when at least one epoch is complete, steps before that."""
    ends = [record for record in steps if record.get("epoch_ends")]
    x = np.array([record["step"] for record in records], dtype=np.float64)
    return (x * ends[0]["epoch"] / ends[0]["step"], "Epoch") if ends else (x, "Step")


def _epoch_means(
    epochs: NDArray[np.int64], x: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[list[float], list[float]]:
    """Return the mean x value and the mean of the values of each epoch."""
    groups = [np.flatnonzero((epochs == epoch) & np.isfinite(values)) for epoch in np.unique(epochs)]
    return (
        [float(x[group].mean()) for group in groups if len(group)],
        [float(values[group].mean()) for group in groups if len(group)],
    )
