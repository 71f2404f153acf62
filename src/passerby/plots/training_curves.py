"""Curves of a training: learning rate, losses and metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.plots.style import COLORS, INK, dress, line_style, new_figure, save

Record = Mapping[str, Any]

_POINTS = 2000  # of a curve


def plot_learning_rate(records: Sequence[Record], path: Path, *, title: str = "Learning rate") -> list[Path]:
    """The learning rate of each step, as the log holds it.

    Args:
        records: Records of `log.jsonl`; those with `learning_rate` are drawn.
        path: The PNG to write; the SVG goes beside it.
        title: What stands above.

    Raises:
        DataError: When no record holds a learning rate.
    """
    steps = _having(records, "learning_rate")
    place, unit = _progress(steps, steps)
    figure = new_figure(7.2, 3.6)
    axes = figure.add_axes((0.115, 0.155, 0.855, 0.73))
    few = _few(len(steps))
    axes.plot(place[few], [record["learning_rate"] for record in steps[few]], **line_style(COLORS[0], dots=False))
    dress(axes, title=title, x=unit, y="Learning rate")
    axes.set_xlim(0, 1.01 * place[-1])
    axes.set_ylim(0, None)
    return save(figure, path, vector=True)


def plot_losses(records: Sequence[Record], path: Path, *, title: str = "Losses") -> list[Path]:
    """Losses over the training, and beside them the scores that were measured on the way, if any.

    Each loss is drawn step by step, faintly, and as its mean over each epoch.

    Args:
        records: Records of `log.jsonl`: those with `losses`, and those with `scores` (0 to 1).
        path: The PNG to write; the SVG goes beside it.
        title: What stands above the losses.

    Raises:
        DataError: When no record holds losses.
    """
    steps = _having(records, "losses")
    measured = [record for record in records if record.get("scores")]
    figure = new_figure(9.6 if measured else 7.2, 4.0)
    left, *right = figure.subplots(1, 2 if measured else 1, squeeze=False)[0]
    place, unit = _progress(steps, steps)
    epochs = np.array([record["epoch"] for record in steps])
    for number, name in enumerate(dict.fromkeys(name for record in steps for name in record["losses"])):
        color = COLORS[number % len(COLORS)]
        values = np.array([record["losses"].get(name, np.nan) for record in steps], dtype=np.float64)
        few = _few(len(steps))
        if unit == "Epoch":
            left.plot(place[few], values[few], color=color, linewidth=0.7, alpha=0.3)
            left.plot(*_epoch_means(epochs, place, values), **line_style(color, dots=epochs[-1] < 15), label=name)
        else:
            left.plot(place[few], values[few], **line_style(color, dots=False), label=name)
    dress(left, title=title, x=unit, y="Loss (line: mean of the epoch)" if unit == "Epoch" else "Loss")
    left.set_xlim(0, 1.01 * place[-1])
    left.margins(y=0.12)
    left.legend(fontsize=9, frameon=False, labelcolor=INK, ncols=4, loc="upper right", columnspacing=1.2)
    for axes in right:
        _score_curves(axes, measured, _progress(measured, steps)[0], unit)
        axes.set_xlim(left.get_xlim())
    figure.tight_layout()
    return save(figure, path, vector=True)


def _score_curves(axes: Axes, measured: Sequence[Record], place: NDArray[np.float64], unit: str) -> None:
    """Scores over the training, in percent."""
    curves: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for when, record in zip(place, measured, strict=True):
        for name, value in record["scores"].items():
            curves[name].append((float(when), 100 * float(value)))
    for number, (name, points) in enumerate(curves.items()):
        color = COLORS[number % len(COLORS)]
        axes.plot(*zip(*points, strict=True), **line_style(color), label=name)
    dress(axes, title="Scores on the way", x=unit, y="Score (%)")
    axes.set_ylim(0, min(105, 1.15 * max(value for points in curves.values() for _, value in points) + 5))
    axes.legend(fontsize=9, frameon=False, labelcolor=INK, loc="lower right")


def _few(count: int) -> slice:
    """Every so many of `count` points, last one included: a curve of 100,000 steps needs no 100,000 points."""
    stride = max(1, count // _POINTS)
    return slice((count - 1) % stride, None, stride)


def _having(records: Sequence[Record], key: str) -> list[Record]:
    found = [record for record in records if key in record]
    if not found:
        raise DataError(f"records: none of {len(records)} holds {key!r}; has the training logged a step yet?")
    return found


def _progress(records: Sequence[Record], steps: Sequence[Record]) -> tuple[NDArray[np.float64], str]:
    """Where each record stands on the x axis, in epochs once one has ended, in steps before; and the axis' name."""
    ends = [record for record in steps if record.get("epoch_ends")]
    at = np.array([record["step"] for record in records], dtype=np.float64)
    return (at * (ends[0]["epoch"] + 1) / ends[0]["step"], "Epoch") if ends else (at, "Step")


def _epoch_means(
    epochs: NDArray[np.int64], place: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[list[float], list[float]]:
    """Middle of each epoch on the x axis, and the mean of the values in it."""
    groups = [np.flatnonzero((epochs == epoch) & np.isfinite(values)) for epoch in np.unique(epochs)]
    return (
        [float(place[group].mean()) for group in groups if len(group)],
        [float(values[group].mean()) for group in groups if len(group)],
    )
