"""Curves of a run: CMC, learning rate, losses and scores. Each function draws one figure and returns its files."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from passerby.errors import DataError
from passerby.evaluation.summary import describe, percent
from passerby.plots.style import COLORS, INK, MUTED, dress, new_figure, save
from passerby.types import Scores

Record = Mapping[str, Any]

_POINTS = 2000  # of a curve
_LINE = 90  # letters of a legend that fit on the page


def cmc_figure(
    runs: Mapping[str, Scores], path: Path, *, max_rank: int = 20, title: str = "Cumulative match characteristic"
) -> list[Path]:
    """CMC curves of one or several runs, with the interval of Rank-1 as a bar.

    What the figures were measured on stands under the plot, or in the legend where the runs differ.

    Args:
        runs: Scores by the name in the legend, at least one.
        path: The PNG to write; the SVG goes beside it.
        max_rank: Ranks to show.
        title: What stands above.

    Raises:
        DataError: For no runs.
    """
    if not runs:
        raise DataError("runs: got none, expected at least one evaluation to draw")
    facts = {name: describe(scores) for name, scores in runs.items()}
    common = len(set(facts.values())) == 1
    notes = [facts[next(iter(runs))]] if common else []
    if any("rank1" in scores.intervals for scores in runs.values()):
        notes.append("bar and brackets: 95 % interval, bootstrap over identities")
    # The legend stands under the plot, where no curve can run behind it: inches for its lines and the notes'.
    labels = {name: _label(name, scores) + ("" if common else f"\n{facts[name]}") for name, scores in runs.items()}
    lines = sum(label.count("\n") + 1 for label in labels.values())
    below = 0.35 + 0.17 * len(notes) + 0.19 * lines
    height = 4.2 + below
    figure = new_figure(7.2, height)
    axes = figure.add_axes((0.095, (below + 0.55) / height, 0.875, 3.2 / height))
    for number, (name, scores) in enumerate(runs.items()):
        color = COLORS[number % len(COLORS)]
        shares = 100 * np.asarray(scores.cmc[:max_rank], dtype=np.float64)
        axes.plot(
            np.arange(1, len(shares) + 1),
            shares,
            **_line(color),
            linestyle=("-", "--")[number // len(COLORS) % 2],
            label=labels[name],
            clip_on=False,
        )
        if "rank1" in scores.intervals:
            low, high = (100 * end for end in scores.intervals["rank1"])
            place = 1 + 0.08 * number  # side by side, so that bars of close runs can be read
            axes.vlines(place, low, high, color=color, linewidth=1.5, clip_on=False)
            axes.hlines((low, high), place - 0.06, place + 0.06, color=color, linewidth=1.5, clip_on=False)
    dress(axes, title=title, x="Rank", y="Queries with a match so far (%)")
    _rank_axis(axes, min(max_rank, max(len(scores.cmc) for scores in runs.values())))
    axes.set_ylim(*_percent_limits(runs.values()))
    figure.legend(
        loc="upper left",
        bbox_to_anchor=(0.08, (below + 0.1) / height),
        fontsize=9,
        frameon=False,
        labelcolor=INK,
    )
    figure.text(0.095, 0.1 / height, "\n".join(notes), fontsize=8, color=MUTED, va="bottom")
    return save(figure, path, vector=True)


def lr_figure(records: Sequence[Record], path: Path, *, title: str = "Learning rate") -> list[Path]:
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
    axes.plot(place[few], [record["learning_rate"] for record in steps[few]], **_line(COLORS[0], dots=False))
    dress(axes, title=title, x=unit, y="Learning rate")
    axes.set_xlim(0, 1.01 * place[-1])
    axes.set_ylim(0, None)
    return save(figure, path, vector=True)


def loss_figure(records: Sequence[Record], path: Path, *, title: str = "Losses") -> list[Path]:
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
            left.plot(*_epoch_means(epochs, place, values), **_line(color, dots=epochs[-1] < 15), label=name)
        else:
            left.plot(place[few], values[few], **_line(color, dots=False), label=name)
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
        axes.plot(*zip(*points, strict=True), **_line(color), label=name)
    dress(axes, title="Scores on the way", x=unit, y="Score (%)")
    axes.set_ylim(0, min(105, 1.15 * max(value for points in curves.values() for _, value in points) + 5))
    axes.legend(fontsize=9, frameon=False, labelcolor=INK, loc="lower right")


def _line(color: str, *, dots: bool = True) -> dict[str, Any]:
    """How a curve is drawn; many dots would make a rope of it."""
    return {"color": color, "linewidth": 2, "marker": "o" if dots else "", "markersize": 4}


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


def _label(name: str, scores: Scores) -> str:
    """A run's name and figures, on one line if the page has room, else the figures below the name."""
    figures = f"Rank-1 {percent(scores, 'rank1')}, mAP {percent(scores, 'mAP')}"
    line = f"{name}: {figures}"
    return line if len(line) <= _LINE else f"{textwrap.fill(name, _LINE)}\n{figures}"


def _rank_axis(axes: Axes, last: int) -> None:
    ticks = [rank for rank in (1, 5, 10, 15, 20, 30, 40, 50) if rank <= last]
    axes.set_xticks(ticks)
    axes.set_xlim(0.5, max(last, 2) + 0.3)


def _percent_limits(runs: Iterable[Scores]) -> tuple[float, float]:
    """From a round figure below everything drawn, to 100 %."""
    lowest = min(min(float(scores.cmc[0]), *scores.intervals.get("rank1", (1.0, 1.0))) for scores in runs)
    return max(0.0, 10 * np.floor(10 * lowest - 0.5)), 100.0
